"""Contenders take turns, ratios are paired by round, and failures are recorded."""

from collections import defaultdict

import pytest

from experiments.bench import process, process_time, rounds, time_to_accuracy
from experiments.bench.process import Contender, LeftOut
from experiments.bench.task import Task
from experiments.timings.turns import in_turn, ratio, summary

OURS, TORCH, LINEN = map(Contender, ("ours", "torch", "linen"))


@pytest.fixture
def fakes(monkeypatch):
    """Fake processes, with answers by label and command."""
    turns, answers = [], {}

    class Fake:
        def __init__(self, contender, task, more=None):
            if contender.peer == "keras":
                raise LeftOut("keras is not installed")
            self.label, self.task, self.count = contender.label, task, defaultdict(int)
            self.more, self.description = more, {"python": "3", "versions": {}}

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def ask(self, do, **arguments):
            turns.append((self.label, do))
            self.count[do] += 1
            default = {
                "prepare": {"seconds": 3, "make_seconds": 1, "trace_seconds": 0.5}
                | {"compile_seconds": 0.5},
                "device": {"device": "cpu", "platform": "cpu", "seconds": 0},
                "steps": {"seconds": 1.0, "loss": 0.1},
                "accuracy": {"seconds": 0.25, "accuracy": 0.97},
            }
            special = answers.get((self.label, do))
            found = special(self) if special else {}
            return {"seconds": 2.0} | default.get(do, {}) | found

        def stop(self):
            return {"seconds": 0, "peak_memory_bytes": 10**6, "memory": "process"}

    for module in (rounds, time_to_accuracy, process_time):
        monkeypatch.setattr(module, "Process", Fake)
    return turns, answers


def test_turns_are_interleaved_and_ratios_are_paired(fakes):
    turns, answers = fakes
    slow = {"torch": iter([2.0, 4.0, 6.0]), "ours": iter([1.0, 2.0, 3.0])}

    def steps(fake):  # two warm-ups in every process, then the round's
        return {"seconds": 9 if fake.count["steps"] <= 2 else next(slow[fake.label])}

    answers["torch", "steps"] = answers["ours", "steps"] = steps
    starts = iter([0.9, 0.3, 0.5])
    answers["ours", "prepare"] = lambda fake: {"compile_seconds": next(starts)}
    found = rounds.take_turns(Task("mlp"), (OURS, TORCH), rounds=3, steps=10)
    order = [label for label, do in turns if do == "prepare"]
    assert order == ["matmul", "ours", "torch"] * 3  # each in a fresh process
    assert [label for label, do in turns if do == "epoch"] == ["ours", "torch"]
    ours, torch = found
    assert torch["step_seconds"] == [0.2, 0.4, 0.6] and ours["step_ms"]["median"] == 200
    assert ours["compile_seconds"] == 0.5  # the median
    faster = {"median": 2.0, "low": 2.0, "high": 2.0, "n": 3, "noisy": False}
    assert torch["ours_times_faster"] == {"ours": faster}  # although the times vary widely
    assert torch["step_ms"]["noisy"] and torch["samples_per_second"]["median"] == 320
    assert ours["matmul_flops_per_second"] == pytest.approx(2 * 2048**3 / 0.1)
    assert ours["share_of_matmul"] == pytest.approx(318_208_000 / 0.2 / (20 * 2048**3))


def test_the_flops_of_a_population_are_those_of_all_members(fakes):
    (ours,) = rounds.take_turns(Task("population", members=5), (OURS,), rounds=1, steps=1)
    assert ours["samples_per_second"]["median"] == 5 * 128 / 1.0
    # the forward and backward pass, without the gradient of the images
    assert ours["flops_per_step"] == 5 * 128 * (3 * 2 * (784 * 32 + 32 * 10) - 2 * 784 * 32)


def test_a_low_accuracy_is_flagged(fakes):
    _, answers = fakes
    answers["torch", "accuracy"] = lambda fake: {"accuracy": 0.949}
    found = rounds.take_turns(Task("mlp"), (OURS, TORCH, LINEN), rounds=1, steps=1)
    assert [record["accuracy_low"] for record in found] == [False, True, False]


def test_a_missing_or_crashed_contender_is_recorded_and_the_others_continue(fakes):
    _, answers = fakes

    processes = set()

    def end(fake):
        processes.add(fake)
        if len(processes) == 2:
            raise LeftOut("its process ended with status -9:")
        return {}

    answers["torch", "steps"] = end
    found = rounds.take_turns(Task("mlp"), (OURS, TORCH, Contender("keras")), rounds=3, steps=1)
    assert [record["peer"] for record in found] == ["ours", "keras", "torch"]
    assert len(found[0]["step_seconds"]) == 3
    assert found[1]["left_out"] == "keras is not installed"
    assert found[2]["left_out"] == "its process ended with status -9:"
    assert all(r["kind"] == "speed" and r["case"] == "mlp" for r in found)


def test_a_contender_that_hangs_in_any_command_that_compiles_is_left_out(fakes, monkeypatch):
    def ask(self, do, within=None, **arguments):
        if (self.label, do) in hanging and within is not None:
            raise LeftOut(f"it did not answer {do!r} within {within:g} s")
        return answer(self, do, **arguments)

    answer = rounds.Process.ask
    monkeypatch.setattr(rounds.Process, "ask", ask)
    for do in ("prepare", "epoch", "accuracy", "steps"):
        hanging = {("torch", do)}
        options = {"rounds": 1, "prepare_seconds": 60}
        _, torch = rounds.take_turns(Task("mlp"), (OURS, TORCH), **options)
        assert torch["left_out"] == f"it did not answer {do!r} within 60 s"


def test_a_turn_lasts_about_a_second():
    asked = []

    class Steps:
        def ask(self, do, n, within):
            asked.append(n)
            return {"seconds": 0.004 * n}

    assert rounds.steps_per_turn(Steps()) == 250
    assert asked == [1, 1, 16, 16, 256, 256]


def test_the_time_to_accuracy_includes_compilation_and_evaluation_but_no_trials(fakes):
    turns, answers = fakes
    curve = [0.9, 0.95, 0.99]
    for peer in ("ours", "torch"):
        answers[peer, "accuracy"] = lambda fake: {"accuracy": curve[fake.count["accuracy"] - 1]}
    answers["ours", "epoch"] = lambda fake: {"seconds": 0.5}
    found = time_to_accuracy.time_to_accuracy(
        Task("mlp"), (OURS, TORCH, LINEN), target=0.98, seeds=2
    )
    ours, torch, linen = found
    # 2 of the 3 seconds of prepare count, then three epochs with an evaluation each
    assert ours["curves"][0] == [(2.75, 0.9), (3.5, 0.95), (4.25, 0.99)]
    assert torch["seconds"]["median"] == 2 + 3 * 2.25 and torch["seconds"]["n"] == 2
    assert torch["ours_times_faster"]["ours"]["median"] == pytest.approx(8.75 / 4.25)
    assert linen["seconds"] is None and linen["ours_times_faster"] == {}
    assert len(linen["curves"][0]) == time_to_accuracy.EPOCHS  # then the rate is zero
    assert [label for label, do in turns if do == "prepare"] == ["ours", "torch", "linen"] * 2


def test_processes_of_jaxnets_are_measured_with_a_cold_and_with_a_warm_cache(fakes):
    _, answers = fakes
    caches = []
    answers["ours", "epoch"] = lambda fake: caches.append(fake.more) or {}
    found = process_time.process_time(Task("mlp"), (OURS, TORCH, Contender("keras")), rounds=2)
    labels = ["ours, cold cache", "ours, warm cache", "torch", "keras"]
    assert [record["peer"] for record in found] == labels
    assert found[3]["left_out"] == "keras is not installed"
    assert set(found[2]["ours_times_faster"]) == set(labels[:2]) and found[2]["seconds"]["n"] == 2
    assert caches[0] == {} and caches[1]["JAX_ENABLE_COMPILATION_CACHE"] == "true"
    assert caches[:2] * 3 == caches  # the same folder in every round


def test_a_flag_splits_a_cpu_into_devices(monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--a")
    assert process.devices_flag(1) == {}
    flags = "--a --xla_force_host_platform_device_count=2"
    assert process.devices_flag(2) == {"XLA_FLAGS": flags}


def test_a_result_is_noisy_if_its_quartiles_are_a_tenth_of_the_median_apart():
    assert summary([1, 2, 3, 4, 5]) == {"median": 3, "low": 2, "high": 4, "n": 5, "noisy": True}
    assert not summary([100, 101, 104, 105, 106])["noisy"]
    assert ratio([4, 9], [2, 3])["median"] == 2.5


@pytest.mark.parametrize("warm_up", [True, False])
def test_functions_are_called_in_turn_and_a_warm_up_round_is_not_counted(warm_up):
    calls = []
    functions = {name: lambda name=name: calls.append(name) or len(calls) for name in "ab"}
    counted = {"a": [3, 5], "b": [4, 6]} if warm_up else {"a": [1, 3], "b": [2, 4]}
    assert in_turn(functions, 2, warm_up=warm_up) == counted
    assert calls == ["a", "b"] * (2 + warm_up)
