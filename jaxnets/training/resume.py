"""Saves a run's record to checkpoints, and restores it, so that a run resumes bit for bit."""

import hashlib
import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from jaxnets.data.stream import Stream
from jaxnets.errors import CheckpointError, CheckpointWarning, RunError
from jaxnets.layer import Key
from jaxnets.messages import printable
from jaxnets.sharding import leads, place_like
from jaxnets.training.checkpoint import Checkpoints, Restored
from jaxnets.training.compiled_loop import CompiledLoop
from jaxnets.training.monitors import Monitor, monitor_states, restore_monitors
from jaxnets.training.placement import describe
from jaxnets.training.record import Record
from jaxnets.training.report import Progress, to_json
from jaxnets.training.train_step import Hparams

FORMAT = 2  # of the metadata; format 1 had other names for the parts of a train state
RUN_FIELDS = ("seconds", "nonfinite", "diverged")
RECORD_FIELDS = ("best_epoch", "best_loss", "stale")


class Saver:
    """Saves a record and restores it; does nothing without checkpoints."""

    def __init__(
        self,
        checkpoints: Checkpoints | None,
        identity: dict[str, Any],
        callbacks: Sequence[Monitor],
        resume: bool,
    ):
        self.checkpoints, self.identity, self.callbacks = checkpoints, identity, callbacks
        self.resume = resume
        self.saved_at = self.checked_at = 0.0  # seconds of training
        self.saved_step = -1

    def save(self, record: Record, *, now: bool = False) -> None:
        """Save if another chunk of this length would exceed `checkpoints.every`, or if `now`.

        The checkpoint's score is the last validation loss, if there is one.
        """
        run = record.run
        if self.checkpoints is None or run.step == self.saved_step:
            return
        chunk_seconds, self.checked_at = run.seconds - self.checked_at, run.seconds
        if not now and run.seconds + chunk_seconds - self.saved_at < self.checkpoints.every:
            return  # saving after another chunk of this length is still in time
        self.checkpoints.save(run.step, _tree(record), self._metadata(record), score=_score(record))
        self.saved_at, self.saved_step = run.seconds, run.step

    def _metadata(self, record: Record) -> dict[str, Any]:
        run = record.run
        metadata = {name: getattr(run, name) for name in RUN_FIELDS}
        metadata |= {name: getattr(record, name) for name in RECORD_FIELDS}
        metadata["history"] = [progress.to_dict() for progress in record.history]
        metadata["strategy"] = getattr(run.loop.runner, "strategy", None)
        metadata |= {"identity": self.identity, "format": FORMAT}
        metadata["sharding"] = describe(run.loop.plan, run.loop.mesh)
        metadata["callbacks"] = monitor_states(self.callbacks)
        return to_json(_exact(metadata))

    def save_after(self, record: Record, error: Exception) -> None:
        """Save when the run ends with `error`; if that fails, add a note to the error."""
        try:
            self.save(record, now=True)
            self.wait()
        except CheckpointError as failure:
            error.add_note(str(failure))

    def wait(self) -> None:
        """Wait until the last save is on the disk."""
        if self.checkpoints is not None:
            self.checkpoints.wait()

    def restore(self, record: Record) -> dict[str, Any] | None:
        """Set the record to the saved run and return its metadata.

        Returns None if the run is not to be resumed, or nothing is saved.

        Raises:
          RunError: the checkpoint is of another run; names every difference.
          CheckpointError: the checkpoint is damaged, or has other leaves.
        """
        if not self.resume:
            return None
        assert self.checkpoints is not None
        restored = self._restored(record)
        if restored is None:
            return None
        metadata = restored.metadata
        if not isinstance(metadata.get("identity"), dict):
            raise _not_a_run(self.checkpoints, "it has no run settings")
        if metadata.get("format") != FORMAT:
            raise _old_format(self.checkpoints)
        _require_same(metadata["identity"], self.identity, self.checkpoints)
        try:
            self._set(record, restored.step, dict(restored.tree), metadata)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise _not_a_run(self.checkpoints, repr(error)) from error
        _warn_of_rounding(metadata.get("sharding"), record.run.loop)
        return metadata

    def _restored(self, record: Record) -> Restored | None:
        assert self.checkpoints is not None
        tree = _tree(record)
        try:
            return self.checkpoints.restore(tree)
        except CheckpointError as error:
            # With another `patience`, a best train state may be missing or extra. Restore with the
            # other structure, so that the error names `patience` instead of the leaves.
            other = {name: part for name, part in tree.items() if name != "best"}
            other |= {} if "best" in tree else {"best": record.run.train_state}
            try:
                return self.checkpoints.restore(other)
            except CheckpointError:
                old = "train_state/state/" in str(error)  # only if the model has state
                raise (_old_format(self.checkpoints) if old else error) from None

    def _set(
        self, record: Record, step: int, tree: dict[str, Any], metadata: dict[str, Any]
    ) -> None:
        tree = place_like(tree, _tree(record))  # a store may restore to one device
        record.best = tree.pop("best", None)
        fields = {name: metadata[name] for name in RUN_FIELDS}
        fields |= {"diverged": tuple(metadata["diverged"]), "seconds": float(metadata["seconds"])}
        record.run = replace(record.run, step=step, **tree, **fields)
        for name in RECORD_FIELDS:
            setattr(record, name, list(metadata[name]))
        record.best_loss = [float(loss) for loss in record.best_loss]
        steps_per_epoch = record.run.loop.steps_per_epoch
        record.history = tuple(_progress(entry, steps_per_epoch) for entry in metadata["history"])
        restore_monitors(self.callbacks, metadata["callbacks"])
        self.saved_at = self.checked_at = record.run.seconds
        self.saved_step = record.run.step


def identity(
    data: Any, validation: Any, hparams: Hparams, *, key: Key, **options: Any
) -> dict[str, Any]:
    """The settings and data that must not differ when a run is resumed, by name, in JSON types."""
    named = jax.tree.leaves_with_path(hparams)
    return {
        **to_json(options),
        "key": np.asarray(jax.random.key_data(jax.random.clone(key))).tolist(),
        **{f"hparams{jax.tree_util.keystr(path)}": to_json(np.asarray(v)) for path, v in named},
        "data": _digest(data),
        "validation": None if validation is None else _digest(validation),
    }


def _warn_of_rounding(saved: Any, loop: CompiledLoop) -> None:
    """Warn if a resumed run is sharded in another way than when it was saved."""
    current = describe(loop.plan, loop.mesh)
    if isinstance(saved, dict) and saved != current and leads(loop.mesh):
        names = [name for name in current if saved.get(name) != current[name]]
        changes = "; ".join(f"{n} {printable(saved.get(n))}, now {current[n]}" for n in names)
        warnings.warn(
            f"resumed with another sharding (saved {changes}): the batches are the same, and sums "
            "are rounded in another order",
            CheckpointWarning,
            stacklevel=2,
        )


def _old_format(checkpoints: Checkpoints) -> CheckpointError:
    return CheckpointError(
        f"the run in {printable(checkpoints.folder)} was saved by jaxnets 0.1, which had other "
        "names for the parts of a train state; finish it with that version, or start over in "
        "another folder"
    )


def _not_a_run(checkpoints: Checkpoints, reason: str) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint in {printable(checkpoints.folder)} was not saved by a run "
        f"({printable(reason)}); start over in another folder"
    )


def _score(record: Record) -> float | None:
    last = record.history[-1] if record.history else None
    score = last.validation.get("loss") if last is not None and last.validation else None
    return score if isinstance(score, float) else None  # a population has an array of losses


def _tree(record: Record) -> dict[str, Any]:
    tree = {"train_state": record.run.train_state, "sums": record.run.sums}
    return tree if record.best is None else {**tree, "best": record.best}


def _require_same(saved: dict[str, Any], current: dict[str, Any], where: Checkpoints) -> None:
    names = [name for name in {**saved, **current} if saved.get(name) != current.get(name)]
    if names:
        lines = "\n".join(
            f"  {printable(n)}: saved {printable(saved.get(n))}, given {printable(current.get(n))}"
            for n in names
        )
        raise RunError(
            f"the run in {printable(where.folder)} cannot resume with other settings:\n{lines}\n"
            "Pass the settings that it was started with, or start over in another folder."
        )


def _digest(split: Any) -> list[str]:
    """Dtype, shape and the first digits of the SHA-256 of every array of a split."""
    if isinstance(split, Stream):  # a sample of its rows, and its length
        rows = np.linspace(0, len(split) - 1, 16).astype(int)
        split = (split.read(rows), np.array(len(split)))
    arrays = [np.ascontiguousarray(array) for array in jax.tree.leaves(split)]
    return [f"{a.dtype}{list(a.shape)} {hashlib.sha256(a.data).hexdigest()[:16]}" for a in arrays]


def _progress(entry: dict[str, Any], steps_per_epoch: int) -> Progress:
    fields = dict(entry, warnings=tuple(entry["warnings"]), steps_per_epoch=steps_per_epoch)
    for name in ("train", "validation"):
        fields[name] = _metrics(entry[name])
    return Progress(**fields)


def _exact(value: Any) -> Any:
    """The value with infinities as strings, since `to_json` writes them as null, like NaN."""
    if isinstance(value, dict):
        return {name: _exact(part) for name, part in value.items()}
    if isinstance(value, np.ndarray):
        return _exact(value.tolist())
    if isinstance(value, list | tuple):
        return [_exact(part) for part in value]
    return str(value) if isinstance(value, float) and math.isinf(value) else value


def _metrics(values: dict[str, Any] | None) -> Any:
    """A report's metrics from JSON: null becomes NaN, and a list an array."""
    if values is None:
        return None

    def metric(value: Any) -> Any:
        if not isinstance(value, list):
            return float(value) if isinstance(value, str) else value
        is_integer = np.asarray(value).dtype.kind == "i"
        return np.asarray(value, np.int32 if is_integer else np.float32)

    return {name: math.nan if v is None else metric(v) for name, v in values.items()}
