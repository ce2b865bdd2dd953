"""A folder of checkpoints: keeps the newest few and the best, and writes asynchronously."""

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
    check_leaves,
    check_storable,
    copy_leaves,
    describe_leaves,
    named_leaves,
    rebuild_tree,
)
from jaxnets.training.checkpoint.store import FileStore, Store


class Restored(NamedTuple):
    """A restored checkpoint: the tree, its metadata, and the step at which it was saved."""

    tree: Any
    metadata: dict[str, Any]
    step: int


class Checkpoints:
    """A folder of checkpoints by step, which keeps the last `keep` and the best.

    Writes are atomic: if the process is killed at any time, the earlier checkpoints stay valid.
    Several processes may save into one folder.

    Example:
      with Checkpoints("run") as checkpoints:
          restored = checkpoints.restore(template)
          checkpoints.save(step, train_state, {"seed": 0})

    Args:
      folder: the folder's path; if relative, it is resolved immediately.
      every: seconds of training between two saves by `fit`, which saves at the end of a chunk.
      keep: the number of newest checkpoints to keep.
      store: the storage, a function of the folder: `FileStore`, one safetensors file per step, or
        `ShardedStore` for state that is sharded over devices or processes, or a class of yours with
        the methods of `jaxnets.training.checkpoint.store.Store`.

    Raises:
      CheckpointError: `every` is not a number of seconds, or `keep` not a positive integer.
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
                f"Checkpoints expects every as a number of seconds of at least 0, but got "
                f"{every!r}; the default is 5.0"
            )
        self.folder, self.every, self.keep = Path(folder).absolute(), every, keep
        self._store = store(self.folder)
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._saving: Future | None = None
        self._scores: dict[int, float | None] = {}  # inf: no score; None: damaged
        self._folder_created = False

    def save(
        self, step: int, tree: Any, metadata: Mapping[str, Any], *, score: float | None = None
    ) -> None:
        """Copy the tree on its device and return; a background thread writes the copy.

        Waits for the previous save first.

        Args:
          step: at least 0; a checkpoint of the same step is replaced.
          tree: a pytree of arrays and typed PRNG keys; it may be donated afterwards.
          metadata: anything that JSON can represent.
          score: smaller is better; the checkpoint with the smallest score is never removed. A score
            that is not finite is never the best.

        Raises:
          CheckpointError: the previous save failed, or this one cannot be written.
        """
        self.wait()
        content = _content(step, tree, metadata, score)
        with self._save_errors(step):
            if not self._folder_created:  # only once: a deleted folder is an error
                self.folder.mkdir(parents=True, exist_ok=True)
                self._folder_created = True
            finish = self._store.start(content)
        self._saving = self._writer.submit(self._finish, content, finish)

    def wait(self) -> None:
        """Wait until the last save is on the disk.

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
        """The newest step that has a file, damaged or not; None in an empty or missing folder."""
        return max(self._store.steps(), default=None)

    def latest_valid(self) -> int | None:
        """The newest step whose file is not damaged, which is the one that `restore` returns."""
        for step in sorted(self._store.steps(), reverse=True):
            with suppress(DamagedError):
                return self._read(step).step
        return None

    def restore(self, template: Any, *, step: int | None = None) -> Restored | None:
        """The newest checkpoint, None if there is none; or that of `step`.

        If the newest is damaged, falls back to the one before with a CheckpointWarning.

        Args:
          template: a pytree of the same structure as the saved one, of arrays or of
            `jax.ShapeDtypeStruct`s; its values do not matter.
          step: the step to restore, by default the newest that is not damaged.

        Raises:
          CheckpointError: all checkpoints are damaged, or leaves differ from those of the template;
            lists every such leaf.
        """
        steps = sorted(self._store.steps(), reverse=True)
        if step is not None and step not in steps:
            raise CheckpointError(
                f"{self.folder} has no checkpoint of step {step}; it has {sorted(steps)}"
            )
        if not steps:
            return None
        content = self._read(step) if step is not None else self._newest(steps)
        check_leaves(describe_leaves(template), content.leaves, self._store.path(content.step))
        arrays = self._store.arrays(content, named_leaves(template))
        return Restored(rebuild_tree(template, arrays), content.metadata, content.step)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Wait for the last save; if it failed, raise, or add a note to the current exception."""
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
                    f"{reason}\nFalling back to {self._store.path(step)}.",
                    CheckpointWarning,
                    stacklevel=3,
                )
            return content
        raise CheckpointError("all checkpoints are damaged:\n" + "\n".join(reasons))

    def _read(self, step: int) -> Content:
        content = self._store.read(step)
        if content.step != step:
            raise DamagedError(
                f"{self._store.path(step)} holds step {content.step}; it was renamed"
            )
        return content

    def _finish(self, content: Content, finish: Callable[[], None]) -> None:
        with self._save_errors(content.step):
            finish()
            self._scores[content.step] = _comparable(content.score)
            self._prune(content.step)

    @contextmanager
    def _save_errors(self, step: int) -> Iterator[None]:
        """Convert errors of the operating system to CheckpointErrors."""
        try:
            yield
        except OSError as error:
            raise CheckpointError(
                f"{self._store.path(step)} could not be saved: {error}. Earlier checkpoints are "
                "not affected; check that the folder exists, is writable and has free space."
            ) from error

    def _prune(self, saved: int) -> None:
        """Remove checkpoints that are neither new nor the best; keep damaged ones as evidence."""
        every_score = {step: self._score(step) for step in self._store.steps()}
        scores = {step: score for step, score in every_score.items() if score is not None}
        best = min(scores, key=lambda step: (scores[step], -step), default=saved)
        for step in scores.keys() - {saved, best, *sorted(scores)[-self.keep :]}:
            self._store.remove(step)

    def _score(self, step: int) -> float | None:
        """The score in a file, inf if it has none, None if the file is damaged; cached."""
        if step not in self._scores:
            try:
                self._scores[step] = _comparable(self._read(step).score)
            except CheckpointError:
                self._scores[step] = None
        return self._scores[step]


def _content(step: int, tree: Any, metadata: Mapping[str, Any], score: float | None) -> Content:
    """The content to write, with the arrays on their device; checked before the thread starts."""
    if step < 0:
        raise CheckpointError(
            f"a checkpoint expects a step of at least 0, but got {step}; pass the number of steps "
            "taken"
        )
    try:
        json_metadata = decode(json.dumps(dict(metadata)), nonfinite=True)
    except (TypeError, ValueError) as error:
        raise CheckpointError(
            f"a checkpoint expects metadata that JSON can represent, but {error}; convert it to "
            "numbers, strings, lists and dicts"
        ) from error
    leaves = describe_leaves(tree)
    check_storable(leaves)
    score = None if score is None else float(score)
    return Content(step, json_metadata, score, leaves, copy_leaves(tree))


def _comparable(score: float | None) -> float:
    return score if score is not None and math.isfinite(score) else math.inf
