"""Curves of the chunks, from a log with the means since the start of the epoch."""

import numpy as np
import pytest

from jaxnets.report_page.curves import of_chunks
from jaxnets.report_page.svg import Line, chart, ticks


def log_of(values, ends, chunks, name="loss", *, validated=False):
    """The log of a run with one value per step, and epochs and chunks that end at these steps."""
    records, start = [], 0
    for step in chunks:
        done = step in ends
        record = {"step": step, "steps": len(values), "epoch_done": done}
        train = {name: np.mean(values[start:step], axis=0).tolist()}
        validation = {name: 0.0} if done and validated else None
        records.append(record | {"train": train, "validation": validation})
        start = step if done else start
    return records


@pytest.mark.parametrize("shape", [(40,), (40, 3)])
@pytest.mark.parametrize("validated", [True, False])
def test_a_point_is_the_mean_over_the_steps_since_the_point_before(shape, validated):
    values, chunks = np.random.default_rng(0).random(shape), [3, 10, 16, 20, 25, 40]
    steps, means = of_chunks(log_of(values, {16, 40}, chunks, validated=validated), "loss")
    assert steps.tolist() == chunks
    for mean, first, last in zip(means, [0, *chunks], chunks, strict=False):
        np.testing.assert_allclose(mean, values[first:last].mean(0), rtol=1e-9)


def test_a_metric_that_is_not_a_mean_is_shown_at_the_ends_of_epochs_only():
    log = log_of(np.arange(40.0), {16, 40}, [3, 16, 25, 40], "f1")
    steps, values = of_chunks(log, "f1")
    assert steps.tolist() == [16, 40]
    assert values.tolist() == [log[1]["train"]["f1"], log[3]["train"]["f1"]]


@pytest.mark.parametrize(
    "low, high", [(0, 1), (0.945, 0.99), (-3e-9, 5e-9), (5, 5), (0, 0), (1, 1e6)]
)
def test_ticks_are_few_round_and_enclose_the_values(low, high):
    marks = ticks(low, high)
    assert 2 <= len(marks) <= 8 and marks[0] <= low + 1e-15 and marks[-1] >= high - 1e-15
    assert np.allclose(np.diff(marks), marks[1] - marks[0])


def test_a_curve_without_finite_values_is_replaced_by_a_message_and_gaps_are_kept():
    nan = np.full(3, np.nan)
    assert "no finite value" in chart([Line("training", np.arange(3), nan)], "loss", "step", "loss")
    drawn = chart([Line("a", np.arange(4), np.array([1, np.inf, 2, 3]))], "loss", "step", "loss")
    assert drawn.count("M") >= 2 and "nan" not in drawn and "inf" not in drawn


def test_a_long_run_is_thinned_to_means_of_neighbours():
    line = Line("a", np.arange(10_000), np.ones(10_000))
    assert len(chart([line], "loss", "step", "loss")) < 8_000


def test_a_chart_of_many_lines_has_fewer_points_of_each():
    line = Line("a", np.arange(300), np.ones(300))
    assert len(chart([line] * 100, "loss", "step", "loss")) < 100_000
