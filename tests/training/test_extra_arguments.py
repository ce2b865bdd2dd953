"""Optimizers that take the loss, its gradient or its function train as in a loop by hand."""

import jax
import jax.numpy as jnp
import optax
import pytest
from clouds import TRAIN, run
from helpers import assert_close, assert_same

from jaxnets import dense, losses, serial
from jaxnets.training import Batch, descend, make_train_step

MODEL = serial(("fc1", dense(4)), jnp.tanh, ("head", dense(3)))
X, Y = map(jnp.asarray, TRAIN)
OPTIMIZERS = {
    "lbfgs": optax.lbfgs(),
    "momo": optax.contrib.momo(),
    "backtracking": optax.chain(optax.sgd(1.0), optax.scale_by_backtracking_linesearch(10)),
    "polyak_sgd": optax.polyak_sgd(max_learning_rate=0.5),
    "reduce_on_plateau": optax.chain(  # which it does after three steps
        optax.sgd(0.5), optax.contrib.reduce_on_plateau(patience=1, rtol=0.2, factor=0.25)
    ),
}


def loss(params):
    logits = MODEL.apply(params, {}, X)[0]
    return optax.softmax_cross_entropy_with_integer_labels(logits, Y).mean()


def by_hand(tx, params, steps):
    """The params and the losses of a loop written with optax and `jax.value_and_grad`."""

    @jax.jit
    def step(params, state):
        value, gradient = jax.value_and_grad(loss)(params)
        updates, state = tx.update(
            gradient, state, params, value=value, grad=gradient, value_fn=loss
        )
        return optax.apply_updates(params, updates), state, value

    state, values = jax.jit(tx.init)(params), []
    for _ in range(steps):
        params, state, value = step(params, state)
        values.append(value)
    return params, jnp.stack(values)


@pytest.mark.parametrize("tx", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_a_run_is_the_loop_of_optax(tx):
    train_step = make_train_step(MODEL, tx, losses.softmax_cross_entropy)
    fitted = run(train_step, epochs=5, batch_size=len(X))
    start = jax.jit(train_step.init)(jax.random.key(0), X[:1]).params
    params, values = by_hand(tx, start, 5)
    assert_close(fitted.train_state.params, params, 1e-5)
    assert_close(jnp.array([p.train["loss"] for p in fitted.history]), values, 1e-5)


def test_an_optimizer_without_extra_arguments_gets_none():
    tx = optax.adam(0.1)
    train_step = make_train_step(MODEL, tx, losses.softmax_cross_entropy)
    before = jax.jit(train_step.init)(jax.random.key(0), X[:1])
    after, _ = jax.jit(train_step)(before, Batch(X, Y, jnp.ones(len(X))))

    @jax.jit
    def by_optax(params, state):
        def objective(params):
            each = losses.softmax_cross_entropy(MODEL.apply(params, {}, X)[0], Y)
            return jnp.where(jnp.ones(len(X)) > 0, each, 0).sum() / jnp.ones(len(X)).sum()

        updates, _ = tx.update(jax.grad(objective)(params), state, params)
        return optax.apply_updates(params, updates)

    assert_close(after.params, by_optax(before.params, before.opt_state), 1e-6)


def test_a_descent_passes_extra_arguments_too():
    def bowl(x):
        return jnp.square(x - 3).sum()

    x, tx, state = jnp.array([0.0, 1.0]), optax.lbfgs(), optax.lbfgs().init(jnp.array([0.0, 1.0]))
    points = [x]

    @jax.jit
    def step(x, state):
        value, gradient = jax.value_and_grad(bowl)(x)
        updates, state = tx.update(gradient, state, x, value=value, grad=gradient, value_fn=bowl)
        return optax.apply_updates(x, updates), state

    for _ in range(3):
        x, state = step(x, state)
        points.append(x)
    assert_close(descend(bowl, points[0], tx, 3).points, jnp.stack(points), 1e-5)


def test_the_value_is_the_whole_objective():
    """It includes the penalty, whose gradient the optimizer gets as well."""
    seen = optax.GradientTransformationExtraArgs(
        lambda params: jnp.float32(0),
        lambda updates, state, params, *, value, grad, value_fn, **more: (
            jax.tree.map(jnp.zeros_like, updates),
            value - value_fn(params) + 1,
        ),
    )
    train_step = make_train_step(
        MODEL,
        seen,
        losses.softmax_cross_entropy,
        penalty=lambda params: losses.l2(params, 1.0),
    )
    before = jax.jit(train_step.init)(jax.random.key(0), X[:1])
    after, sums = jax.jit(train_step)(before, Batch(X, Y, jnp.ones(len(X))))
    assert sums["objective"] > sums["loss"][0] / len(X) + 0.1
    assert_same(after.opt_state, jnp.float32(1))
