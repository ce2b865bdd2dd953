"""The kernels of a step are counted in the events of a profile."""

import pytest

from experiments.timings import kernels
from jaxnets.training import RunError


def test_only_the_events_of_a_gpu_are_counted_per_step():
    events = [
        {"name": "process_name", "ph": "M", "pid": 1, "args": {"name": "/device:GPU:0"}},
        {"name": "process_name", "ph": "M", "pid": 2, "args": {"name": "/host:CPU"}},
        {"name": "gemm", "ph": "X", "pid": 1, "dur": 6.0},
        {"name": "gemm", "ph": "X", "pid": 1, "dur": 4.0},
        {"name": "add", "ph": "X", "pid": 1, "dur": 1.0},
        {"name": "wait", "ph": "X", "pid": 2, "dur": 99.0},
    ]
    assert kernels.per_step(events, steps=2) == {
        "launches": 1.5,
        "microseconds": 5.5,
        "kernels": [
            {"name": "gemm", "launches": 1.0, "microseconds": 5.0},
            {"name": "add", "launches": 0.5, "microseconds": 0.5},
        ],
    }


def test_without_a_gpu_it_is_refused(tmp_path):
    with pytest.raises(RunError, match="expected a GPU, but JAX runs on the cpu; run it on a GPU"):
        kernels.main(kernels.Config(out=tmp_path / "kernels.json"))
