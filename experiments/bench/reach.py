"""Time to an accuracy: what a person waits for, with compiling, from the data to the answer.

The learning rate decays to zero in a few epochs. At a constant one the accuracies of single epochs
scatter about what they tend to, and when the first of them happens to be high enough is luck: 99 %
with batch norm took 2 to 12 epochs.
"""

from collections.abc import Sequence
from typing import Any

from experiments.bench.process import Contender, LeftOut, Process, trial_seconds
from experiments.bench.records import Record, left_out, setting, told
from experiments.bench.spread import ratio, spread
from experiments.bench.task import Task

EPOCHS = 10  # until the learning rate is zero: as long as experiments train by default


def reach(
    task: Task, contenders: Sequence[Contender], *, target: float, seeds: int
) -> list[Record]:
    """A record a contender: the seconds that each seed took, in a process of its own.

    They begin when the imports are done, end when the accuracy on the test images, looked at after
    every epoch, is the target's, and count loading, compiling and looking, but not a peer's search
    for its own best way. A seed that is not there when the rate is zero never is. Contenders take
    turns.
    """
    curves: dict[Contender, list] = {contender: [] for contender in contenders}
    about, reasons = {}, {}
    for seed in range(seeds):
        for contender in tuple(curves):
            try:
                seeded = task._replace(seed=seed, epochs=EPOCHS)
                curve, about[contender] = _curve(contender, seeded, target)
                curves[contender].append(curve)
            except LeftOut as why:
                reasons[contender.label] = str(why)
                del curves[contender]
    records = [{**_record(c, curves, target), **about[c]} for c in curves]
    return [
        {**setting(task), **record} for record in (*records, *left_out("time_to_accuracy", reasons))
    ]


def _curve(
    contender: Contender, task: Task, target: float
) -> tuple[list[tuple[float, float]], Record]:
    """(seconds, accuracy) after every epoch, until the target is reached; what the process told."""
    curve, accuracy = [], 0.0
    with Process(contender, task) as process:
        prepared = process.ask("prepare")
        seconds = prepared["seconds"] - trial_seconds(prepared)
        while accuracy < target and len(curve) < EPOCHS:
            seconds += process.ask("epoch")["seconds"]
            looked = process.ask("accuracy")
            seconds, accuracy = seconds + looked["seconds"], looked["accuracy"]
            curve.append((seconds, accuracy))
        return curve, {**process.about, **told(process.ask("device"))}


def _record(contender: Contender, curves: dict[Contender, list], target: float) -> Record:
    """Its curves, and its seconds and their ratio to ours where every seed got there."""
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
        record["seconds"] = spread(seconds)
    for ours in curves:
        theirs = _seconds(curves[ours], target) if ours.peer == "ours" else None
        if seconds is not None and theirs is not None:
            record["ours_times_faster"][ours.label] = ratio(seconds, theirs)
    return record


def _seconds(curves: Sequence[Sequence[tuple[float, float]]], target: float) -> list[float] | None:
    """Each seed's, or None where one did not get there."""
    last = [curve[-1] for curve in curves]
    return [s for s, _ in last] if all(accuracy >= target for _, accuracy in last) else None
