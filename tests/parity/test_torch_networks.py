"""Small ConvNeXt and U-Net networks, written again with PyTorch's functions, on the same weights.

In float64, where two libraries that compute the same agree to the last digits.
"""

from functools import partial
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, normal

from jaxnets import depthwise_conv, lowering, models
from jaxnets.trees import flatten_names

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[parity]'")
F = torch.nn.functional

pytestmark = pytest.mark.parity


class Net:
    """PyTorch's functions on images (batch, height, width, channels), with our params by path."""

    def __init__(self, params):
        self.params = params

    def convolved(self, x, path, make=F.conv2d, **options):
        kernel, bias = self.params[f"{path}/kernel"], self.params[f"{path}/bias"]
        y = make(x.movedim(-1, 1), kernel.movedim((-1, -2), (0, 1)), bias, **options)
        return y.movedim(1, -1)

    def dense(self, x, path):
        return x @ self.params[f"{path}/kernel"] + self.params[f"{path}/bias"]

    def normed(self, x, path):
        scale, bias = self.params[f"{path}/scale"], self.params[f"{path}/bias"]
        return F.layer_norm(x, x.shape[-1:], scale, bias, eps=1e-6)


def convnext_block(net, x, path):
    y = net.convolved(x, f"{path}/depthwise", padding=3, groups=x.shape[-1])
    y = F.gelu(net.dense(net.normed(y, f"{path}/norm"), f"{path}/expand"))
    return x + net.params[f"{path}/scale/scale"] * net.dense(y, f"{path}/project")


def convnext(net, x):
    x = net.normed(net.convolved(x, "stem", stride=2), "norm1")
    x = convnext_block(net, x, "stage1/block1")
    x = net.convolved(net.normed(x, "stage2/norm"), "stage2/down", stride=2)
    return net.dense(net.normed(x.mean((1, 2)), "norm2"), "head")


def unet_level(net, x, path, depth):
    def both(x, path):
        return net.convolved(net.convolved(x, f"{path}/conv1").relu(), f"{path}/conv2").relu()

    skip = both(x, f"{path}/down")
    if depth == 1:
        return skip
    y = F.max_pool2d(skip.movedim(-1, 1), 2).movedim(1, -1)
    y = unet_level(net, y, f"{path}/level", depth - 1)
    y = net.convolved(y, f"{path}/up", F.conv_transpose2d, stride=2).relu()
    top, left = ((skip.shape[axis] - y.shape[axis]) // 2 for axis in (1, 2))
    cropped = skip[:, top : top + y.shape[1], left : left + y.shape[2]]
    return both(torch.cat([cropped, y], -1), f"{path}/merge")


def unet(net, x):
    return net.convolved(unet_level(net, x, "level", 2), "head")


CASES = {
    "convnext": (partial(models.convnext, 3, (1, 0), (4, 6), patch=2), convnext, (2, 8, 12, 3)),
    "unet": (partial(models.unet, 3, (4, 6)), unet, (1, 20, 24, 2)),
}


@pytest.mark.parametrize(("make", "theirs", "shape"), CASES.values(), ids=CASES)
def test_outputs_and_gradients_agree(make, theirs, shape, monkeypatch):
    plain = partial(depthwise_conv, convolve=lowering.plain_conv)  # compiles sooner than 49 taps
    monkeypatch.setattr(import_module("jaxnets.models.convnext"), "depthwise_conv", plain)
    model = make()
    x = np.asarray(normal(*shape), np.float64)
    leaves, structure = jax.tree.flatten(jax.eval_shape(model.init, jax.random.key(0), x)[0])
    params = structure.unflatten(
        [np.asarray(normal(*leaf.shape, seed=n), np.float64) for n, leaf in enumerate(leaves)]
    )
    with jax.enable_x64(True):

        @jax.jit
        def run(params):
            y, pull = jax.vjp(lambda params: model.apply(params, {}, x)[0], params)
            return y, pull(jnp.cos(y))[0]

        y, gradients = run(params)
        ours = np.asarray(y), flatten_names(jax.tree.map(np.asarray, gradients))

    tensors = {path: torch.tensor(leaf) for path, leaf in flatten_names(params).items()}
    for tensor in tensors.values():
        tensor.requires_grad_()
    y = theirs(Net(tensors), torch.tensor(x))
    y.backward(y.detach().cos())
    expected = y.detach().numpy(), {path: tensor.grad.numpy() for path, tensor in tensors.items()}
    assert_close(ours, expected, 1e-9)
