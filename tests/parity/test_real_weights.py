"""Real pretrained weights: MTCNN's face detector, as the package facenet-pytorch carries it.

Zhang et al. 2016, "Joint face detection and alignment using multitask cascaded convolutional
networks". The package is installed without its dependencies, and never imported.
"""

from importlib.util import find_spec
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close

from jaxnets import conv, dense, flatten, max_pool, network, prelu
from jaxnets.interop import torch

pytestmark = pytest.mark.parity
KERNELS = {"conv1": (32, 3), "conv2": (64, 3), "conv3": (64, 3), "conv4": (128, 2)}
HEADS = ("dense6_1", "dense6_2", "dense6_3")  # face or not, its box, and five points of it


@pytest.fixture
def folder():
    spec = find_spec("facenet_pytorch")
    if spec is None or spec.origin is None:
        pytest.skip("not installed: pip install --no-deps facenet-pytorch")
    return Path(spec.origin).with_name("data")


def pool(size):
    return max_pool((size, size), strides=2, ceil_mode=True)


@network(
    **{name: conv(n, (k, k), padding="VALID") for name, (n, k) in KERNELS.items()},
    **{f"prelu{n}": prelu() for n in range(1, 6)},
    dense5=dense(256),
    **dict(zip(HEADS, map(dense, (2, 4, 10)), strict=True)),
)
def onet(x, **layer):
    for n, after in enumerate((pool(3), pool(3), pool(2), lambda x: x), start=1):
        x = after(layer[f"prelu{n}"](layer[f"conv{n}"](x)))
    x = flatten(jnp.swapaxes(x, 1, 2))  # theirs has the order width, height, channels
    x = layer["prelu5"](layer["dense5"](x))
    return [layer[head](x) for head in HEADS]


def onet_in_torch(weights, x):
    F = pytest.importorskip("torch").nn.functional
    for n, size in enumerate((3, 3, 2, 0), start=1):
        x = F.conv2d(x, weights[f"conv{n}.weight"], weights[f"conv{n}.bias"])
        x = F.prelu(x, weights[f"prelu{n}.weight"])
        x = F.max_pool2d(x, size, 2, ceil_mode=True) if size else x
    x = x.permute(0, 3, 2, 1).flatten(1)
    x = F.linear(x, weights["dense5.weight"], weights["dense5.bias"])
    x = F.prelu(x, weights["prelu5.weight"])
    return [F.linear(x, weights[f"{head}.weight"], weights[f"{head}.bias"]) for head in HEADS]


@pytest.mark.parametrize("name", ["pnet", "rnet", "onet"])
def test_a_file_is_read_as_pytorch_reads_it(name, folder):
    library = pytest.importorskip("torch")
    theirs = library.load(folder / f"{name}.pt", weights_only=True)
    ours = torch.read(folder / f"{name}.pt")
    assert ours.keys() == theirs.keys()
    for key, tensor in theirs.items():
        np.testing.assert_array_equal(ours[key], tensor.numpy())


def test_the_three_heads_of_the_last_network_agree(folder):
    library = pytest.importorskip("torch")
    x = np.random.default_rng(0).uniform(-1, 1, (2, 48, 48, 3)).astype(np.float32)
    params, state = torch.load(folder / "onet.pt", onet, x, flattened={"dense5": None})
    theirs = onet_in_torch(
        library.load(folder / "onet.pt", weights_only=True), library.tensor(x).permute(0, 3, 1, 2)
    )
    ours = jax.jit(onet.apply)(params, state, x)[0]
    assert_close([np.asarray(y) for y in ours], [y.numpy() for y in theirs], 1e-5)
