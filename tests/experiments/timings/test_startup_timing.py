"""The timing of whole processes: the order of the turns, and the round that is not counted."""

import json

import pytest

from experiments.timings import startup


@pytest.fixture
def processes(monkeypatch):
    """A list of the processes that ran; the nth process of a module takes n seconds."""
    ran = []

    def run(module, cache):
        ran.append((module, cache))
        seconds = sum(module == other for other, _ in ran)
        return startup.Timing(seconds, 2 * seconds, 0.97)

    monkeypatch.setattr(startup, "run", run)
    return ran


def written(path, **options):
    startup.main(startup.Config(out=path, **options))
    return json.loads(path.read_text())


def test_processes_take_turns_and_the_first_round_is_left_out(processes, tmp_path):
    found = written(tmp_path / "out.json", repeats=1)
    turn = ["with_jaxnets"] * 2 + ["by_hand"] * 2
    assert [module for module, _ in processes] == turn * 2
    assert found["seconds to 16 steps"]["jaxnets, warm"] == [3, 3, 3]
    assert found["ratios"]["one epoch, cold, jaxnets / by hand"] == [1, 1, 1]


def test_only_warm_processes_share_a_cache(processes, tmp_path):
    written(tmp_path / "out.json", repeats=1)
    warm, cold = [c for _, c in processes[::2]], [c for _, c in processes[1::2]]
    assert len(set(warm)) == 1
    assert len({*warm, *cold}) == 1 + len(cold)
