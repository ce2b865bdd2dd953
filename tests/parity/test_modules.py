"""Flax's and Equinox's modules as layers: the same outputs, and training with state and dropout."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from flax import nnx
from helpers import assert_close, assert_same, normal, spec

from jaxnets import LayerError, batch_norm, dense, dropout, losses, serial
from jaxnets.interop.equinox import from_equinox
from jaxnets.interop.flax import from_linen, from_nnx, to_linen
from jaxnets.training import fit, make_train_step
from jaxnets.trees import flatten_names

x, key = normal(8, 6), jax.random.key(0)
labels = np.arange(8, dtype=np.int32) % 3


class LinenNet(nn.Module):
    """A dense layer, batch norm, dropout and a head."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.Dense(5, name="fc")(x)
        x = nn.BatchNorm(use_running_average=not train, use_fast_variance=False, name="norm")(x)
        x = nn.Dropout(0.5, deterministic=not train)(x)
        return nn.Dense(3, name="head")(x)


class NNXNet(nnx.Module):
    """The same in NNX."""

    def __init__(self, rngs):
        self.parts = nnx.List([nnx.Linear(6, 5, rngs=rngs)])
        self.norm = nnx.BatchNorm(5, use_fast_variance=False, rngs=rngs)
        self.drop, self.head = nnx.Dropout(0.5, rngs=rngs), nnx.Linear(5, 3, rngs=rngs)

    def __call__(self, x):
        return self.head(self.drop(self.norm(self.parts[0](x))))


def linen_layer():
    module = LinenNet()
    return from_linen(module), lambda p, s, x: module.apply({"params": p, **s}, x, train=False)


def nnx_layer():
    module = NNXNet(nnx.Rngs(0))
    module.eval()
    graph, own, others = nnx.split(module, nnx.Param, ...)
    structure = jax.tree.structure(own)

    def theirs(params, state, x):
        return nnx.merge(graph, structure.unflatten(jax.tree.leaves(params)), others)(x)

    return from_nnx(module), theirs


def equinox_layer():
    eqx = pytest.importorskip("equinox", reason="not installed: pip install -e '.[parity]'")

    class Net(eqx.Module):
        fc: eqx.nn.Linear
        norm: eqx.nn.BatchNorm
        drop: eqx.nn.Dropout
        head: eqx.nn.Linear

        def __init__(self, key):
            first, second = jax.random.split(key)
            self.fc, self.head = eqx.nn.Linear(6, 5, key=first), eqx.nn.Linear(5, 3, key=second)
            self.norm = eqx.nn.BatchNorm(5, axis_name="batch", mode="batch")
            self.drop = eqx.nn.Dropout(0.5)

        def __call__(self, x, state, key=None):
            y, state = self.norm(self.fc(x), state)
            return self.head(self.drop(y, key=key)), state

    module, state = eqx.nn.make_with_state(Net)(jax.random.key(4))
    arrays, others = eqx.partition(eqx.nn.inference_mode(module), eqx.is_inexact_array)
    paths, structure = jax.tree.flatten_with_path(arrays)
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in paths]

    def theirs(params, _, x):
        flat = flatten_names(params)
        net = eqx.combine(structure.unflatten([flat[name] for name in names]), others)
        return jax.vmap(net, (0, None), (0, None), axis_name="batch")(x, state)[0]

    return from_equinox(module, state), theirs


LAYERS = {"linen": linen_layer, "nnx": nnx_layer, "equinox": equinox_layer}


@pytest.mark.parity
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_a_module_is_a_layer_that_trains_with_its_statistics_and_dropout(make):
    layer, theirs = make()
    model = serial(("body", layer))
    params, state = model.init(key, x)
    expected = theirs(params["body"], state["body"], x)
    assert_close(layer.apply(params["body"], state["body"], x)[0], expected, 1e-6)
    train_step = make_train_step(model, optax.adam(1e-2), losses.softmax_cross_entropy)
    result = fit(train_step, (x, labels), key=key, epochs=20, batch_size=4)
    assert result.history[-1].train["loss"] < result.history[0].train["loss"]
    trained = result.train_state
    assert jax.tree.structure(trained.model_state) == jax.tree.structure(state)
    assert not all(jax.tree.leaves(jax.tree.map(np.array_equal, trained.model_state, state)))
    drawn = [
        layer.apply(params["body"], state["body"], x, key=jax.random.key(n), train=True)[0]
        for n in (1, 2)
    ]
    assert not np.allclose(*drawn)


@pytest.mark.parity
@pytest.mark.parametrize("make", LAYERS.values(), ids=LAYERS)
def test_in_float64_the_outputs_and_gradients_are_those_of_the_module(make):
    with jax.enable_x64(True):
        layer, theirs = make()
        wide = np.asarray(x, np.float64)
        params, state = layer.init(key, wide)
        leaves, structure = jax.tree.flatten(params)
        params = structure.unflatten(
            [np.asarray(normal(*leaf.shape, seed=n), np.float64) for n, leaf in enumerate(leaves)]
        )

        def run(apply):
            y, pull = jax.vjp(lambda params, x: apply(params, state, x), params, wide)
            return y, pull(jnp.cos(y))

        y, gradients = run(lambda *args: layer.apply(*args)[0])
        expected, their_gradients = run(theirs)
        assert {leaf.dtype for leaf in jax.tree.leaves((y, gradients))} == {np.dtype(np.float64)}
        assert_close(y, expected, 1e-6)
        assert_close(gradients, their_gradients, 1e-4)


def test_a_layer_is_a_linen_module():
    layer = serial(
        ("fc", dense(5)), ("norm", batch_norm()), ("drop", dropout(0.5)), ("head", dense(3))
    )
    module = to_linen(layer)
    variables = module.init({"params": key}, x)
    params, state = (variables[name]["layer"] for name in ("params", "batch_stats"))
    assert_same((spec(params), spec(state)), jax.eval_shape(layer.init, key, x))
    assert_same(module.apply(variables, x), layer.apply(params, state, x)[0])
    y, after = module.apply(
        variables, x, train=True, rngs={"dropout": key}, mutable=["batch_stats"]
    )
    assert (y == 0).sum() < y.size
    assert not np.array_equal(after["batch_stats"]["layer"]["norm"]["mean"], state["norm"]["mean"])
    stateless = to_linen(serial(("fc", dense(2))))
    assert stateless.apply(stateless.init(key, x), x).shape == (8, 2)


@pytest.mark.parametrize("convert", [from_linen, from_nnx, to_linen])
def test_an_object_that_is_not_a_module_is_refused(convert):
    with pytest.raises(LayerError, match=r"expects a.* but got"):
        convert(3)


def test_a_linen_module_without_an_argument_for_training_is_a_layer():
    layer = from_linen(nn.Dense(2))
    params, state = layer.init(key, jax.ShapeDtypeStruct((8, 6), jnp.float32))
    assert state == {} and layer.apply(params, state, x, train=True)[0].shape == (8, 2)
