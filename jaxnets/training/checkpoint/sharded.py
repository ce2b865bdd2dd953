"""Checkpoints of sharded state: one Orbax folder per step, with a manifest of checksums.

Orbax writes each process's shards, but it does not verify what it reads, silently casts dtypes and
does not name mismatched leaves. The manifest holds the SHA-256 of every file and the leaves' dtypes
and shapes.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxnets import sealed
from jaxnets.errors import CheckpointError, DamagedError
from jaxnets.files import regular_file
from jaxnets.messages import printable
from jaxnets.training.checkpoint import file
from jaxnets.training.checkpoint.file import Content
from jaxnets.training.checkpoint.leaves import Leaf
from jaxnets.training.checkpoint.store import find_steps

MANIFEST_ENTRIES = ("files", "leaves", "metadata")
MANIFEST = "manifest.safetensors"  # a checkpoint file without tensors, which has a checksum


class ShardedStore:
    """Stores each step as one folder of Orbax's `CheckpointManager`."""

    def __init__(self, folder: Path):
        self.folder = folder  # absolute, as Orbax requires
        self._manager: Any = None
        self._failed = False  # the save of this process

    def path(self, step: int) -> Path:
        """The folder of a step."""
        return self.folder / str(step)

    def steps(self) -> list[int]:
        """The steps that Orbax finished; the process may have been killed before their manifest."""
        return find_steps(self.folder, "([0-9]{1,18})", self.path)

    def start(self, content: Content) -> Callable[[], None]:
        """Starts Orbax's save, which copies the arrays off their devices."""
        from orbax.checkpoint import args

        if not self.folder.is_dir():  # Orbax would create it again
            raise FileNotFoundError(f"the folder {self.folder} no longer exists")
        manager, step = self._open_manager(), content.step
        with self._orbax_errors(self.path(step)):
            if step in manager.all_steps():
                manager.delete(step)
            manager.save(step, args=args.StandardSave(content.arrays), force=True)

        def finish() -> None:
            self._failed = True
            with self._orbax_errors(self.path(step)):
                manager.wait_until_finished()
                manager.check_for_errors()
            if jax.process_index() == 0:
                file.write(self.path(step) / MANIFEST, _manifest(content, self.path(step)))
            self._failed = False

        return finish

    def settle(self) -> None:
        """The process barrier after a save; raises if it failed in another process."""
        failed, self._failed = self._failed, False
        if jax.process_count() == 1:
            return
        failures = np.flatnonzero(multihost_utils.process_allgather(np.array(failed))).tolist()
        if failures and not failed:
            raise CheckpointError(
                f"{self.folder}: saving failed in processes {failures}; see their errors"
            )

    def read(self, step: int) -> Content:
        """A step's content without the arrays; the checksum of every file is verified first."""
        path = self.path(step)
        manifest = file.read(path / MANIFEST)
        try:
            entries, leaf_entries, metadata = (manifest.metadata[n] for n in MANIFEST_ENTRIES)
            leaves = {
                name: Leaf(dtype, tuple(shape), key)
                for name, (dtype, shape, key) in leaf_entries.items()
            }
            expected, got = dict(entries), _checksums(path)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise DamagedError(
                f"{printable(path / MANIFEST)} is not a manifest: {error!r}"
            ) from error
        if wrong := sorted(n for n in {**expected, **got} if expected.get(n) != got.get(n)):
            raise DamagedError(
                f"{printable(path)} is not as it was saved: {', '.join(map(printable, wrong))} "
                "have another SHA-256, are missing or were added"
            )
        return manifest._replace(metadata=metadata, leaves=leaves)

    def arrays(self, content: Content, template: Mapping[str, Any]) -> Mapping[str, Any]:
        """The arrays, sharded like the template's leaves, by default on the first device."""
        from orbax.checkpoint import args

        first = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        specs = {
            name: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=getattr(template[name], "sharding", None) or first
            )
            for name, leaf in content.leaves.items()
        }
        with self._orbax_errors(self.path(content.step)):
            return self._open_manager().restore(content.step, args=args.StandardRestore(specs))

    def remove(self, step: int) -> None:
        """Delete the folder; the manifest first, without which it is not a checkpoint."""
        if jax.process_index() == 0:
            (self.path(step) / MANIFEST).unlink(missing_ok=True)
            shutil.rmtree(self.path(step), ignore_errors=True)

    @contextmanager
    def _orbax_errors(self, path: Path) -> Iterator[None]:
        """Convert any error of Orbax to a CheckpointError with the path."""
        try:
            yield
        except Exception as error:
            self._manager = None  # it would raise the same error again
            raise CheckpointError(f"{path}: Orbax failed: {error}") from error

    def _open_manager(self) -> Any:
        """Orbax's manager, created at its first use: it is slow to import and creates files."""
        if self._manager is None:
            from orbax.checkpoint import CheckpointManager, CheckpointManagerOptions

            options = CheckpointManagerOptions(create=False, cleanup_tmp_directories=True)
            self._manager = CheckpointManager(self.folder, options=options)
        return self._manager


def _manifest(content: Content, folder: Path) -> Content:
    metadata = {"metadata": content.metadata, "leaves": content.leaves, "files": _checksums(folder)}
    return content._replace(metadata=metadata, leaves={}, arrays={})


def _checksums(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file in a folder except the manifest, by relative path."""
    paths = [Path(parent) / name for parent, _, names in os.walk(folder) for name in names]
    checksums = {}
    for path in paths:
        name = path.relative_to(folder).as_posix()
        if name != MANIFEST and not name.endswith(".tmp"):
            try:
                with regular_file(path) as stream:
                    checksums[name] = sealed.sha256(sealed.pieces(stream))
            except OSError as error:
                raise DamagedError(f"{path} cannot be read: {error}") from error
    return checksums
