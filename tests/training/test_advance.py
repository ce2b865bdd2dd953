"""`advance` trains one chunk: chunks of any lengths give the run of `fit`, bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from clouds import HPARAMS, TRAIN, TRAIN_STEP, VALIDATION, by_rate, plain, run
from helpers import assert_close, assert_same, examples
from hypothesis import given
from hypothesis import strategies as st
from refusals import chunks_compiled

from jaxnets import losses, models
from jaxnets.data import Stream
from jaxnets.training import NonFiniteLoss, RunError, advance, evaluate, start_run
from jaxnets.training.chunk import CAPACITY
from jaxnets.training.population import fit_population, start_population

STEPS = 5  # per epoch


def start(train_step=TRAIN_STEP, data=TRAIN, **options):
    options = {"hparams": HPARAMS, "batch_size": 12} | options
    return start_run(train_step, data, key=jax.random.key(0), **options)


def until(run, stops, hparams=HPARAMS):
    """The run at the last stop, and the training metrics at every step that was reported."""
    metrics = {}
    for stop in stops:
        while run.step < stop:
            run, progress = advance(run, stop, hparams)
            metrics[run.step] = progress.train
    return run, metrics


@pytest.fixture(scope="module")
def fitted():
    return {remainder: run(epochs=3, remainder=remainder) for remainder in ("drop", "pad")}


@pytest.mark.parametrize("remainder", ["drop", "pad"])
@given(data=st.data())
@examples
def test_chunks_of_any_lengths_give_the_run_of_fit_bit_for_bit(fitted, remainder, data):
    expected = fitted[remainder]
    total = expected.history[-1].step
    cuts = data.draw(st.sets(st.integers(1, total - 1), max_size=4))
    ended, metrics = until(start(remainder=remainder), [*sorted(cuts), total])
    assert ended.step == total
    assert_same(plain(ended.train_state), plain(expected.train_state))
    for progress in expected.history:
        assert metrics[progress.step] == progress.train


def test_a_run_on_a_stream_advances_as_one_in_memory():
    ended, _ = until(start(data=Stream(TRAIN, block_bytes=300)), [4, 10])
    assert_same(plain(ended.train_state), plain(run().train_state))


def test_a_chunk_ends_with_the_period_and_the_metrics_are_reset():
    ended, reports = start(evaluate_every=(7, "steps")), []
    while ended.step < 16:
        ended, progress = advance(ended, 16, HPARAMS)
        reports.append(progress)
    assert [progress.step for progress in reports] == [7, 14, 16]
    assert [progress.epoch for progress in reports] == [2, 3, 4]
    assert [progress.epoch_done for progress in reports] == [False] * 3
    again, _ = until(start(evaluate_every=(7, "steps")), [14])
    _, alone = advance(again, 16, HPARAMS)
    assert alone.train == reports[-1].train
    every = run(steps=16, evaluate_every=(7, "steps"))
    assert [p.train for p in every.history] == [p.train for p in reports]


def test_a_chunk_has_at_most_its_capacity():
    linear = by_rate(models.linear(3))
    ended, progress = advance(start(linear, evaluate_every=(10**6, "steps")), 10**5, HPARAMS)
    assert (ended.step, progress.step, progress.steps) == (CAPACITY, CAPACITY, 10**5)
    assert ended.objectives.shape == (1, CAPACITY)


def test_hparams_may_change_between_chunks_without_compiling():
    started = start()
    before = chunks_compiled()
    fast, _ = until(started, [5])
    slow, _ = until(fast, [10], {"learning_rate": 0.01})
    slow, _ = until(slow, [15], {"learning_rate": np.float64(0.001)})
    assert chunks_compiled() == before
    first = run(epochs=1)
    second = run(epochs=2, start=first.train_state, hparams={"learning_rate": 0.01})
    third = run(epochs=3, start=second.train_state, hparams={"learning_rate": 0.001})
    assert_same(plain(slow.train_state), plain(third.train_state))


def test_a_run_can_be_evaluated_between_chunks():
    started, _ = until(start(), [10])
    evaluated = evaluate(TRAIN_STEP, started.train_state, VALIDATION, hparams=HPARAMS)
    assert evaluated == run(validation=VALIDATION).history[-1].validation
    ended, _ = until(started, [15])
    assert_same(plain(ended.train_state), plain(run(epochs=3).train_state))


@pytest.mark.parametrize("stop", [5, 4, 0, -1])
def test_a_stop_that_is_not_past_the_step_is_refused(stop):
    started, _ = until(start(), [5])
    with pytest.raises(RunError, match=f"expects a stop past step 5, but got {stop}"):
        advance(started, stop, HPARAMS)


@pytest.mark.parametrize(
    ("hparams", "message"),
    [
        (None, "but hparams is None"),
        ({"rate": 0.1}, r"reads hparams\['learning_rate'\], but hparams has \['rate'\]"),
        ({"learning_rate": "0.1"}, "a number, but got '0.1'"),
    ],
)
def test_hparams_that_do_not_fit_are_refused(hparams, message):
    with pytest.raises(RunError, match=message):
        advance(start(), 5, hparams)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 65}, "batch_size=65 for 64 examples"),
        ({"remainder": "keep"}, '"drop" or "pad", but got'),
        ({"evaluate_every": 3}, "a count and its unit, but got 3"),
        ({"on_nonfinite": "halt"}, '"skip" or "ignore", but got'),
        ({"start": {}}, "start_run expects to start from a train state like"),
        ({"hparams": None}, "but hparams is None"),
    ],
)
def test_a_wrong_run_is_not_started(options, message):
    with pytest.raises(RunError, match=message):
        start(**options)


def test_a_run_that_diverges_is_returned_at_its_last_finite_step():
    def loss(outputs, labels):  # its gradient times the large rate is infinite
        return 1e4 * losses.squared_error(outputs, jax.nn.one_hot(labels, 3))

    rates = {"small": {"learning_rate": 1e-6}, "large": {"learning_rate": 1e38}}
    started, _ = until(
        start(by_rate(models.linear(3), loss), hparams=rates["small"]), [5], rates["small"]
    )
    kept = jax.tree.map(np.asarray, plain(started.train_state))
    with pytest.raises(NonFiniteLoss) as error:
        advance(started, 10, rates["large"])
    good = error.value.run
    assert good.step == 5
    assert_same(jax.tree.map(np.asarray, plain(good.train_state)), kept)
    healthy, _ = advance(good, 10, rates["small"])
    assert healthy.step == 10


def test_a_population_advances_in_any_chunks_like_fit_population():
    keys, hparams = jax.random.split(jax.random.key(0), 2), {"learning_rate": jnp.array([0.1, 0.2])}
    options = {"batch_size": 12, "strategy": "map", "hparams": hparams}
    fitted = fit_population(TRAIN_STEP, TRAIN, keys=jax.random.clone(keys), epochs=2, **options)
    started = start_population(TRAIN_STEP, TRAIN, keys=jax.random.clone(keys), **options)
    ended, metrics = until(started, [3, 7, 10], hparams)
    assert_same(plain(ended.train_state), plain(fitted.train_states))
    assert_close(metrics[10], fitted.history[-1].train, 0)
