"""`fit` learns, reports and evaluates, and its key determines every bit."""

import jax
import numpy as np
import optax
import pytest
from clouds import HPARAMS, TRAIN, TRAIN_STEP, VALIDATION, plain, run
from helpers import assert_same
from refusals import chunks_compiled

from jaxnets import dense, losses, metrics, models
from jaxnets.training import evaluate, make_train_step

STEPS = 5  # per epoch


def test_it_learns_to_classify_the_clusters():
    fitted = run(epochs=8, validation=VALIDATION)
    assert fitted.history[-1].train["accuracy"] > 0.95
    assert fitted.history[-1].validation["accuracy"] > 0.95


def test_the_key_determines_every_bit():
    first, again, other = (run(seed=seed).train_state for seed in (0, 0, 1))
    assert_same(plain(first), plain(again))
    assert (first.params["head"]["kernel"] != other.params["head"]["kernel"]).all()


def test_the_length_of_chunks_changes_and_compiles_nothing():
    run()
    before, reports = chunks_compiled(), []
    short_chunks = run(chunk_seconds=1e-9, epochs=4, report=reports.append)
    assert chunks_compiled() == before
    one_chunk = run(epochs=4)
    assert_same(plain(short_chunks.train_state), plain(one_chunk.train_state))
    assert [p.train for p in short_chunks.history] == [p.train for p in one_chunk.history]
    # the first epoch measures the time per step; from then on each chunk is one step
    assert [progress.step for progress in reports] == [STEPS, *range(STEPS + 1, 4 * STEPS + 1)]
    assert [progress.epoch for progress in reports] == [1, *(2 + i // STEPS for i in range(15))]
    assert [p.step for p in reports if p.epoch_done] == [5, 10, 15, 20]
    assert short_chunks.history == tuple(p for p in reports if p.epoch_done)


def test_history_has_one_entry_per_epoch_and_its_validation_is_that_of_evaluate():
    fitted = run(epochs=3, validation=VALIDATION)
    assert [progress.epoch for progress in fitted.history] == [1, 2, 3]
    assert [progress.step for progress in fitted.history] == [STEPS, 2 * STEPS, 3 * STEPS]
    assert all(p.epochs == 3 and p.steps == 3 * STEPS and p.epoch_done for p in fitted.history)
    evaluated = evaluate(TRAIN_STEP, fitted.train_state, VALIDATION, hparams=HPARAMS)
    assert fitted.history[-1].validation == evaluated
    assert fitted.best_epoch is None


def test_training_metrics_count_each_example_of_the_epoch_once():
    count = metrics.Metric(lambda outputs, y, weights: weights.sum(), lambda sums: sums)
    still = make_train_step(
        dense(3), optax.sgd(0.0), losses.softmax_cross_entropy, metrics={"count": count}
    )
    fitted = run(still, epochs=3, remainder="pad", chunk_seconds=1e-9)
    expected = evaluate(still, fitted.train_state, TRAIN)
    assert expected["count"] == 64
    for progress in fitted.history:
        assert progress.train == pytest.approx(expected, rel=1e-6)


def test_its_times_add_up():
    reports = []
    fitted = run(epochs=3, report=reports.append)
    assert fitted.train_seconds == reports[-1].seconds > 0
    assert fitted.compile_seconds > 0
    assert fitted.samples_per_second == pytest.approx(3 * STEPS * 12 / fitted.train_seconds)
    seconds = np.diff([0, *(progress.seconds for progress in reports)])
    pace = [progress.samples_per_second for progress in reports]
    np.testing.assert_allclose(pace, STEPS * 12 / seconds)


def test_a_run_continues_from_a_train_state_bit_for_bit():
    half = run(epochs=1).train_state
    rest = run(epochs=3, start=half)
    assert_same(plain(rest.train_state), plain(run(epochs=3).train_state))
    assert [progress.epoch for progress in rest.history] == [2, 3]
    assert int(half.step) == STEPS  # not donated: the run trained a copy


@pytest.mark.optimized
def test_a_run_starts_from_the_train_state_of_init():
    start = TRAIN_STEP(HPARAMS).init(jax.random.key(0), TRAIN[0][:1])
    assert_same(plain(run(start=start).train_state), plain(run().train_state))


def test_an_optimizer_that_starts_from_the_params_shares_no_buffer_with_them():
    train_step = make_train_step(
        dense(3), optax.contrib.schedule_free_sgd(0.1), losses.softmax_cross_entropy
    )
    fitted = run(train_step)
    start = train_step.init(jax.random.key(0), TRAIN[0][:1])
    assert_same(plain(run(train_step, start=start).train_state), plain(fitted.train_state))


def test_the_train_step_is_traced_once():
    traced = []

    def loss(outputs, labels):
        traced.append(outputs.shape)
        return losses.softmax_cross_entropy(outputs, labels)

    reported = {"loss": metrics.mean(losses.softmax_cross_entropy)}
    run(make_train_step(dense(3), optax.sgd(0.1), loss, metrics=reported))
    assert traced == [(12, 3)]


def test_a_second_run_of_the_same_shapes_traces_nothing():
    traced = []

    def loss(outputs, labels):
        traced.append(outputs.shape)
        return losses.softmax_cross_entropy(outputs, labels)

    train_step = make_train_step(dense(3), optax.sgd(0.1), loss)  # the loss is a metric, too
    for number in range(2):
        traced.clear()
        run(train_step, key=jax.random.key(number), validation=TRAIN)
    assert traced == []


def test_a_deeper_network_starts_with_no_more_programs(caplog):
    def compiled(*sizes):
        caplog.clear()
        with jax.log_compiles():
            run(make_train_step(models.mlp(sizes), optax.adam(0.1), losses.softmax_cross_entropy))
        return [r.getMessage() for r in caplog.records if "XLA compilation" in r.getMessage()]

    shallow, deep = compiled(3), compiled(5, 6, 3)
    assert 2 <= len(deep) <= len(shallow)
