"""Checkpoints: atomic writes, verified checksums, restored bit for bit or not at all."""

from jaxnets.errors import CheckpointError, CheckpointWarning
from jaxnets.training.checkpoint.folder import Checkpoints, Restored
from jaxnets.training.checkpoint.sharded import ShardedStore
from jaxnets.training.checkpoint.store import FileStore

__all__ = [
    "CheckpointError",
    "CheckpointWarning",
    "Checkpoints",
    "FileStore",
    "Restored",
    "ShardedStore",
]
