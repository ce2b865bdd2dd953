"""The tasks of the benchmark that a peer supports."""

from collections.abc import Mapping
from typing import TypeVar

from experiments.bench.task import Task

Network = TypeVar("Network")


def choose(task: Task, networks: Mapping[str, Network]) -> Network:
    """The peer's network for the task's case.

    Raises:
      NotImplementedError: a case that the peer has no network for, a dtype other than float32 and
        bfloat16, or more than one device.
    """
    if task.case not in networks:
        raise NotImplementedError(
            f"This peer does not have the case {task.case!r}; it has {', '.join(networks)}."
        )
    if task.dtype not in ("float32", "bfloat16"):
        raise NotImplementedError(
            f"Peers compute in float32 or bfloat16, but the task has dtype {task.dtype!r}."
        )
    if task.devices != 1:
        raise NotImplementedError(
            f"Peers run on one device, but the task has {task.devices}; compare with devices=1."
        )
    return networks[task.case]
