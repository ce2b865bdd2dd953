"""Weights of PyTorch, Keras and Flax, loaded by name: outputs and gradients are theirs.

Each row is a model in another library, with random weights and statistics, and the same model here.
The outputs agree to 1e-6 of the largest in float64 and to 1e-5 in float32, and the gradients of a
weighted sum of the outputs with respect to the inputs and to every weight to 1e-4, those of weights
in float32 to 1e-3. Gradients have the names and the layout of the weights, and are converted by the
same function.
"""

from contextlib import nullcontext
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, serialization
from helpers import assert_close

from jaxnets import (
    LayerError,
    batch_norm,
    conv,
    conv_transpose,
    dense,
    depthwise_conv,
    flatten,
    layer_norm,
    lowering,
    max_pool,
    models,
    prelu,
    separable_conv,
    serial,
)
from jaxnets.interop import flax, keras, torch

pytestmark = [
    pytest.mark.parity,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # of Keras
]
PLAIN = {"convolve": lowering.plain_conv}  # compiles sooner
IMAGES = (2, 6, 6, 3)
EPSILON = 2.0**-10  # Keras rounds it to float32


def numbers(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).uniform(0.2, 1, shape).astype(dtype)


def with_gradients(apply, weights, x, like):
    """The output, and the gradients of its sum, weighted by `like`, for the weights and `x`."""

    @jax.jit
    def run(weights, x):
        y, pull = jax.vjp(apply, weights, x)
        return y, *pull(jnp.asarray(like, y.dtype))

    return jax.tree.map(np.asarray, run(weights, x))


def in_torch(module, apply):
    """A function that returns a PyTorch module's output for x and its gradients."""
    library = pytest.importorskip("torch")

    def run(x, like):
        t = library.tensor(x, requires_grad=True)
        y = apply(t)
        (y * library.tensor(like)).sum().backward()
        gradients = {name: weight.grad for name, weight in module.named_parameters()}
        return y.detach().numpy(), module.state_dict() | gradients, t.grad.numpy()

    return run


def torch_images(module):
    """The same for a module of images, channels last."""

    def apply(t):
        y = module(t.movedim(-1, 1))
        return y if y.ndim == 2 else y.movedim(1, -1)

    return in_torch(module, apply)


def randomised(module, dtype):
    library = pytest.importorskip("torch")
    library.manual_seed(0)
    for values in [*module.parameters(), *module.buffers()]:
        if values.is_floating_point():
            values.data.uniform_(0.1, 0.6)
    return module.eval().to(getattr(library, np.dtype(dtype).name))


def torch_convolutions(dtype):
    nn = pytest.importorskip("torch").nn
    module = nn.Sequential()
    for name, part in {
        "conv1": nn.Conv2d(3, 4, 3, padding=1, bias=False),
        "norm1": nn.BatchNorm2d(4),
        "act": nn.PReLU(4),
        "depthwise": nn.Conv2d(4, 8, (3, 2), groups=4),
        "pool": nn.MaxPool2d(2),
        "up": nn.ConvTranspose2d(8, 6, (3, 2), stride=2, groups=2),
        "grouped": nn.Conv2d(6, 4, 1, groups=2),
        "flatten": nn.Flatten(),
        "fc1": nn.Linear(5 * 4 * 4, 3),
    }.items():
        module.add_module(name, part)
    ours = serial(
        *[("conv1", conv(4, (3, 3), use_bias=False, **PLAIN)), ("norm1", batch_norm())],
        ("act", prelu()),
        ("depthwise", depthwise_conv((3, 2), multiplier=2, padding="VALID", **PLAIN)),
        max_pool((2, 2)),
        ("up", conv_transpose(6, (3, 2), strides=2, padding="VALID", groups=2)),
        *[("grouped", conv(4, (1, 1), groups=2, **PLAIN)), flatten, ("fc1", dense(3))],
    )
    weights = randomised(module, dtype).state_dict()
    options = {"flattened": {"fc1": (5, 4)}, "dtype": dtype}
    return ours, weights, torch_images(module), partial(torch.load, **options)


def torch_attention(dtype):
    library = pytest.importorskip("torch")
    module = library.nn.TransformerEncoderLayer(
        6, 2, 24, 0.0, activation="gelu", batch_first=True, layer_norm_eps=1e-6
    )
    ours = serial(("block", models.transformer_block(6, 2, pre_norm=False, activation=exact_gelu)))
    weights = randomised(module, dtype).state_dict()

    def names(name):
        return "block/" + name.replace("self_attn", "attention").replace("linear", "fc")

    options = {"names": names, "dtype": dtype}
    return ours, weights, in_torch(module, module), partial(torch.load, **options)


def exact_gelu(x):
    return jax.nn.gelu(x, approximate=False)


def keras_convolutions(dtype, tmp_path, suffix):
    library = pytest.importorskip("keras")
    pytest.importorskip("h5py")
    with_norm = dtype == np.float32  # Keras computes it with a float32's precision
    layers, named = library.layers, partial(dict, dtype=np.dtype(dtype).name)
    with jax.numpy_rank_promotion("allow"):
        model = library.Sequential(
            [
                library.Input((6, 6, 3), dtype=np.dtype(dtype).name),
                layers.Conv2D(4, 3, padding="same", use_bias=False, **named(name="conv1")),
                layers.BatchNormalization(epsilon=EPSILON, **named(name="norm1")),
                layers.PReLU(shared_axes=[1, 2], **named(name="act")),
                layers.DepthwiseConv2D(3, depth_multiplier=2, **named(name="depthwise")),
                layers.SeparableConv2D(5, 3, **named(name="separable")),
                layers.Conv2DTranspose(3, 2, strides=2, **named(name="up")),
                layers.Flatten(dtype=np.dtype(dtype).name),
                layers.Dense(6, **named(name="fc1")),
            ]
        )
        if with_norm:
            model.add(layers.LayerNormalization(epsilon=EPSILON, **named(name="norm2")))
        model.set_weights([numbers(*w.shape, seed=n) for n, w in enumerate(model.weights)])
        path = str(tmp_path / f"model{suffix}")
        (model.save_weights if suffix == ".weights.h5" else model.save)(path)
    valid = {"padding": "VALID"}
    normed = [("norm2", layer_norm(epsilon=EPSILON))] if with_norm else []
    ours = serial(
        *[("conv1", conv(4, (3, 3), use_bias=False)), ("norm1", batch_norm(epsilon=EPSILON))],
        *[("act", prelu()), ("depthwise", depthwise_conv((3, 3), multiplier=2, **valid))],
        *[("separable", separable_conv(5, (3, 3), **valid))],
        *[("up", conv_transpose(3, (2, 2), strides=2)), flatten],
        *[("fc1", dense(6)), *normed],
    )

    def apply(trained, x):
        fixed = [variable.value for variable in model.non_trainable_variables]
        return model.stateless_call(trained, fixed, x, training=False)[0]

    def run(x, like):
        trained = [variable.value for variable in model.trainable_variables]
        with jax.numpy_rank_promotion("allow"):
            y, gradients, gradient = with_gradients(apply, trained, x, like)
        arrays = {variable.path: np.asarray(variable) for variable in model.weights}
        names = [variable.path for variable in model.trainable_variables]
        return y, arrays | dict(zip(names, gradients, strict=True)), gradient

    return ours, path, run, partial(keras.load, dtype=dtype)


class LinenNet(linen.Module):
    """Convolution, batch norm and a head."""

    @linen.compact
    def __call__(self, x):
        x = linen.Conv(4, (3, 3), name="conv1", param_dtype=x.dtype)(x)
        norm = linen.BatchNorm(use_running_average=True, name="norm1", param_dtype=x.dtype)
        return linen.Dense(3, name="head", param_dtype=x.dtype)(norm(x).reshape(len(x), -1))


def linen_checkpoint(dtype, tmp_path, orbax):
    module = LinenNet()
    x = numbers(*IMAGES, dtype=dtype)
    variables = jax.eval_shape(module.init, jax.random.key(0), x)
    variables = jax.tree.map(lambda leaf: numbers(*leaf.shape, dtype=dtype), variables)
    path = tmp_path / "model"
    if orbax:
        checkpoint = pytest.importorskip("orbax.checkpoint")
        with checkpoint.StandardCheckpointer() as checkpointer:
            checkpointer.save(path, variables)
    else:
        path.write_bytes(serialization.to_bytes(variables))
    ours = serial(
        ("conv1", conv(4, (3, 3), **PLAIN)), ("norm1", batch_norm()), flatten, ("head", dense(3))
    )

    def run(x, like):
        return with_gradients(module.apply, variables, x, like)

    return ours, path, run, partial(flax.load, dtype=dtype)


TABLE = {
    "torch, convolutions": (lambda dtype, _: torch_convolutions(dtype), IMAGES),
    "torch, a transformer layer": (lambda dtype, _: torch_attention(dtype), (2, 4, 6)),
    "keras, .keras": (lambda *args: keras_convolutions(*args, ".keras"), IMAGES),
    "keras, .weights.h5": (lambda *args: keras_convolutions(*args, ".weights.h5"), IMAGES),
    "keras, legacy .h5": (lambda *args: keras_convolutions(*args, ".h5"), IMAGES),
    "linen, msgpack": (lambda *args: linen_checkpoint(*args, orbax=False), IMAGES),
    "linen, orbax": (lambda *args: linen_checkpoint(*args, orbax=True), IMAGES),
}


@pytest.fixture(autouse=True)
def keras_on_jax(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")


@pytest.fixture(params=["float64", "float32"])
def dtype(request):
    """A dtype in which all three libraries compute."""
    wide = request.param == "float64"
    with jax.enable_x64(True) if wide else nullcontext():
        yield np.dtype(request.param)


@pytest.mark.parametrize(("make", "shape"), TABLE.values(), ids=TABLE)
def test_outputs_and_gradients_are_those_of_the_other_library(make, shape, dtype, tmp_path):
    ours, weights, theirs, load = make(dtype, tmp_path)
    x = numbers(*shape, seed=7, dtype=dtype)
    spec = jax.ShapeDtypeStruct(shape, np.float32)
    params, state = load(weights, ours, spec)
    assert {leaf.dtype for leaf in jax.tree.leaves((params, state))} == {dtype}
    like = numbers(*jax.eval_shape(ours.apply, params, state, x)[0].shape, seed=8, dtype=dtype)

    @jax.jit
    def run(params, x):
        y, pull = jax.vjp(lambda params, x: ours.apply(params, state, x)[0], params, x)
        return y, *pull(like)

    y, gradients, gradient = run(params, x)
    their_y, their_gradients, their_gradient = theirs(x, like)
    assert_close(y, their_y, 1e-6 if dtype == np.float64 else 1e-5)
    assert_close(gradient, their_gradient, 1e-4)
    theirs = without_noise(load(their_gradients, ours, spec)[0])
    assert_close(without_noise(gradients), theirs, 1e-4 if dtype == np.float64 else 1e-3)


def without_noise(gradients):
    """The gradients, with zeros where an array is only rounding error: that of the keys' bias."""
    largest = [np.abs(np.asarray(g)).max() for g in jax.tree.leaves(gradients)]

    def clean(g):
        g = np.asarray(g)
        return g if np.abs(g).max() > 1e-6 * max(largest) else np.zeros_like(g)

    return jax.tree.map(clean, gradients)


def test_another_epsilon_is_refused(tmp_path):
    ours, path, *_ = keras_convolutions(np.float32, tmp_path, ".keras")
    assert keras.load(path, ours, jax.ShapeDtypeStruct(IMAGES, np.float32))
    plain = serial(("conv1", conv(4, (3, 3), use_bias=False)), ("norm1", batch_norm()))
    with pytest.raises(LayerError) as error:
        keras.load(path, plain, numbers(*IMAGES, dtype=np.float32))
    assert "norm1 has epsilon=1e-05 and should have epsilon=0.000976562" in str(error.value)
    assert "fc1/kernel is not in the model" in str(error.value)
