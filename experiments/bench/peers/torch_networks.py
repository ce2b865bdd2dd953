"""The cases in `torch.nn`; AlexNet, VGG-16 and the residual networks layer by layer as published.

AlexNet is the paper's, with two groups and local response norm; the residual networks have
their stride in the 3x3 convolution, as in torchvision.
"""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from experiments.bench.cases import NORM_DECAY, NORM_EPSILON

CUT = 0.87962566  # the standard deviation of a standard normal distribution truncated at 2
relu = partial(nn.ReLU, inplace=True)


def mlp() -> nn.Module:
    """784-500-300-10 with ReLU."""
    return nn.Sequential(nn.Flatten(), *dense(784, 500), *dense(500, 300), nn.Linear(300, 10))


class Population(nn.Module):
    """Several networks 784-32-10 on the same batches, so that their first layers are one matmul."""

    def __init__(self, members: int):
        super().__init__()
        self.members, self.hidden = members, nn.Linear(784, members * 32)
        self.kernels = nn.Parameter(kernel(torch.empty(members, 32, 10), 32))
        self.biases = nn.Parameter(torch.zeros(members, 1, 10))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (members, batch, 10)."""
        hidden = torch.relu(self.hidden(x.flatten(1))).unflatten(1, (self.members, 32))
        return torch.baddbmm(self.biases, hidden.transpose(0, 1), self.kernels)


def cnn_bn() -> nn.Module:
    """Three 3x3 convolutions with batch norm, two dense layers."""
    return nn.Sequential(
        *[*normed(1, 16, 3), relu(), nn.MaxPool2d(2)],
        *[*normed(16, 32, 3), relu(), nn.MaxPool2d(2)],
        *[*normed(32, 64, 3), relu()],
        *[nn.Flatten(), *dense(7 * 7 * 64, 50), nn.Linear(50, 10)],
    )


def cnn_5x5() -> nn.Module:
    """Two 5x5 convolutions, two dense layers."""
    return nn.Sequential(
        *[nn.Conv2d(1, 32, 5, padding=2), relu(), nn.MaxPool2d(2)],
        *[nn.Conv2d(32, 64, 5, padding=2), relu(), nn.MaxPool2d(2)],
        *[nn.Flatten(), *dense(7 * 7 * 64, 256), nn.Linear(256, 10)],
    )


def alexnet() -> nn.Module:
    """From 227 x 227 pixels to 1,000 classes: 60,965,224 parameters."""
    # PyTorch divides alpha by the size, where the paper does not.
    norm = partial(nn.LocalResponseNorm, 5, alpha=5e-4, beta=0.75, k=2.0)
    return nn.Sequential(
        *[nn.Conv2d(3, 96, 11, stride=4), relu(), norm(), nn.MaxPool2d(3, 2)],
        *[nn.Conv2d(96, 256, 5, padding=2, groups=2), relu(), norm(), nn.MaxPool2d(3, 2)],
        *[nn.Conv2d(256, 384, 3, padding=1), relu()],
        *[nn.Conv2d(384, 384, 3, padding=1, groups=2), relu()],
        *[nn.Conv2d(384, 256, 3, padding=1, groups=2), relu(), nn.MaxPool2d(3, 2)],
        *classifier(6 * 6 * 256),
    )


def vgg16() -> nn.Module:
    """From 224 x 224 pixels to 1,000 classes: 138,357,544 parameters."""
    layers, before = [], 3
    for features, depth in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(depth):
            layers += [nn.Conv2d(before, features, 3, padding=1), relu()]
            before = features
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, *classifier(7 * 7 * 512))


def resnet18() -> nn.Module:
    """From 224 x 224 pixels to 1,000 classes: 11,689,512 parameters."""
    return resnet(basic, (2, 2, 2, 2), expansion=1)


def resnet50() -> nn.Module:
    """From 224 x 224 pixels to 1,000 classes: 25,557,032 parameters."""
    return resnet(bottleneck, (3, 4, 6, 3), expansion=4)


class Residual(nn.Module):
    """A block added to its shortcut, through ReLU."""

    def __init__(self, block: Sequence[nn.Module], before: int, after: int, stride: int):
        super().__init__()
        self.block, same = nn.Sequential(*block), before == after and stride == 1
        self.shortcut = nn.Identity() if same else nn.Sequential(*normed(before, after, 1, stride))

    def forward(self, x: Tensor) -> Tensor:
        """The block's output, of `after` channels."""
        return torch.relu_(self.block(x) + self.shortcut(x))


def resnet(block: Callable, depths: Sequence[int], expansion: int) -> nn.Module:
    """A stem, four stages of blocks, the mean over positions and a dense layer."""
    layers, before = [*normed(3, 64, 7, 2), relu(), nn.MaxPool2d(3, 2, padding=1)], 64
    for number, (width, depth) in enumerate(zip((64, 128, 256, 512), depths, strict=True)):
        for stride in (1 if number == 0 else 2, *[1] * (depth - 1)):
            after = expansion * width
            layers.append(Residual(block(before, width, stride), before, after, stride))
            before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 1000))


def basic(before: int, width: int, stride: int) -> list[nn.Module]:
    """Two 3x3 convolutions."""
    return [*normed(before, width, 3, stride), relu(), *normed(width, width, 3)]


def bottleneck(before: int, width: int, stride: int) -> list[nn.Module]:
    """1x1 to few channels, 3x3, and 1x1 to four times as many."""
    first, middle = normed(before, width, 1), normed(width, width, 3, stride)
    return [*first, relu(), *middle, relu(), *normed(width, 4 * width, 1)]


def normed(before: int, after: int, size: int, stride: int = 1) -> list[nn.Module]:
    """A convolution without a bias, and batch norm."""
    conv = nn.Conv2d(before, after, size, stride, padding=size // 2, bias=False)
    return [conv, nn.BatchNorm2d(after, eps=NORM_EPSILON, momentum=1 - NORM_DECAY)]


def initialise(module: nn.Module) -> None:
    """Draw a layer's initial weights as in `experiments.bench.cases`."""
    if isinstance(module, nn.Conv2d | nn.Linear):
        kernel(module.weight, module.weight[0].numel())
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def kernel(weights: Tensor, fan_in: int) -> Tensor:
    """The tensor, filled with initial weights."""
    std = fan_in**-0.5 / CUT
    return nn.init.trunc_normal_(weights, std=std, a=-2 * std, b=2 * std)


def dense(before: int, after: int) -> list[nn.Module]:
    """A dense layer and ReLU."""
    return [nn.Linear(before, after), relu()]


def classifier(features: int) -> list[nn.Module]:
    """The three dense layers of AlexNet and VGG-16."""
    hidden = [*dense(features, 4096), nn.Dropout(), *dense(4096, 4096), nn.Dropout()]
    return [nn.Flatten(), *hidden, nn.Linear(4096, 1000)]


CASES: dict[str, Callable[..., nn.Module]] = {
    make.__name__: make for make in (mlp, cnn_bn, cnn_5x5, alexnet, vgg16, resnet18, resnet50)
} | {"population": Population}
