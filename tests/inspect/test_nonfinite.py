"""The finder names the layer, the operation, the pass and the line of a planted fault."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
from helpers import normal

from jaxnets import dense, losses, serial
from jaxnets.inspect import first_nonfinite
from jaxnets.training import Batch, make_train_step

X = normal(4, 3)
BATCH = Batch(X, jnp.arange(4) % 2, jnp.ones(4))


def log(x):
    return jnp.log(x)


def root(x):
    return jnp.sqrt(0 * x)


def culprit_of_a_step(*stages, tx=None, loss=losses.softmax_cross_entropy, x=X):
    """The culprit of one optimizer step of a two-layer network with `stages` in the middle."""
    block = serial(("fc1", dense(5)), *stages)
    model = serial(("block", block), ("head", dense(2)))
    train_step = make_train_step(model, tx or optax.sgd(0.1), loss)
    train_state = train_step.init(jax.random.key(0), X)
    return first_nonfinite(train_step, train_state, BATCH._replace(x=x))


def test_a_finite_step_has_no_culprit():
    assert culprit_of_a_step(jax.nn.relu) is None


def test_the_log_of_a_negative_number_in_a_layer_s_forward_pass():
    culprit = culprit_of_a_step(("bad", log))
    assert culprit[:3] == ("block/bad", "log", False)
    line = log.__code__.co_firstlineno + 1
    assert f"test_nonfinite.py:{line}" in culprit.source and "(log)" in culprit.source
    assert culprit_of_a_step(log)[:3] == ("block", "log", False)


def test_the_derivative_of_a_square_root_at_0_is_in_the_backward_pass():
    culprit = culprit_of_a_step(("bad", root))
    assert (culprit.path, culprit.backward) == ("block/bad", True)
    assert f"test_nonfinite.py:{root.__code__.co_firstlineno + 1}" in culprit.source
    params, _ = serial(("fc1", dense(5))).init(jax.random.key(0), X)
    power = serial(("fc1", dense(5)), ("bad", lambda x: (0 * x) ** 0.3))
    gradient = jax.grad(lambda params: power.apply(params, {}, X)[0].sum())
    assert first_nonfinite(gradient, params).backward


def test_a_gradient_whose_forward_pass_is_at_fault():
    model = serial(("fc1", dense(5)), ("bad", jnp.sqrt))
    params, _ = model.init(jax.random.key(0), X)
    gradient = jax.jit(jax.grad(lambda params: model.apply(params, {}, X)[0].sum()))
    assert first_nonfinite(gradient, params)[:3] == ("bad", "sqrt", False)


def test_a_fault_in_the_loss_or_the_optimizer_is_outside_layers():
    def loss(outputs, labels):
        return losses.softmax_cross_entropy(outputs, labels) / (0 * outputs[:, 0])

    assert culprit_of_a_step(loss=loss)[:3] == ("", "div", False)

    def divide_by_norm(updates, params):
        del params
        return jax.tree.map(lambda g: g / (0 * g).sum(), updates)

    tx = optax.stateless(divide_by_norm)
    culprit = culprit_of_a_step(tx=tx)
    assert culprit[:3] == ("", "div", False)
    assert f"test_nonfinite.py:{divide_by_norm.__code__.co_firstlineno + 2}" in culprit.source


def test_an_input_that_is_not_finite_is_reported_by_its_path():
    culprit = culprit_of_a_step(jax.nn.relu, x=X.at[1, 2].set(jnp.nan))
    assert culprit[:3] == ("arguments[1]/x", "input", False)


def test_masked_values_and_constant_infinities_are_not_reported():
    def masked(x):
        return jnp.where(x > 0, jnp.log(x), 0.0) + jnp.log1p(x - 10)

    x = jnp.array([-1.0, 1.0])
    culprit = first_nonfinite(masked, x)
    assert culprit.operation == "log1p"
    best = jnp.float32(np.inf)
    assert first_nonfinite(lambda x, best: (x, jnp.minimum(best, 1)), x, best) is None
    assert first_nonfinite(lambda x, best: (jnp.log(x), best), x, best).operation == "log"
    assert first_nonfinite(lambda x: jax.nn.softmax(jnp.where(x > 0, x, -jnp.inf)), x) is None
    lowest = first_nonfinite(lambda x: jnp.where(x > 9, x, -jnp.inf).max() - -jnp.inf, x)
    assert lowest.operation == "sub"  # infinity - infinity is a fault
