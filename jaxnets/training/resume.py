"""What a run saves so that it can go on bit for bit, and what it compares before it does."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from jaxnets.layer import Key
from jaxnets.messages import printable
from jaxnets.training.arguments import RunError
from jaxnets.training.checkpoint import CheckpointError, Checkpoints
from jaxnets.training.course import Course
from jaxnets.training.monitors import Monitor, memories, remind
from jaxnets.training.report import Progress, to_json
from jaxnets.training.update import Hyper

# What is saved of a course as JSON.
TOLD = ("best_epoch", "best_loss", "history", "seconds", "nonfinite", "diverged", "strategy")


SAVE_SECONDS = 4.0  # of training between saves: with a chunk of one second, at most every 5


class Saver:
    """Saves where a run stands, and finds it again; does nothing where there are no checkpoints."""

    def __init__(
        self,
        checkpoints: Checkpoints | None,
        identity: dict[str, Any],
        monitors: Sequence[Monitor] = (),
    ):
        self.checkpoints, self.identity, self.monitors = checkpoints, identity, monitors
        self.saved_at = 0.0  # seconds of training
        self.saved_step = -1

    def save(self, course: Course, *, now: bool = False) -> None:
        """Save if the last time is `SAVE_SECONDS` of training ago, or `now`.

        The score is the last validation loss, where there is one.
        """
        due = now or course.seconds - self.saved_at >= SAVE_SECONDS
        if self.checkpoints is None or not due or course.step == self.saved_step:
            return
        last = course.history[-1] if course.history else None
        score = last.validation["loss"] if last is not None and last.validation else None
        score = score if isinstance(score, float) else None  # a population has no best
        told = {name: getattr(course, name) for name in TOLD}
        told["history"] = [progress._asdict() for progress in course.history]
        told["identity"] = self.identity
        told["monitors"] = memories(self.monitors)
        self.checkpoints.save(course.step, _tree(course), to_json(_exact(told)), score=score)
        self.saved_at, self.saved_step = course.seconds, course.step

    def save_instead(self, course: Course, error: Exception) -> None:
        """Save although the run ends in `error`, which is told if that fails too."""
        try:
            self.save(course, now=True)
            self.wait()
        except CheckpointError as failure:
            error.add_note(str(failure))

    def wait(self) -> None:
        """Return when all is on the disk."""
        if self.checkpoints is not None:
            self.checkpoints.wait()

    def restored(self, fresh: Course) -> Course:
        """Where the run stood; `fresh` where nothing is saved.

        Raises:
          RunError: it was another run; names what differs.
          CheckpointError: what is saved is damaged, or has other leaves.
        """
        assert self.checkpoints is not None
        found = self.checkpoints.restore(_tree(fresh))
        if found is None:
            return fresh
        told = found.metadata
        if not isinstance(told.get("identity"), dict):
            raise _no_run(self.checkpoints, "it has no identity")
        _require_same(told["identity"], self.identity, self.checkpoints)
        try:
            course = replace(fresh, step=found.step, **found.tree, **{n: told[n] for n in TOLD})
            course.best_loss = math.inf if course.best_loss is None else float(course.best_loss)
            course.history = tuple(_progress(entry) for entry in told["history"])
            remind(self.monitors, told.get("monitors", {}))  # which earlier versions did not save
            self.saved_at, self.saved_step = float(course.seconds), course.step
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise _no_run(self.checkpoints, repr(error)) from error
        return course


def identity(
    train: tuple[Any, Any],
    validation: tuple[Any, Any] | None,
    hyper: Hyper,
    *,
    key: Key,
    **options: Any,
) -> dict[str, Any]:
    """What must not differ where a run goes on, by name, in JSON's types."""
    named = jax.tree.leaves_with_path(hyper)
    return {
        **options,
        "key": np.asarray(jax.random.key_data(jax.random.clone(key))).tolist(),
        **{f"hyper{jax.tree_util.keystr(path)}": to_json(np.asarray(v)) for path, v in named},
        "train": _digest(train),
        "validation": None if validation is None else _digest(validation),
    }


def _no_run(checkpoints: Checkpoints, reason: str) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint in {printable(checkpoints.folder)} was not saved by a run "
        f"({printable(reason)}); start afresh in another folder"
    )


def _tree(course: Course) -> dict[str, Any]:
    tree = {"train_state": course.train_state, "sums": course.sums}
    return tree if course.best is None else {**tree, "best": course.best}


def _require_same(saved: dict[str, Any], given: dict[str, Any], where: Checkpoints) -> None:
    names = [name for name in {**saved, **given} if saved.get(name) != given.get(name)]
    if names:
        lines = "\n".join(
            f"  {printable(n)}: saved {printable(saved.get(n))}, given {printable(given.get(n))}"
            for n in names
        )
        raise RunError(
            f"the run in {printable(where.folder)} cannot go on with other settings:\n{lines}\n"
            "Give those it was started with, or start afresh in another folder."
        )


def _digest(split: tuple[Any, Any]) -> list[str]:
    """Shape, dtype and the start of the SHA-256 of inputs and labels."""
    arrays = [np.ascontiguousarray(array) for array in split]
    return [f"{a.dtype}{list(a.shape)} {hashlib.sha256(a.data).hexdigest()[:16]}" for a in arrays]


def _progress(entry: dict[str, Any]) -> Progress:
    fields = dict(entry, warnings=tuple(entry["warnings"]))
    for name in ("train", "validation"):
        fields[name] = _figures(entry[name])
    return Progress(**fields)


def _exact(value: Any) -> Any:
    """The value with infinities as strings: as null, which JSON has for them, they would be NaN."""
    if isinstance(value, dict):
        return {name: _exact(part) for name, part in value.items()}
    if isinstance(value, np.ndarray):
        return _exact(value.tolist())
    if isinstance(value, list | tuple):
        return [_exact(part) for part in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _figures(values: dict[str, Any] | None) -> Any:
    """A report's figures as they were before JSON: NaN is null there, and an array a list."""
    if values is None:
        return None

    def figure(value: Any) -> Any:
        if not isinstance(value, list):
            return float(value) if isinstance(value, str) else value
        counts = np.asarray(value).dtype.kind == "i"
        return np.asarray(value, np.int32 if counts else np.float32)

    return {name: math.nan if v is None else figure(v) for name, v in values.items()}
