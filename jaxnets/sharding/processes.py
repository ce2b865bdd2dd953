"""What several processes that train one model decide together."""

import hashlib
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh


def spans_processes(mesh: Mesh | None) -> bool:
    """Whether the mesh has devices of several processes."""
    return mesh is not None and len({d.process_index for d in mesh.devices.flat}) > 1


def leads(mesh: Mesh | None) -> bool:
    """Whether this process reports and writes: the first of those that share the mesh."""
    return jax.process_index() == 0 or not spans_processes(mesh)


def agree(value: float) -> float:
    """The first process's value, for decisions that depend on a clock.

    All processes must call it; without `jax.distributed`, it is `value`.
    """
    if not jax.distributed.is_initialized():
        return value
    return float(multihost_utils.broadcast_one_to_all(np.float32(value)))


def differing_processes(mesh: Mesh | None, named: dict[str, Any]) -> dict[str, list[int]]:
    """The values, in JSON types, that differ from the first process's, and in which processes."""
    if not spans_processes(mesh):
        return {}
    digests = [hashlib.sha256(repr(v).encode()).digest() for v in named.values()]
    table = np.frombuffer(b"".join(digests), np.uint8).reshape(len(named), -1)
    tables = np.asarray(multihost_utils.process_allgather(table))  # (processes, values, 32)
    differs = (tables != tables[0]).any(-1)
    return {
        name: np.flatnonzero(column).tolist()
        for name, column in zip(named, differs.T, strict=True)
        if column.any()
    }
