"""Checkpoints of sharded state, one folder of Orbax's for a step, with sums of our own beside it.

Orbax writes each process's shards, but believes what it reads, casts dtypes without a word and
names no leaf that differs. So a manifest holds the SHA-256 of every file and what the leaves are.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
from jax.experimental import multihost_utils

from jaxnets.errors import CheckpointError, DamagedError
from jaxnets.files import regular_file
from jaxnets.messages import printable
from jaxnets.training.checkpoint import file
from jaxnets.training.checkpoint.file import Content
from jaxnets.training.checkpoint.leaves import Leaf
from jaxnets.training.checkpoint.store import steps_in

MANIFEST_ENTRIES = ("files", "leaves", "metadata")
MANIFEST = "manifest.safetensors"  # a checkpoint file without tensors, for it checks itself


class ShardedStore:
    """One folder of Orbax's `CheckpointManager` for a step."""

    def __init__(self, folder: Path):
        self.folder = folder  # an absolute path: Orbax takes no other
        self._manager: Any = None

    def path(self, step: int) -> Path:
        """Where a step lies."""
        return self.folder / str(step)

    def steps(self) -> list[int]:
        """The steps that Orbax finished, though a kill may have come before their manifest."""
        return steps_in(self.folder, "([0-9]{1,18})", self.path)

    def start(self, content: Content) -> Callable[[], None]:
        """Let Orbax copy the arrays off their devices; the rest can wait."""
        from orbax.checkpoint import args

        if not self.folder.is_dir():  # Orbax would make it again
            raise FileNotFoundError(f"there is no folder {self.folder} any more")
        manager, step = self._opened(), content.step
        with self._orbax(self.path(step)):
            if step in manager.all_steps():
                manager.delete(step)
            manager.save(step, args=args.StandardSave(content.arrays), force=True)

        def finish() -> None:
            with self._orbax(self.path(step)):
                manager.wait_until_finished()
                manager.check_for_errors()
            if jax.process_index() == 0:
                file.write(self.path(step) / MANIFEST, _manifest(content, self.path(step)))

        return finish

    def settle(self) -> None:
        """Let no process go on before the first has written the manifest."""
        if jax.process_count() > 1:
            multihost_utils.sync_global_devices("checkpoint")

    def read(self, step: int) -> Content:
        """What a step holds, without the arrays, once the sum of every file is right."""
        path = self.path(step)
        manifest = file.read(path / MANIFEST)
        try:
            sums, leaves, metadata = (manifest.metadata[name] for name in MANIFEST_ENTRIES)
            named = {n: Leaf(dtype, tuple(shape), key) for n, (dtype, shape, key) in leaves.items()}
            sums, found = dict(sums), _sums(path)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise DamagedError(f"{printable(path / MANIFEST)} is no manifest: {error!r}") from error
        if wrong := sorted(n for n in {**sums, **found} if sums.get(n) != found.get(n)):
            raise DamagedError(
                f"{printable(path)} is not as it was saved: {', '.join(map(printable, wrong))} "
                "differ in their SHA-256, or are missing, or were added"
            )
        return manifest._replace(metadata=metadata, leaves=named)

    def arrays(self, content: Content, template: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arrays, each sharded as the template's leaf; on the first device if that says not."""
        from orbax.checkpoint import args

        first = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        specs = {
            name: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=getattr(template[name], "sharding", None) or first
            )
            for name, leaf in content.leaves.items()
        }
        with self._orbax(self.path(content.step)):
            return self._opened().restore(content.step, args=args.StandardRestore(specs))

    def remove(self, step: int) -> None:
        """Delete the folder, its manifest first: without one it is no checkpoint any more."""
        if jax.process_index() == 0:
            (self.path(step) / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(self.path(step), ignore_errors=True)

    @contextmanager
    def _orbax(self, path: Path) -> Iterator[None]:
        """Orbax raises errors of many kinds; here they are one, which says where."""
        try:
            yield
        except Exception as error:
            self._manager = None  # for it would raise the same one ever after
            raise CheckpointError(f"{path}: Orbax failed: {error}") from error

    def _opened(self) -> Any:
        """Orbax's manager, made at its first use, for its import takes time and it makes files."""
        if self._manager is None:
            from orbax.checkpoint import CheckpointManager, CheckpointManagerOptions

            options = CheckpointManagerOptions(create=False, cleanup_tmp_directories=True)
            self._manager = CheckpointManager(self.folder, options=options)
        return self._manager


def _manifest(content: Content, folder: Path) -> Content:
    metadata = {"metadata": content.metadata, "leaves": content.leaves, "files": _sums(folder)}
    return content._replace(metadata=metadata, leaves={}, arrays={})


def _sums(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file in a folder but the manifest, by its path in it."""
    paths = [Path(parent) / name for parent, _, names in os.walk(folder) for name in names]
    sums = {}
    for path in paths:
        name = path.relative_to(folder).as_posix()
        if name != MANIFEST and not name.endswith(".tmp"):
            try:
                with regular_file(path) as opened:
                    sums[name] = file.sha256(file.pieces(opened))
            except OSError as error:
                raise DamagedError(f"{path} cannot be read: {error}") from error
    return sums
