"""A folder of checkpoint files: the newest few and the best, written behind the training loop."""

import json
import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

from jaxnets.checks import as_integers
from jaxnets.errors import CheckpointError, CheckpointWarning, DamagedError
from jaxnets.json_files import decode
from jaxnets.training.checkpoint.file import Content
from jaxnets.training.checkpoint.leaves import (
    copied,
    described,
    named,
    rebuilt,
    require_fit,
    require_storable,
)
from jaxnets.training.checkpoint.store import FileStore, Store


class Restored(NamedTuple):
    """What was saved: the tree, the metadata that went with it, and the step it was saved at."""

    tree: Any
    metadata: dict[str, Any]
    step: int


class Checkpoints:
    """A folder of checkpoints by step, of which the last `keep` and the best stay.

    Each is written under another name and renamed when it is on the disk, so that a kill at any
    moment leaves the ones before. Several processes may save into one folder.

    Example:
      with Checkpoints("run") as checkpoints:
          restored = checkpoints.restore(template)
          checkpoints.save(step, train_state, {"seed": 0})

    Args:
      folder: where they lie; a later `chdir` changes nothing.
      every: seconds of training within which `fit` saves, at the end of a chunk.
      keep: how many of the newest stay.
      store: the form they are stored in, a function of the folder: `FileStore`, one safetensors
        file per step, or `ShardedStore` for state that is sharded over devices or processes.

    Raises:
      CheckpointError: `every` is no number of seconds, or `keep` no positive integer.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        every: float = 5.0,
        keep: int = 3,
        store: Callable[[Path], Store] = FileStore,
    ):
        [keep] = as_integers("Checkpoints", error=CheckpointError, keep=keep)
        if not isinstance(every, int | float) or isinstance(every, bool) or not every >= 0:
            raise CheckpointError(
                f"Checkpoints expects every in seconds, at least 0, but got {every!r}"
            )
        self.folder, self.every, self.keep = Path(folder).absolute(), every, keep
        self._store = store(self.folder)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._saving: Future | None = None
        self._scores: dict[int, float | None] = {}  # inf: no score; None: damaged
        self._made = False

    def save(
        self, step: int, tree: Any, metadata: Mapping[str, Any], *, score: float | None = None
    ) -> None:
        """Copy the tree on its device and return; a thread writes the copy.

        If the save before is not done, this waits for it first.

        Args:
          step: at least 0; a checkpoint of the same step is replaced.
          tree: a pytree of arrays, typed PRNG keys among them; it may be donated afterwards.
          metadata: what JSON can hold.
          score: the smaller, the better; the checkpoint of the smallest is never removed. One
            that is not finite is never the best.

        Raises:
          CheckpointError: the save before failed, or this one cannot be written as asked.
        """
        self.wait()
        content = _content(step, tree, metadata, score)
        with self._plain_errors(step):
            if not self._made:  # but not later: a folder that vanished took the others with it
                self.folder.mkdir(parents=True, exist_ok=True)
                self._made = True
            finish = self._store.start(content)
        self._saving = self._writer.submit(self._finish, content, finish)

    def wait(self) -> None:
        """Return when what was saved is on the disk.

        Raises:
          CheckpointError: it could not be written.
        """
        if self._saving is not None:
            error = self._saving.exception()
            self._saving = None
            self._store.settle()
            if error is not None:
                raise error

    def latest(self) -> int | None:
        """The newest step that has a file; None in an empty or missing folder."""
        return max(self._store.steps(), default=None)

    def latest_valid(self) -> int | None:
        """The newest step whose file is whole, which is the one that `restore` returns."""
        for step in sorted(self._store.steps(), reverse=True):
            with suppress(DamagedError):
                return self._read(step).step
        return None

    def restore(self, template: Any, *, step: int | None = None) -> Restored | None:
        """The newest checkpoint, or that of `step`; None if there is none at all.

        A damaged one is passed over for the one before, with a CheckpointWarning, unless `step`
        asks for it.

        Args:
          template: a pytree of the same structure as the saved one, of arrays or of
            `jax.ShapeDtypeStruct`s; its values are not looked at.
          step: which checkpoint, by default the newest that is whole.

        Raises:
          CheckpointError: no checkpoint is whole, or leaves differ from those of the template,
            every one of which is named.
        """
        steps = sorted(self._store.steps(), reverse=True)
        if step is not None and step not in steps:
            raise CheckpointError(
                f"{self.folder} has no checkpoint of step {step}; it has {sorted(steps)}"
            )
        if not steps:
            return None
        content = self._read(step) if step is not None else self._newest(steps)
        require_fit(described(template), content.leaves, self._store.path(content.step))
        arrays = self._store.arrays(content, named(template))
        return Restored(rebuilt(template, arrays), content.metadata, content.step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Wait for the last save; its failure is added to an exception that is under way."""
        try:
            self.wait()
        except CheckpointError as failure:
            if error is None:
                raise
            error.add_note(str(failure))

    def _newest(self, steps: list[int]) -> Content:
        reasons = []
        for step in steps:
            try:
                content = self._read(step)
            except DamagedError as error:
                reasons.append(str(error))
                continue
            for reason in reasons:
                warnings.warn(
                    f"{reason}\nGoing back to {self._store.path(step)}.",
                    CheckpointWarning,
                    stacklevel=3,
                )
            return content
        raise CheckpointError("no checkpoint is whole:\n" + "\n".join(reasons))

    def _read(self, step: int) -> Content:
        content = self._store.read(step)
        if content.step != step:
            raise DamagedError(
                f"{self._store.path(step)} holds step {content.step}; it was renamed"
            )
        return content

    def _finish(self, content: Content, finish: Callable[[], None]) -> None:
        with self._plain_errors(content.step):
            finish()
            self._scores[content.step] = _comparable(content.score)
            self._prune(content.step)

    @contextmanager
    def _plain_errors(self, step: int) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CheckpointError(
                f"{self._store.path(step)} could not be saved: {error}. Earlier checkpoints are as "
                "they were; see that the folder exists, can be written and has space."
            ) from error

    def _prune(self, saved: int) -> None:
        """Remove what is whole but neither new nor best; what is damaged is left to be seen."""
        found = {step: self._score(step) for step in self._store.steps()}
        scores = {step: score for step, score in found.items() if score is not None}
        best = min(scores, key=lambda step: (scores[step], -step), default=saved)
        for step in scores.keys() - {saved, best, *sorted(scores)[-self.keep :]}:
            self._store.remove(step)

    def _score(self, step: int) -> float | None:
        """The score in a file, inf where it has none, None if it is damaged; read but once."""
        if step not in self._scores:
            try:
                self._scores[step] = _comparable(self._read(step).score)
            except CheckpointError:
                self._scores[step] = None
        return self._scores[step]


def _content(step: int, tree: Any, metadata: Mapping[str, Any], score: float | None) -> Content:
    """What is to be written, the arrays still on their device; refused here, not in the thread."""
    if step < 0:
        raise CheckpointError(f"a checkpoint expects a step of at least 0, but got {step}")
    try:
        as_json = decode(json.dumps(dict(metadata)), nonfinite=True)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"a checkpoint expects metadata for JSON, but {error}") from error
    leaves = described(tree)
    require_storable(leaves)
    score = None if score is None else float(score)
    return Content(step, as_json, score, leaves, copied(tree))


def _comparable(score: float | None) -> float:
    return score if score is not None and math.isfinite(score) else math.inf
