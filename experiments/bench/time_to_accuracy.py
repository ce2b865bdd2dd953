"""The time to an accuracy, from the data to a trained network, compiling included.

The learning rate decays to zero in a few epochs. With a constant rate, the accuracies after each
epoch scatter around their limit, so the first epoch that reaches the target is random: 99 % with
batch norm took 2 to 12 epochs.
"""

from collections.abc import Sequence
from typing import Any

from experiments.bench.process import Contender, LeftOut, Process, trial_seconds
from experiments.bench.records import Record, left_out, setting, without_seconds
from experiments.bench.task import Task
from experiments.timings.turns import ratio, summary

EPOCHS = 10  # until the learning rate is zero


def time_to_accuracy(
    task: Task, contenders: Sequence[Contender], *, target: float, seeds: int
) -> list[Record]:
    """A record per contender: the seconds of each seed, each in a fresh process.

    The time starts when the imports are done and ends when the accuracy on the test images,
    evaluated after every epoch, reaches the target. Loading, compiling and evaluation count; the
    time in which a peer compares its implementations does not. A seed that has not reached the
    target when the rate is zero never does. Contenders take turns.
    """
    curves: dict[Contender, list] = {contender: [] for contender in contenders}
    descriptions, reasons = {}, {}
    for seed in range(seeds):
        for contender in tuple(curves):
            try:
                seeded = task._replace(seed=seed, epochs=EPOCHS)
                curve, descriptions[contender] = _curve(contender, seeded, target)
                curves[contender].append(curve)
            except LeftOut as why:
                reasons[contender.label] = str(why)
                del curves[contender]
    records = [{**_record(c, curves, target), **descriptions[c]} for c in curves]
    return [
        {**setting(task), **record} for record in (*records, *left_out("time_to_accuracy", reasons))
    ]


def _curve(
    contender: Contender, task: Task, target: float
) -> tuple[list[tuple[float, float]], Record]:
    """(seconds, accuracy) after every epoch, up to the target; the description of the process."""
    curve, accuracy = [], 0.0
    with Process(contender, task) as process:
        prepared = process.ask("prepare")
        seconds = prepared["seconds"] - trial_seconds(prepared)
        while accuracy < target and len(curve) < EPOCHS:
            seconds += process.ask("epoch")["seconds"]
            evaluated = process.ask("accuracy")
            seconds, accuracy = seconds + evaluated["seconds"], evaluated["accuracy"]
            curve.append((seconds, accuracy))
        return curve, {**process.description, **without_seconds(process.ask("device"))}


def _record(contender: Contender, curves: dict[Contender, list], target: float) -> Record:
    """The curves of a contender; seconds and ratio to ours where every seed reached the target."""
    seconds = _seconds(curves[contender], target)
    record: dict[str, Any] = {
        "kind": "time_to_accuracy",
        "peer": contender.label,
        "target": target,
        "curves": curves[contender],
        "seconds": None,
        "ours_times_faster": {},
    }
    if seconds is not None:
        record["seconds"] = summary(seconds)
    for ours in curves:
        theirs = _seconds(curves[ours], target) if ours.peer == "ours" else None
        if seconds is not None and theirs is not None:
            record["ours_times_faster"][ours.label] = ratio(seconds, theirs)
    return record


def _seconds(curves: Sequence[Sequence[tuple[float, float]]], target: float) -> list[float] | None:
    """The seconds of each seed; None if any did not reach the target."""
    last = [curve[-1] for curve in curves]
    return [s for s, _ in last] if all(accuracy >= target for _, accuracy in last) else None
