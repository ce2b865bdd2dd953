"""Losses and metrics must return one number per example, and sums must add up."""

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import eval_state, eval_step
from streams import IDENTITY, unchecked

from jaxnets import dense, losses, metrics, serial
from jaxnets.metrics import Metric
from jaxnets.training import Batch, evaluate, make_train_step
from jaxnets.training.population import evaluate_population

N = 10
MODEL = serial(("head", dense(1)))
ONES, ZEROS = np.ones((N, 1), np.float32), np.zeros((N, 1), np.float32)


def distance(outputs, labels):
    return jnp.abs(outputs - labels)


WRONG = [
    (distance, r"got shape \(10, 1\); drop the last axis with \.squeeze\(-1\)"),
    (lambda o, y: distance(o, y).mean(), r"got shape \(\); remove the \.mean\(\) or \.sum\(\)"),
    (
        lambda o, y: jnp.stack([o - y, o + y], -1),
        r"shape \(10, 1, 2\); take the mean .*axis=\(1, 2\)",
    ),
    (lambda o, y: distance(o, y).T, r"got shape \(1, 10\); keep the batch axis first"),
    (lambda o, y: None, "got NoneType; return one array"),
    (lambda o, y: (o[:, 0], y[:, 0]), "got tuple; return one array"),
    (lambda o, y: 0.5, r"got shape \(\)"),
    (lambda o, y: o[:, 0] + 1j, "got complex64; return real numbers"),
]


def evaluated(split, named_metrics):
    return evaluate(eval_step(IDENTITY), eval_state({}), split, metrics=named_metrics)


def in_metric(function, x, y):
    return evaluated((x, y), {"metric": metrics.mean(function)})


def in_population(function, x, y):
    named_metrics = {"metric": metrics.mean(function)}
    members = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), eval_state({"w": jnp.ones(())}))
    return evaluate_population(eval_step(IDENTITY), members, (x, y), metrics=named_metrics)


def in_train_step(function, x, y):
    train_step = make_train_step(MODEL, optax.sgd(0.1), function)
    train_state = train_step.init(jax.random.key(0), x)
    batch = Batch(jnp.asarray(x), jnp.asarray(y), jnp.ones(len(x)))
    return jax.eval_shape(train_step, train_state, batch)


# The last block pads 10 rows to 500.
WHERE = [(in_metric, "500"), (in_population, "500"), (in_train_step, "10")]


@pytest.mark.parametrize(("function", "message"), WRONG)
@pytest.mark.parametrize(("user", "rows"), WHERE)
def test_anything_but_one_number_per_example_is_refused_with_the_cure(
    function, message, user, rows
):
    with pytest.raises(ValueError, match=message.replace("10", rows)) as error:
        user(function, ONES, ZEROS)
    assert f"return one number per example, shape ({rows},)" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("user", "rows"), WHERE)
@pytest.mark.parametrize("reduced", [lambda x: x, lambda x: x.mean(-1), lambda x: x.mean()])
def test_labels_that_would_broadcast_to_every_pair_are_refused_with_the_cure(user, rows, reduced):
    def loss(outputs, labels):
        return reduced(distance(outputs, labels))

    with (
        jax.numpy_rank_promotion("allow"),  # as outside tests
        pytest.raises(ValueError, match=r"labels \(\d+,\) broadcast .* as in y\[:, None\]"),
    ):
        user(loss, ONES, ZEROS[:, 0])


def test_labels_with_an_extra_axis_are_refused_with_the_cure():
    with (
        jax.numpy_rank_promotion("allow"),
        pytest.raises(ValueError, match=r"outputs \(500,\) and labels \(500, 1\) .* y\[:, 0\]"),
    ):
        in_metric(lambda o, y: distance(o, y).mean(-1), ONES[:, 0], ZEROS)


@pytest.mark.parametrize("rows", [1, 2, N])
@pytest.mark.parametrize(
    "function", [lambda o, y: jnp.abs(o[:, 0] - y), lambda o, y: o[:, 0], metrics.correct]
)
def test_a_function_that_pairs_outputs_and_labels_may_take_different_ranks(function, rows):
    values = metrics.mean(function).sums(ONES[:rows], ZEROS[:rows, 0], jnp.ones(rows))
    assert values == (0 if function is metrics.correct else rows, rows)


@pytest.mark.parametrize("rows", [7, 500, 501, 1203])
def test_the_mean_of_bools_and_integers_is_exact_for_any_number_of_rows(rows):
    rng = np.random.default_rng(rows)
    x, y = rng.normal(size=(rows, 3)).astype(np.float32), rng.integers(0, 3, rows)
    named_metrics = {
        "bool": metrics.mean(lambda o, y: o.argmax(-1) == y),
        "int": metrics.mean(lambda o, y: abs(o.argmax(-1) - y)),
        "uint8": metrics.mean(lambda o, y: jnp.uint8(200) * (o.argmax(-1) == y).astype(jnp.uint8)),
        "float16": metrics.mean(lambda o, y: o[:, 0].astype(jnp.float16)),
    }
    actual = evaluated((x, y), named_metrics)
    predicted = x.argmax(1)
    expected = {
        "bool": (predicted == y).mean(),
        "int": abs(predicted - y).mean(),
        "uint8": 200 * (predicted == y).mean(),
        "float16": x[:, 0].astype(np.float16).astype(np.float64).mean(),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(actual[name], value, rtol=1e-5, atol=1e-6)


def test_a_function_of_16_bit_outputs_is_summed_in_float32():
    x = np.full((N, 2000), 0.3, jnp.bfloat16)
    actual = evaluated((x, ZEROS[:, 0]), {"sum": metrics.mean(lambda o, y: o.sum(-1))})
    np.testing.assert_allclose(actual["sum"], x[0].astype(np.float64).sum(), rtol=1e-6)


@pytest.mark.parametrize("function", ["mse", None, 3, metrics.accuracy])
def test_a_mean_of_something_that_is_not_a_function_is_refused(function):
    message = r"metrics\.mean expects a function of \(outputs, labels"
    with unchecked(), pytest.raises(ValueError, match=message):
        metrics.mean(function)


BAD_SUMS = [
    (lambda o, y, w: distance(o, y) * w[:, None], r"\[\(500, 1\)\] for 500 .*\.sum\(0\)"),
    (lambda o, y, w: distance(o, y).mean(), "ignore the weights; use .* metrics.mean for a mean"),
    (lambda o, y, w: (distance(o, y)[:, 0] @ w, 1.0), "ignore the weights"),
    (lambda o, y, w: (o[:, 0] * w).sum() > 1, r"32 or 64 bits, but got bool; cast them"),
    (lambda o, y, w: (o[:, 0] * w).sum().astype(jnp.bfloat16), "but got bfloat16; cast them"),
    (lambda o, y, w: (o[:, 0] * w).sum().astype(jnp.uint8), "but got uint8; cast them"),
    (lambda o, y, w: (o[:, 0] * w).sum() * 1j, "but got complex64; cast them"),
]


@pytest.mark.parametrize(("sums", "message"), BAD_SUMS)
def test_sums_that_do_not_add_up_are_refused_with_the_cure(sums, message):
    bad = {"mine": Metric(sums, lambda sums: sums)}
    with pytest.raises(ValueError, match=rf"metric 'mine' expects sums that add up .*{message}"):
        evaluated((ONES, ZEROS), bad)
    train_step = make_train_step(MODEL, optax.sgd(0.1), losses.squared_error, metrics=bad)
    train_state = train_step.init(jax.random.key(0), ONES)
    with pytest.raises(ValueError, match="metric 'mine' expects sums that add up"):
        jax.eval_shape(train_step, train_state, Batch(ONES, ZEROS, np.ones(N, np.float32)))


def test_custom_sums_are_correct_over_several_blocks():
    def sums(outputs, labels, weights):
        return {"squares": (outputs[:, 0] ** 2 * weights).sum(), "n": weights.sum().astype(int)}

    root = Metric(sums, lambda sums: jnp.sqrt(sums["squares"] / sums["n"]))
    x = np.random.default_rng(0).normal(size=(1201, 1)).astype(np.float32)
    actual = evaluated((x, x), {"root": root})
    np.testing.assert_allclose(
        actual["root"], np.sqrt((x.astype(np.float64) ** 2).mean()), rtol=1e-6
    )


def test_equal_functions_give_equal_metrics():
    assert metrics.mean(distance) == metrics.mean(distance)
    assert hash(metrics.mean(distance)) == hash(metrics.mean(distance))
    assert metrics.mean(distance) != metrics.mean(metrics.correct)


def test_a_loss_is_garbage_collected_with_its_train_step_and_metric():
    def make_loss(scale):
        return lambda outputs, labels: scale * jnp.abs(outputs - labels)[:, 0]

    loss = make_loss(2.0)
    alive = weakref.ref(loss)
    metric = metrics.mean(loss)
    train_step = make_train_step(MODEL, optax.sgd(0.1), loss)
    assert metric.value(metric.sums(ONES, ZEROS, jnp.ones(N))) == 2
    del loss, metric, train_step
    gc.collect()
    assert alive() is None
