"""The same params in PyTorch and here: layers, and their gradients, in three dtypes.

PyTorch's functions get our arrays, with our order of axes, and return gradients in it.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, normal

from jaxnets import (
    Layer,
    avg_pool,
    conv,
    conv_transpose,
    flatten,
    global_max_pool,
    instance_norm,
    max_pool,
    pixel_shuffle,
    prelu,
    rms_norm,
    serial,
    squeeze_and_excitation,
    sum_pool,
    upsample,
    weight_norm,
)

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[parity]'")
F = torch.nn.functional

pytestmark = pytest.mark.parity

TOLERANCES = {"float32": 1e-5, "bfloat16": 2**-6, "float64": 1e-12}  # of the largest value
line, image, volume = normal(2, 6, 4), normal(2, 5, 6, 4), normal(2, 4, 5, 4, 2)


class Case(NamedTuple):
    """A layer, PyTorch's function of the input and the params by name, and an input."""

    layer: Layer
    theirs: Any
    x: jax.Array


def first(x):
    """Our (batch, *space, channels) in PyTorch's order."""
    return x.movedim(-1, 1)


def kernel_first(kernel):
    """Our (*size, channels, features) in PyTorch's order; of a transposed convolution, too."""
    return kernel.movedim((-1, -2), (0, 1))


def of_images(theirs):
    """A function of images and params in PyTorch's order as one of images in ours."""
    return lambda x, **params: theirs(first(x), **params).movedim(1, -1)


def convolution(theirs, **options):
    def run(x, kernel, bias):
        return theirs(x, kernel_first(kernel), bias, **options)

    return of_images(run)


def normed_by_weight(x, kernel, length, bias):
    v = kernel_first(kernel)
    return F.conv2d(x, torch._weight_norm(v, length.reshape(-1, 1, 1, 1), 0), bias)


def excited(x, **params):
    means = F.adaptive_avg_pool2d(x, 1).flatten(1)
    hidden = F.linear(means, params["squeeze/kernel"].T, params["squeeze/bias"])
    scores = F.linear(hidden.relu(), params["excite/kernel"].T, params["excite/bias"])
    return x * scores.sigmoid()[:, :, None, None]


NESTED = squeeze_and_excitation(2)
PAIRS = ((1, 1), (0, 0), (1, 1))
CASES = {
    "conv 3-D": Case(
        conv(4, (2, 3, 2), strides=(1, 2, 1), padding=PAIRS, dilation=(1, 2, 1), groups=2),
        convolution(F.conv3d, stride=(1, 2, 1), padding=(1, 0, 1), dilation=(1, 2, 1), groups=2),
        volume,
    ),
    "conv_transpose dilated and grouped": Case(
        conv_transpose(
            6, (3, 2), strides=(2, 1), padding=((1, 0), (1, 1)), dilation=(1, 2), groups=2
        ),
        convolution(
            F.conv_transpose2d,
            **{"stride": (2, 1), "padding": 1, "output_padding": (1, 0)},
            **{"dilation": (1, 2), "groups": 2},
        ),
        image,
    ),
    "conv_transpose 3-D": Case(
        conv_transpose(3, (2, 3, 1), strides=(2, 1, 3), padding="VALID"),
        convolution(F.conv_transpose3d, stride=(2, 1, 3)),
        volume,
    ),
    "max_pool dilated": Case(
        serial(max_pool((2, 3), strides=(2, 1), padding=((1, 1), (1, 1)), dilation=(3, 2))),
        of_images(lambda x: F.max_pool2d(x, (2, 3), (2, 1), padding=1, dilation=(3, 2))),
        image,
    ),
    "max_pool in ceil mode": Case(
        serial(max_pool((2, 2), strides=3, padding=((1, 1), (0, 0)), ceil_mode=True)),
        of_images(lambda x: F.max_pool2d(x, 2, 3, padding=(1, 0), ceil_mode=True)),
        image,
    ),
    "max_pool 3-D": Case(
        serial(max_pool((2, 3, 2), strides=1, dilation=(1, 2, 1))),
        of_images(lambda x: F.max_pool3d(x, (2, 3, 2), 1, dilation=(1, 2, 1))),
        volume,
    ),
    "avg_pool in ceil mode": Case(
        serial(avg_pool((2, 2), strides=3, padding=((1, 1), (0, 0)), ceil_mode=True)),
        of_images(
            lambda x: F.avg_pool2d(x, 2, 3, padding=(1, 0), ceil_mode=True, count_include_pad=False)
        ),
        image,
    ),
    "sum_pool dilated": Case(
        serial(sum_pool((2, 3), strides=(2, 1), dilation=(1, 2))),
        of_images(
            lambda x: F.conv2d(
                x,
                torch.ones_like(x[:1, :1, :2, :3]).expand(4, -1, -1, -1),
                stride=(2, 1),
                dilation=(1, 2),
                groups=4,
            )
        ),
        image,
    ),
    "global_max_pool": Case(
        serial(global_max_pool), lambda x: F.adaptive_max_pool2d(first(x), 1).flatten(1), image
    ),
    "rms_norm": Case(rms_norm(), lambda x, scale: F.rms_norm(x, (4,), scale, eps=1e-6), image),
    "instance_norm": Case(
        instance_norm(),
        of_images(lambda x, scale, bias: F.instance_norm(x, None, None, scale, bias, eps=1e-6)),
        image,
    ),
    "upsample": Case(
        serial(upsample((2, 3))),
        of_images(lambda x: F.interpolate(x, scale_factor=(2, 3))),
        image,
    ),
    "upsample linearly": Case(
        serial(upsample(3, method="linear")),
        of_images(lambda x: F.interpolate(x, scale_factor=3, mode="linear")),
        line,
    ),
    "upsample bilinearly": Case(
        serial(upsample((2, 3), method="linear")),
        of_images(lambda x: F.interpolate(x, scale_factor=(2, 3), mode="bilinear")),
        image,
    ),
    "upsample trilinearly": Case(
        serial(upsample(2, method="linear")),
        of_images(lambda x: F.interpolate(x, scale_factor=2, mode="trilinear")),
        volume,
    ),
    "pixel_shuffle": Case(
        serial(pixel_shuffle(2)), of_images(lambda x: F.pixel_shuffle(x, 2)), image
    ),
    "prelu with one slope": Case(
        prelu(shared_axes=(1, 2, 3)), lambda x, slope: F.prelu(x, slope.ravel()), image
    ),
    "weight_norm": Case(
        weight_norm(conv(3, (3, 2), padding="VALID")), of_images(normed_by_weight), image
    ),
    "squeeze_and_excitation": Case(NESTED, of_images(excited), image),
    "flatten": Case(serial(partial(flatten, start=2)), lambda x: x.flatten(2), image),
}


def random_params(layer, x):
    """Random numbers in the shapes of the layer's params, in place of zeros and ones."""
    params, _ = jax.eval_shape(layer.init, jax.random.key(0), x)
    leaves, structure = jax.tree.flatten(params)
    return structure.unflatten([normal(*leaf.shape, seed=n) for n, leaf in enumerate(leaves)])


def in_dtype(tree, dtype):
    """As NumPy arrays of float64 with values that the dtype has."""
    return jax.tree.map(lambda leaf: np.asarray(leaf.astype(dtype), np.float64), tree)


def by_path(tree):
    return {
        "/".join(key.key for key in path): leaf
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def ours(case, params, x, dtype):
    """The output, and the gradients of its product with random numbers, by path."""

    @jax.jit
    def run(params, x):
        y, pull = jax.vjp(lambda *args: case.layer.apply(args[0], {}, args[1])[0], params, x)
        by_params, by_x = pull(normal(*y.shape, seed=9).astype(dtype))
        return y, by_path(by_params), by_x

    results = run(*jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), (params, x)))
    assert {leaf.dtype.name for leaf in jax.tree.leaves(results)} == {dtype}
    return in_dtype(results, dtype)


def theirs(case, params, x, dtype):
    """As `ours`, by PyTorch."""
    names, leaves = zip(*by_path({"x": x, **params}).items(), strict=True)
    tensors = [torch.tensor(leaf, dtype=getattr(torch, dtype)) for leaf in leaves]
    tensors = dict(zip(names, (tensor.requires_grad_() for tensor in tensors), strict=True))
    y = case.theirs(**tensors)
    cotangent = torch.tensor(np.asarray(normal(*y.shape, seed=9)))
    y.backward(cotangent.to(y.dtype))
    gradients = {name: tensor.grad.double().numpy() for name, tensor in tensors.items()}
    by_x = gradients.pop("x")
    return y.detach().double().numpy(), gradients, by_x


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("name", CASES)
def test_a_layer_and_its_gradients_agree(name, dtype):
    case = CASES[name]
    with jax.enable_x64(dtype == "float64"):
        params, x = in_dtype((random_params(case.layer, case.x), case.x), dtype)
        actual = ours(case, params, x, dtype)
    assert_close(actual, theirs(case, params, x, dtype), TOLERANCES[dtype])
