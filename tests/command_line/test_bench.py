"""`jaxnets bench`: both trainings are the same, and their times are printed."""

import re
from dataclasses import replace

import numpy as np
import pytest

from jaxnets import data
from jaxnets.command_line import bench
from jaxnets.errors import RunError
from jaxnets.training.run import copy

BATCH, STEPS = 8, 6
EXAMPLES = 5 * BATCH + 3  # turns of 6 steps cross the ends of epochs of 5; 3 rows are left out


@pytest.fixture(scope="module")
def run():
    """A run at its start, which no test may donate."""
    random = np.random.default_rng(0)
    x = random.integers(0, 256, (EXAMPLES, 28, 28, 1)).astype(np.uint8)
    train = data.Split(x, random.integers(0, 10, EXAMPLES).astype(np.int32))
    return bench.start(train, 4, BATCH)


def test_the_batches_of_each_epoch_are_different_rows_and_those_of_the_run(run):
    turns = [bench.batches(replace(run, step=step), STEPS) for step in range(0, 5 * STEPS, STEPS)]
    rows = np.concatenate(turns)
    assert rows.shape == (30, BATCH)
    for epoch in rows.reshape(-1, 5 * BATCH):
        assert len({*epoch.tolist()}) == 5 * BATCH and epoch.max() < EXAMPLES
    arrays, _ = run.loop.source.read(13, 14)
    np.testing.assert_array_equal(run.loop.batch_of(arrays, 13).x, arrays.x[rows[13]])


def test_both_trainings_have_the_same_losses_in_every_turn(run, monkeypatch):
    compared, results = [], []
    monkeypatch.setattr(bench, "check_losses", lambda *losses: compared.append(losses))

    def timed(function):
        results.append(function())
        return results[-1], 1.5

    monkeypatch.setattr(bench, "timed", timed)
    own = replace(run, train_state=copy(run.train_state))
    chunk, scan = bench.take_turns(own, STEPS, 3)
    np.testing.assert_array_equal([chunk, scan], np.full((2, 3), 1500 / STEPS))  # milliseconds
    for (after, _), (_, losses) in zip(results[::2], results[1::2], strict=True):
        np.testing.assert_allclose(after.objectives[0], losses, rtol=1e-4)
    assert len(compared) == 1 and len(results) == 8  # the first turns are not counted
    np.testing.assert_array_equal(compared[0][0], results[0][0].objectives[0])


@pytest.mark.parametrize("wrong", [2.32, np.nan])
def test_losses_that_differ_are_an_error_that_names_the_step(wrong):
    losses = np.array([2.30, 2.29, 2.28])
    bench.check_losses(losses, losses * 1.001)
    with pytest.raises(RunError, match=rf"at step 1 got 2\.29 and {wrong}, so the times"):
        bench.check_losses(losses, np.array([2.30, wrong, 2.28]))


def test_the_table_has_medians_quartiles_and_the_ratio_of_each_round():
    chunk, scan = np.array([1.0, 2.0, 4.0, 3.0, 5.0]), np.array([2.0, 4.0, 8.0, 6.0, 10.0])
    lines = bench.table(chunk, scan, examples=60).splitlines()
    assert [re.split("  +", line.replace(" ms per", "  ms per"))[1] for line in lines] == [
        "3.00 (2.00 to 4.00)",
        "6.00 (4.00 to 8.00)",
        "2.00 (2.00 to 2.00); above 1, jaxnets is faster",
    ]
    assert bench.spread(np.array([463.0])) == "463 (463 to 463)"
    assert "20,000 images/s" in lines[0] and "10,000 images/s" in lines[1]
