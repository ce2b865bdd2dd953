"""The numbers of a report for trackers, and the error if tensorboardX is not installed."""

import sys

import numpy as np
import pytest

from jaxnets.training import Progress, RunError, scalars, tensorboard

REPORT = Progress(
    step=20, steps=40, epoch=1, epochs=2, epoch_done=True,
    train={"loss": 0.5, "confusion": np.eye(2)}, validation={"loss": np.float32(0.25)},
    seconds=2.0, samples_per_second=100.0,
)  # fmt: skip


def test_the_numbers_of_a_report_are_floats_by_name():
    times = {"seconds": 2.0, "samples_per_second": 100.0}
    assert scalars(REPORT) == times | {"train/loss": 0.5, "validation/loss": 0.25}
    assert scalars(REPORT._replace(train={}, validation=None)) == times
    assert {type(value) for value in scalars(REPORT).values()} == {float}


def test_members_of_a_population_are_numbered():
    report = REPORT._replace(train={"loss": np.array([1.0, np.nan])}, validation=None)
    numbers = scalars(report)
    assert numbers["train/loss/0"] == 1.0 and np.isnan(numbers["train/loss/1"])


def test_without_tensorboardx_the_error_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    cure = r"pip install 'jaxnets\[tensorboard\]'$"
    with pytest.raises(RunError, match=cure), tensorboard(tmp_path):
        pass
