"""The same weights in PyTorch and here: AlexNet, VGG-16 and ResNet-18 agree, and their gradients.

The modules are torchvision's, rewritten in `torch.nn` layer by layer with our names; AlexNet is the
paper's, which torchvision does not have. Images are small: among the millions of units of VGG-16 at
224 pixels, some are so close to a tie that rounding in float32 decides it, and PyTorch's own
float32 gradient differs from its float64 one by 1 %. In float64 the libraries agree to 1e-14.
"""

from collections import OrderedDict

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, normal

from jaxnets import losses, models
from jaxnets.trees import flatten_names

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[parity]'")
nn = torch.nn

pytestmark = pytest.mark.parity


def chain(*stages):
    return nn.Sequential(OrderedDict(stages))


def alexnet(side, classes):
    # PyTorch divides alpha by the size, where the paper does not.
    norm = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)
    pool = nn.MaxPool2d(3, stride=2)
    return chain(
        *[("conv1", nn.Conv2d(3, 96, 11, stride=4)), ("relu1", nn.ReLU())],
        *[("norm1", norm), ("pool1", pool)],
        *[("conv2", nn.Conv2d(96, 256, 5, padding=2, groups=2)), ("relu2", nn.ReLU())],
        *[("norm2", norm), ("pool2", pool)],
        *[("conv3", nn.Conv2d(256, 384, 3, padding=1)), ("relu3", nn.ReLU())],
        *[("conv4", nn.Conv2d(384, 384, 3, padding=1, groups=2)), ("relu4", nn.ReLU())],
        *[("conv5", nn.Conv2d(384, 256, 3, padding=1, groups=2)), ("relu5", nn.ReLU())],
        *[("pool5", pool), *fully(side * side * 256, classes)],
    )


def vgg16(side, classes):
    stages, before = [], 3
    for block, (features, depth) in enumerate(
        ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)), start=1
    ):
        for number in range(1, depth + 1):
            layer = nn.Conv2d(before, features, 3, padding=1)
            stages += [(f"conv{block}_{number}", layer), (f"relu{block}_{number}", nn.ReLU())]
            before = features
        stages += [(f"pool{block}", nn.MaxPool2d(2))]
    return chain(*stages, *fully(side * side * 512, classes))


def fully(features, classes):
    return (
        ("flatten", nn.Flatten()),
        *[("fc6", nn.Linear(features, 4096)), ("relu6", nn.ReLU()), ("drop6", nn.Dropout(0.5))],
        *[("fc7", nn.Linear(4096, 4096)), ("relu7", nn.ReLU()), ("drop7", nn.Dropout(0.5))],
        ("fc8", nn.Linear(4096, classes)),
    )


class Block(nn.Module):
    """Two 3x3 convolutions, and a projection where the shape changes."""

    def __init__(self, before, features, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, features, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(features)
        self.conv2 = nn.Conv2d(features, features, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(features)
        self.shortcut = nn.Identity()
        if before != features:
            self.shortcut = chain(
                ("conv", nn.Conv2d(before, features, 1, stride, bias=False)),
                ("norm", nn.BatchNorm2d(features)),
            )

    def forward(self, x):
        y = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(x)))))
        return torch.relu(y + self.shortcut(x))


def resnet18(side, classes):
    del side  # the mean over all positions
    stages, before = [], 64
    for number, features in enumerate((64, 128, 256, 512), start=1):
        first = Block(before, features, stride=1 if number == 1 else 2)
        blocks = (("block1", first), ("block2", Block(features, features, stride=1)))
        stages, before = [*stages, (f"stage{number}", chain(*blocks))], features
    return chain(
        *[("conv1", nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False))],
        *[("norm1", nn.BatchNorm2d(64)), ("relu1", nn.ReLU())],
        *[("pool1", nn.MaxPool2d(3, stride=2, padding=1)), *stages],
        *[("pool", nn.AdaptiveAvgPool2d(1)), ("flatten", nn.Flatten())],
        *[("head", nn.Linear(512, classes))],
    )


# Ours, theirs, the pixels per side of a small image and before fc6, and the
# scale of the inputs: AlexNet's local response norm has little effect on small ones.
CASES = {
    "alexnet": (models.alexnet, alexnet, 99, 2, 60.0),
    "vgg16": (models.vgg16, vgg16, 64, 2, 1.0),
    "resnet18": (models.resnet18, resnet18, 64, 2, 1.0),
}
NAMES = {"kernel": "weight", "scale": "weight", "bias": "bias"}
NAMES |= {"mean": "running_mean", "var": "running_var"}


def in_torch(tree, side):
    """Our arrays with PyTorch's names and order of axes: channels before space."""
    arrays = {}
    for path, leaf in flatten_names(tree).items():
        *module, name = path.split("/")
        leaf = np.asarray(leaf)
        if leaf.ndim == 4:
            leaf = leaf.transpose(3, 2, 0, 1)
        elif module == ["fc6"] and name == "kernel":  # its rows are flattened images
            leaf = leaf.reshape(side, side, -1, leaf.shape[-1]).transpose(3, 2, 0, 1)
            leaf = leaf.reshape(len(leaf), -1)
        elif leaf.ndim == 2:
            leaf = leaf.T
        arrays[".".join([*module, NAMES[name]])] = leaf
    return arrays


def weights(model, x):
    """Initial weights, with random biases, scales and statistics."""
    params, state = jax.jit(model.init)(jax.random.key(0), x)

    def moved(tree):
        leaves, structure = jax.tree.flatten(tree)
        return structure.unflatten(
            leaf + 0.1 * jnp.abs(normal(*leaf.shape, seed=n)) if leaf.ndim == 1 else leaf
            for n, leaf in enumerate(leaves)
        )

    return moved(params), moved(state)


def compare(make_ours, make_theirs, side, left, scale, classes=10):
    """Our logits and gradients and PyTorch's, by PyTorch's names, for the same weights."""
    model, module = make_ours(classes), make_theirs(left, classes).eval()
    x, labels = scale * normal(2, side, side, 3), jnp.array([classes - 1, 1])
    params, state = weights(model, x)

    @jax.jit
    def run(params):
        def loss(params):
            logits, _ = model.apply(params, state, x)
            return losses.softmax_cross_entropy(logits, labels).mean(), logits

        return jax.grad(loss, has_aux=True)(params)

    gradients, logits = run(params)
    ours = np.asarray(logits), in_torch(gradients, left)

    tensors = in_torch(params, left) | in_torch(state, left)
    missing, strange = module.load_state_dict(
        {key: torch.tensor(array) for key, array in tensors.items()}, strict=False
    )
    assert not strange and all(key.endswith("num_batches_tracked") for key in missing)
    logits = module(torch.tensor(np.asarray(x)).permute(0, 3, 1, 2))
    nn.functional.cross_entropy(logits, torch.tensor(labels.tolist())).backward()
    gradients = {key: tensor.grad.numpy() for key, tensor in module.named_parameters()}
    return ours, (logits.detach().numpy(), gradients)


@pytest.mark.parametrize("name", CASES)
def test_logits_agree_to_1e_4_and_gradients_to_1e_3_of_their_largest(name):
    (ours, our_gradients), (theirs, their_gradients) = compare(*CASES[name])
    assert_close(ours, theirs, 1e-4)
    assert_close(our_gradients, their_gradients, 1e-3)
