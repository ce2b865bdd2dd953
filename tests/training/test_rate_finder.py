"""The learning-rate finder: its rates, its suggestion, and its data."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_same, normal

from jaxnets import dense, losses, serial
from jaxnets.data import Stream
from jaxnets.training import Batch, RunError, find_learning_rate, make_train_step

X = normal(40, 3)
Y = X @ jnp.array([[1.0], [-2.0], [0.5]])
HPARAMS = {"learning_rate": 0.5, "momentum": 0.0}


def by_rate(loss):
    """A function of hyperparameters that returns a train step with this loss."""

    def train_step(hparams):
        optimizer = optax.sgd(hparams["learning_rate"], momentum=hparams["momentum"])
        return make_train_step(serial(("fc", dense(1))), optimizer, loss)

    return train_step


TRAIN_STEP = by_rate(losses.squared_error)
STEP = jax.jit(lambda train_state, batch, hparams: TRAIN_STEP(hparams)(train_state, batch))
ALL = Batch(X, Y, jnp.ones(40))


def start():
    return TRAIN_STEP(HPARAMS).init(jax.random.key(0), X[:1])


def at(rate):
    return HPARAMS | {"learning_rate": jnp.float32(rate)}


def test_the_rates_rise_geometrically_and_each_loss_is_that_before_the_step():
    train_state = start()
    result = find_learning_rate(
        *(TRAIN_STEP, train_state, (X, Y)),
        hparams=HPARAMS,
        batch_size=40,
        smallest=1e-3,
        largest=0.1,
        steps=9,
    )
    np.testing.assert_allclose(result.rates, np.geomspace(1e-3, 0.1, 9), rtol=1e-6)
    for rate, loss in zip(result.rates, result.losses, strict=True):
        train_state, sums = STEP(train_state, ALL, at(rate))
        np.testing.assert_allclose(loss, sums["objective"], rtol=1e-5)


def test_each_loss_is_the_weighted_mean():
    weights = (jnp.arange(40) % 4).astype(jnp.float32)
    options = {"hparams": HPARAMS, "batch_size": 40, "steps": 5}
    result = find_learning_rate(TRAIN_STEP, start(), (X, Y, weights), **options)
    _, sums = STEP(start(), ALL._replace(weights=weights), at(1e-6))
    np.testing.assert_allclose(result.losses[0], sums["objective"], rtol=1e-5)


def test_the_suggestion_is_a_tenth_of_the_rate_at_the_smoothed_minimum():
    result = find_learning_rate(TRAIN_STEP, start(), (X, Y), hparams=HPARAMS, batch_size=40)
    smooth = [result.losses[i - 2 : i + 3].mean() for i in range(2, 98)]
    assert result.suggestion == pytest.approx(result.rates[2 + np.nanargmin(smooth)] / 10)


def test_the_suggested_rate_lowers_the_loss_and_a_hundred_times_that_raises_it():
    result = find_learning_rate(TRAIN_STEP, start(), (X, Y), hparams=HPARAMS, batch_size=40)

    def loss_after_thirty_steps(rate):
        train_state = start()
        for _ in range(30):
            train_state, sums = STEP(train_state, ALL, at(rate))
        return sums["objective"]

    assert loss_after_thirty_steps(result.suggestion) < 0.1 * result.losses[0]
    assert not loss_after_thirty_steps(100 * result.suggestion) < result.losses[0]


def test_it_does_not_modify_the_train_state():
    train_state = start()
    before = jax.tree.map(np.asarray, train_state._replace(key=None))
    find_learning_rate(TRAIN_STEP, train_state, (X, Y), hparams=HPARAMS, batch_size=8)
    jax.tree.map(np.testing.assert_array_equal, before, train_state._replace(key=None))


def test_it_is_deterministic_and_compiles_once():
    # labels beyond 1 would trace the loss once more, to check whether they are binary
    train_state, traces, data = start(), [], (X, Y / 10)

    def counted(outputs, targets):
        traces.append(1)
        return losses.squared_error(outputs, targets)

    train_step = by_rate(counted)
    first = find_learning_rate(train_step, train_state, data, hparams=HPARAMS, batch_size=8)
    seen = len(traces)
    again = find_learning_rate(train_step, train_state, data, hparams=HPARAMS, batch_size=8)
    assert_same(first.losses, again.losses)
    find_learning_rate(train_step, train_state, data, hparams=HPARAMS, batch_size=8, largest=1.0)
    assert len(traces) == seen


def test_batches_are_shuffled_and_start_over_at_the_end_of_the_data():
    rows_of = jnp.arange(40.0)[:, None]
    train_step = by_rate(lambda outputs, rows: rows[:, 0] + 0 * outputs[:, 0])
    result = find_learning_rate(
        train_step, start(), (X, rows_of), hparams=HPARAMS, batch_size=1, steps=80
    )
    assert sorted(result.losses[:40]) == list(range(40))
    assert_same(result.losses[:40], result.losses[40:])
    assert list(result.losses[:40]) != list(range(40))


class RecordingStream(Stream):
    """A stream that records the rows it reads."""

    def __init__(self, source):
        self.rows = []
        super().__init__(source)

    def read(self, rows):
        self.rows.append(rows.tolist())
        return super().read(rows)


def test_a_small_stream_gives_the_result_of_its_data_in_memory():
    data = (np.asarray(X), np.asarray(Y))
    in_memory, streamed = (
        find_learning_rate(TRAIN_STEP, start(), d, hparams=HPARAMS, batch_size=8, steps=20)
        for d in (data, Stream(data))
    )
    assert_same(tuple(streamed), tuple(in_memory))


def test_only_the_rows_that_are_needed_are_read_from_a_large_stream():
    data = RecordingStream((np.asarray(X), np.asarray(Y)))
    result = find_learning_rate(
        TRAIN_STEP, start(), data, hparams=HPARAMS, batch_size=3, steps=6, largest=0.1
    )
    assert np.isfinite(result.losses).all()
    _, rows = data.rows
    assert len(set(rows)) == len(rows) == 3 * 6
    assert rows == sorted(rows) != list(range(18))


NO_RATE = {"momentum": 0.9}
FIXED = make_train_step(serial(("fc", dense(1))), optax.sgd(0.1), losses.squared_error)
INFINITE = by_rate(lambda y, t: y[:, 0] / 0 * t[:, 0])


@pytest.mark.parametrize(
    "train_step, hparams, options, message",
    [
        (TRAIN_STEP, NO_RATE, {}, r'"learning_rate", but got \{.*write lambda hparams: make'),
        (TRAIN_STEP, None, {}, r'"learning_rate", but got None; write lambda hparams: make'),
        (FIXED, HPARAMS, {}, r"whose learning rate is fixed; write lambda hparams: make"),
        (TRAIN_STEP, HPARAMS, {"smallest": 1.0, "largest": 0.1}, "smallest < largest, but got 1.0"),
        (
            TRAIN_STEP,
            HPARAMS,
            {"batch_size": 41},
            "got batch_size=41 for 40 examples; use at most 40",
        ),
        (TRAIN_STEP, HPARAMS, {"steps": 4}, "at least 5 steps, but got 4"),
        (
            INFINITE,
            HPARAMS,
            {},
            "finite loss at its first 5 rates, 1e-06 to .*start from a smaller rate",
        ),
    ],
)
def test_a_wrong_range_test_is_refused_with_the_cure(train_step, hparams, options, message):
    with pytest.raises(RunError, match=message):
        find_learning_rate(
            *(train_step, start(), (X, Y)), hparams=hparams, **{"batch_size": 8, **options}
        )
