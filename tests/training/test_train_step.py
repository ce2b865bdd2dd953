"""One train step: its formula, and everything it depends on."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from clouds import HPARAMS, MODEL, TRAIN, TRAIN_STEP, plain, sgd
from helpers import assert_close, assert_same, spec

from jaxnets import dense, losses, metrics, serial
from jaxnets.keys import stream
from jaxnets.training import Batch, make_train_step

X, Y = map(jnp.asarray, (TRAIN[0][:6], TRAIN[1][:6]))
BATCH = Batch(X, Y, jnp.ones(6))
RATE = 0.1
PERCEPTRON = serial(("fc1", dense(8)), jnp.tanh, ("head", dense(3)))


def by_hand(params, x, y):
    hidden = jnp.tanh(x @ params["fc1"]["kernel"] + params["fc1"]["bias"][None])
    logits = hidden @ params["head"]["kernel"] + params["head"]["bias"][None]
    return -jax.nn.log_softmax(logits)[jnp.arange(len(y)), y].mean()


def descended(params, gradient):
    return jax.tree.map(lambda w, g: w - RATE * g, params, gradient)


STEP = TRAIN_STEP(HPARAMS)


def start(train_step, number=0):
    train_state = train_step.init(jax.random.key(0), X)
    return train_state._replace(step=jnp.int32(number))


def step(train_step, train_state, batch=BATCH):
    return jax.jit(train_step)(train_state, batch)


def test_a_step_of_sgd_is_params_minus_rate_times_gradient():
    train_step = make_train_step(PERCEPTRON, optax.sgd(RATE), losses.softmax_cross_entropy)
    before = start(train_step)
    after, sums = step(train_step, before)
    value, gradient = jax.jit(jax.value_and_grad(by_hand))(before.params, X, Y)
    assert_close(after.params, descended(before.params, gradient), 1e-6)
    assert_close((sums["objective"], *sums["loss"]), (value, 6 * value, jnp.float32(6)), 1e-6)
    assert after.step == 1


def test_a_penalty_is_minimized_but_not_reported_in_the_loss():
    def penalty(params):
        return losses.l2(params, 0.01)

    def objective(params):
        kernels = params["fc1"]["kernel"], params["head"]["kernel"]
        return by_hand(params, X, Y) + 0.01 * sum((kernel**2).sum() for kernel in kernels)

    train_step = make_train_step(
        PERCEPTRON, optax.sgd(RATE), losses.softmax_cross_entropy, penalty=penalty
    )
    before = start(train_step)
    after, sums = step(train_step, before)
    value, gradient = jax.jit(jax.value_and_grad(objective))(before.params)
    assert_close(after.params, descended(before.params, gradient), 1e-6)
    assert_close(sums["objective"], value, 1e-6)
    assert_close(sums["loss"][0] / 6, by_hand(before.params, X, Y), 1e-6)


def test_a_row_of_weight_zero_changes_nothing_even_if_its_loss_is_nan():
    train_step = make_train_step(
        PERCEPTRON,
        sgd(HPARAMS),
        losses.softmax_cross_entropy,
        metrics={"confusion": metrics.confusion_matrix(3)},
    )
    padded = Batch(X.at[4:].set(1e6), Y.at[4:].set(99), jnp.array([1.0, 1, 1, 1, 0, 0]))
    assert np.isnan(losses.softmax_cross_entropy(jnp.zeros((6, 3)), padded.y)[4:]).all()
    alone = Batch(X[:4], Y[:4], jnp.ones(4))
    (after, sums), (expected, expected_sums) = (
        step(train_step, start(train_step), batch) for batch in (padded, alone)
    )
    assert_close(plain(after), plain(expected), 1e-6)
    assert_close(sums, expected_sums, 1e-6)


def test_a_step_is_a_pure_function():
    before = start(STEP)
    kept = jax.tree.map(np.array, plain(before))
    # Each is traced anew.
    (first, first_sums), (second, second_sums) = (
        step(lambda *arguments: STEP(*arguments), before) for _ in range(2)
    )
    assert_same((plain(first), first_sums), (plain(second), second_sums))
    assert_same(jax.tree.map(np.array, plain(before)), kept)


def test_a_step_keeps_the_structure_and_dtypes_of_the_train_state():
    before = start(STEP)
    assert spec(jax.eval_shape(STEP, before, BATCH)[0]) == spec(before)


def noisy(key, x, y):
    return x + jax.random.normal(key, x.shape), y[::-1]


NOISY = make_train_step(MODEL, sgd(HPARAMS), losses.softmax_cross_entropy, augment=noisy)


@pytest.mark.parametrize("number", [0, 7])
def test_randomness_in_a_step_is_a_function_of_key_and_step(number):
    before = start(NOISY, number)
    after, sums = step(NOISY, before)
    x, y = noisy(stream(before.key, "augment", number), X, Y)
    key = stream(before.key, "step", number)
    outputs, state = MODEL.apply(before.params, before.model_state, x, key=key, train=True)
    assert_close(sums["objective"], losses.softmax_cross_entropy(outputs, y).mean(), 1e-6)
    assert_close(after.model_state, state, 1e-6)
    assert_same(jax.random.key_data(after.key), jax.random.key_data(before.key))


def test_init_starts_at_step_zero_with_two_streams_of_the_key():
    key, spec = jax.random.key(3), jax.ShapeDtypeStruct((1, 2), jnp.float32)
    train_state = STEP.init(key, spec)
    params, state = MODEL.init(stream(key, "init"), spec)
    assert_same((train_state.params, train_state.model_state), (params, state))
    assert_same(train_state.opt_state, sgd(HPARAMS).init(params))
    assert_same(train_state.step, jnp.int32(0))
    assert train_state.key == stream(key, "train")


def test_equal_parts_make_an_equal_train_step():
    def again(loss):
        return make_train_step(MODEL, STEP.optimizer, loss, metrics={"accuracy": metrics.accuracy})

    assert again(losses.softmax_cross_entropy) == STEP
    assert hash(again(losses.softmax_cross_entropy)) == hash(STEP)
    assert again(losses.squared_error) != STEP


def test_a_population_gives_each_member_its_own_rate():
    rates = jnp.array([0.0, 0.1, 0.3])

    def by_rate(train_state, batch, rate):
        return TRAIN_STEP({"learning_rate": rate})(train_state, batch)

    before, one = start(STEP), jax.jit(by_rate)
    members, _ = jax.jit(jax.vmap(by_rate, (None, None, 0)))(before, BATCH, rates)
    for i, rate in enumerate(rates):
        alone, _ = one(before, BATCH, rate)
        assert_close(jax.tree.map(lambda leaf, i=i: leaf[i], members.params), alone.params, 1e-6)


def test_a_loss_that_is_not_a_function_is_refused():
    with pytest.raises(TypeError, match="expects a loss function, but got 'mse'"):
        make_train_step(MODEL, STEP.optimizer, "mse")


@pytest.mark.parametrize(
    "loss", [lambda o, y: o.argmax(-1) == y, lambda o, y: (o.argmax(-1) - y) ** 2]
)
def test_a_loss_without_a_gradient_is_refused(loss):
    train_step = make_train_step(PERCEPTRON, optax.sgd(RATE), loss)
    with pytest.raises(ValueError, match=r"expects a differentiable loss, but got (bool|int32)"):
        step(train_step, start(train_step))


def test_a_loss_of_one_number_is_refused_even_if_it_is_not_reported():
    train_step = make_train_step(
        PERCEPTRON,
        optax.sgd(RATE),
        lambda outputs, labels: losses.softmax_cross_entropy(outputs, labels).mean(),
        metrics={"loss": metrics.accuracy},
    )
    with pytest.raises(ValueError, match=r"one number per example.* shape \(\); remove the \.mean"):
        step(train_step, start(train_step))


def test_a_penalty_of_more_than_one_number_is_refused_with_the_cure():
    train_step = make_train_step(
        PERCEPTRON,
        optax.sgd(RATE),
        losses.softmax_cross_entropy,
        penalty=lambda params: params["head"]["bias"] ** 2,
    )
    with pytest.raises(ValueError, match=r"one number, but got shape \(3,\); sum over the params"):
        step(train_step, start(train_step))


def test_a_loss_gets_16_bit_outputs_in_float32():
    seen = []

    def loss(outputs, labels):
        seen.append(outputs.dtype)
        return losses.softmax_cross_entropy(outputs, labels)

    train_step = make_train_step(PERCEPTRON, optax.sgd(RATE), loss)
    before = start(train_step)
    params = jax.tree.map(lambda w: w.astype(jnp.bfloat16), before.params)
    batch = BATCH._replace(x=X.astype(jnp.bfloat16))
    jax.eval_shape(train_step, before._replace(params=params), batch)
    assert set(seen) == {jnp.dtype(jnp.float32)}
