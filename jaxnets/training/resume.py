"""What a run saves so that it can go on bit for bit, and what it compares before it does."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np

from jaxnets.data.stream import Stream
from jaxnets.errors import CheckpointError, RunError
from jaxnets.layer import Key
from jaxnets.messages import printable
from jaxnets.training.checkpoint import Checkpoints, Restored
from jaxnets.training.monitors import Monitor, memories, remind
from jaxnets.training.record import Record
from jaxnets.training.report import Progress, to_json
from jaxnets.training.train_step import Hparams

FORMAT = 2  # of what is saved; 1 named the parts of a train state otherwise
OF_RUN = ("seconds", "nonfinite", "diverged")
OF_RECORD = ("best_epoch", "best_loss", "stale")


class Saver:
    """Saves a record, and restores it; does nothing where there are no checkpoints."""

    def __init__(
        self,
        checkpoints: Checkpoints | None,
        identity: dict[str, Any],
        callbacks: Sequence[Monitor] = (),
    ):
        self.checkpoints, self.identity, self.callbacks = checkpoints, identity, callbacks
        self.saved_at = self.seen_at = 0.0  # seconds of training
        self.saved_step = -1

    def save(self, record: Record, *, now: bool = False) -> None:
        """Save if the last time is `checkpoints.every` seconds of training ago, or `now`.

        The score is the last validation loss, where there is one.
        """
        run = record.run
        if self.checkpoints is None or run.step == self.saved_step:
            return
        chunk, self.seen_at = run.seconds - self.seen_at, run.seconds
        if not now and run.seconds + chunk - self.saved_at < self.checkpoints.every:
            return  # after another chunk like the last it is still soon enough
        last = record.history[-1] if record.history else None
        score = last.validation.get("loss") if last is not None and last.validation else None
        score = score if isinstance(score, float) else None  # a population has no best
        metadata = {name: getattr(run, name) for name in OF_RUN}
        metadata |= {name: getattr(record, name) for name in OF_RECORD}
        metadata["history"] = [progress._asdict() for progress in record.history]
        metadata["strategy"] = getattr(run.loop.runner, "strategy", None)
        metadata |= {"identity": self.identity, "format": FORMAT}
        metadata["callbacks"] = memories(self.callbacks)
        metadata = to_json(_exact(metadata))
        self.checkpoints.save(run.step, _tree(record), metadata, score=score)
        self.saved_at, self.saved_step = run.seconds, run.step

    def save_instead(self, record: Record, error: Exception) -> None:
        """Save although the run ends in `error`; a failure of that is added to it as a note."""
        try:
            self.save(record, now=True)
            self.wait()
        except CheckpointError as failure:
            error.add_note(str(failure))

    def wait(self) -> None:
        """Return when all is on the disk."""
        if self.checkpoints is not None:
            self.checkpoints.wait()

    def restore(self, record: Record) -> dict[str, Any] | None:
        """Set the record to where the run stood, and return the metadata; None if none is saved.

        Raises:
          RunError: it was another run; names what differs.
          CheckpointError: what is saved is damaged, or has other leaves.
        """
        assert self.checkpoints is not None
        found = self._found(record)
        if found is None:
            return None
        saved = found.metadata
        if not isinstance(saved.get("identity"), dict):
            raise _no_run(self.checkpoints, "it has no identity")
        if saved.get("format") != FORMAT:
            raise _older(self.checkpoints)
        _require_same(saved["identity"], self.identity, self.checkpoints)
        try:
            self._set(record, found.step, dict(found.tree), saved)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise _no_run(self.checkpoints, repr(error)) from error
        return saved

    def _found(self, record: Record) -> Restored | None:
        assert self.checkpoints is not None
        tree = _tree(record)
        try:
            return self.checkpoints.restore(tree)
        except CheckpointError as error:
            # A run of another patience has a best train state, or has none; its settings differ.
            other = {name: part for name, part in tree.items() if name != "best"}
            other |= {} if "best" in tree else {"best": record.run.train_state}
            try:
                return self.checkpoints.restore(other)
            except CheckpointError:
                old = "train_state/state/" in str(error)  # where the model has a state
                raise (_older(self.checkpoints) if old else error) from None

    def _set(self, record: Record, step: int, tree: dict[str, Any], saved: dict[str, Any]) -> None:
        record.best = tree.pop("best", None)
        fields = {name: saved[name] for name in OF_RUN}
        fields |= {"diverged": tuple(saved["diverged"]), "seconds": float(saved["seconds"])}
        record.run = replace(record.run, step=step, **tree, **fields)
        for name in OF_RECORD:
            setattr(record, name, list(saved[name]))
        record.best_loss = [float(loss) for loss in record.best_loss]
        record.history = tuple(_progress(entry) for entry in saved["history"])
        remind(self.callbacks, saved["callbacks"])
        self.saved_at = self.seen_at = record.run.seconds
        self.saved_step = record.run.step


def identity(
    data: Any, validation: Any, hparams: Hparams, *, key: Key, **options: Any
) -> dict[str, Any]:
    """What must not differ where a run goes on, by name, in JSON's types."""
    named = jax.tree.leaves_with_path(hparams)
    return {
        **to_json(options),
        "key": np.asarray(jax.random.key_data(jax.random.clone(key))).tolist(),
        **{f"hparams{jax.tree_util.keystr(path)}": to_json(np.asarray(v)) for path, v in named},
        "data": _digest(data),
        "validation": None if validation is None else _digest(validation),
    }


def _older(checkpoints: Checkpoints) -> CheckpointError:
    return CheckpointError(
        f"the run in {printable(checkpoints.folder)} was saved by jaxnets 0.1, which named the "
        "parts of a train state otherwise; end it with that version, or start afresh in another "
        "folder"
    )


def _no_run(checkpoints: Checkpoints, reason: str) -> CheckpointError:
    return CheckpointError(
        f"the checkpoint in {printable(checkpoints.folder)} was not saved by a run "
        f"({printable(reason)}); start afresh in another folder"
    )


def _tree(record: Record) -> dict[str, Any]:
    tree = {"train_state": record.run.train_state, "sums": record.run.sums}
    return tree if record.best is None else {**tree, "best": record.best}


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


def _digest(split: Any) -> list[str]:
    """Shape, dtype and the start of the SHA-256 of inputs and labels."""
    if isinstance(split, Stream):  # of some rows only, and the length
        rows = np.linspace(0, len(split) - 1, 16).astype(int)
        split = (split.read(rows), np.array(len(split)))
    arrays = [np.ascontiguousarray(array) for array in jax.tree.leaves(split)]
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
