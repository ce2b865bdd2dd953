"""Optimizers that take the loss, its gradient or its function are those of a loop by hand."""

import jax
import jax.numpy as jnp
import optax
import pytest
from clouds import TRAIN, run
from helpers import assert_close, assert_same

from jaxnets import dense, losses, serial
from jaxnets.training import Batch, descend, make_update

MODEL = serial(("fc1", dense(4)), jnp.tanh, ("head", dense(3)))
X, Y = map(jnp.asarray, TRAIN)
OPTIMIZERS = {
    "lbfgs": optax.lbfgs(),
    "polyak_sgd": optax.polyak_sgd(max_learning_rate=0.5),
    "momo": optax.contrib.momo(),
    "backtracking": optax.chain(optax.sgd(1.0), optax.scale_by_backtracking_linesearch(10)),
    "reduce_on_plateau": optax.chain(
        optax.sgd(0.1), optax.contrib.reduce_on_plateau(patience=1, rtol=0.3, factor=0.25)
    ),
}


def loss(params):
    logits = MODEL.apply(params, {}, X)[0]
    return optax.softmax_cross_entropy_with_integer_labels(logits, Y).mean()


def by_hand(f, tx, params, steps):
    """The params before each step and after the last, and the values: optax's own loop."""

    @jax.jit
    def step(params, state):
        value, gradient = jax.value_and_grad(f)(params)
        updates, state = tx.update(gradient, state, params, value=value, grad=gradient, value_fn=f)
        return optax.apply_updates(params, updates), state, value

    state, points, values = tx.init(params), [params], []
    for _ in range(steps):
        params, state, value = step(params, state)
        points.append(params)
        values.append(value)
    return points, jnp.stack(values)


@pytest.mark.parametrize("tx", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_run_is_optax_s_own_loop(tx):
    update = make_update(MODEL, tx, losses.softmax_cross_entropy)
    fitted = run(update, hyper=None, epochs=5, batch_size=len(X))
    start = update.init(jax.random.key(0), X[:1]).params
    points, values = by_hand(loss, tx, start, 5)
    assert_close(fitted.train_state.params, points[-1], 1e-5)
    assert_close(jnp.array([p.train["loss"] for p in fitted.history]), values, 1e-5)


def test_what_takes_no_extra_arguments_gets_none_and_keeps_its_bits():
    tx = optax.adam(0.1)
    update = make_update(MODEL, tx, losses.softmax_cross_entropy)
    before = update.init(jax.random.key(0), X[:1])
    after, _ = jax.jit(update)(before, Batch(X, Y, jnp.ones(len(X))))

    @jax.jit
    def by_optax(params, state):
        def objective(params):
            each = losses.softmax_cross_entropy(MODEL.apply(params, {}, X)[0], Y)
            return jnp.where(jnp.ones(len(X)) > 0, each, 0).sum() / jnp.ones(len(X)).sum()

        updates, _ = tx.update(jax.grad(objective)(params), state, params)
        return optax.apply_updates(params, updates)

    assert_close(after.params, by_optax(before.params, before.opt_state), 1e-6)


def test_a_descent_passes_them_too():
    def bowl(x):
        return jnp.square(x - 3).sum()

    start, tx = jnp.array([0.0, 1.0]), optax.lbfgs()
    points, values = by_hand(bowl, tx, start, 3)
    found = descend(bowl, start, tx, 3)
    assert_close((found.points, found.values[:3]), (jnp.stack(points), values), 1e-5)


def test_the_value_is_the_whole_objective():
    """With the penalty, whose gradient the optimizer gets as well."""
    seen = optax.GradientTransformationExtraArgs(
        lambda params: jnp.float32(0),
        lambda updates, state, params, *, value, grad, value_fn, **more: (
            jax.tree.map(jnp.zeros_like, updates),
            value - value_fn(params) + 1,
        ),
    )
    update = make_update(
        MODEL,
        seen,
        losses.softmax_cross_entropy,
        penalty=lambda params, hyper: losses.l2(params, 1.0),
    )
    before = update.init(jax.random.key(0), X[:1])
    after, sums = update(before, Batch(X, Y, jnp.ones(len(X))))
    assert sums["objective"] > sums["loss"][0] / len(X) + 0.1
    assert_same(after.opt_state, jnp.float32(1))
