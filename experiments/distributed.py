"""Runs of several processes: how they find each other, and what only the first one writes."""

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax

from jaxnets.sharding import BATCH, MEMBERS, agree
from jaxnets.training import RunError, ShardingPlan

LAUNCHED = ("JAXNETS_COORDINATOR", "JAXNETS_PROCESSES", "JAXNETS_PROCESS")  # by experiments.launch
HEARTBEAT_SECONDS = 30  # JAX ends all processes after this long without a heartbeat


def initialize() -> None:
    """Connect the processes of a run, as SLURM, Open MPI, Kubernetes or Cloud TPU started them.

    Raises:
      RunError: there is no cluster, or a port is taken. A process whose peers do not connect is
        ended by JAX, with SIGABRT after five minutes.
    """
    found: dict[str, Any] = {}
    if all(name in os.environ for name in LAUNCHED):
        address, count, number = (os.environ[name] for name in LAUNCHED)
        found = {"coordinator_address": address, "num_processes": int(count)}
        found["process_id"] = int(number)
    try:
        jax.distributed.initialize(**found, heartbeat_timeout_seconds=HEARTBEAT_SECONDS)
    except (ValueError, RuntimeError) as error:
        raise RunError(
            "--distributed expects a cluster that JAX detects and connects to, but got "
            f"{str(error).splitlines()[0]!r}; start it with srun, mpirun or python -m "
            "experiments.launch -n 2"
        ) from error


@contextmanager
def first_process_prints() -> Iterator[None]:
    """Drop what the other processes print; their errors are shown."""
    shown = sys.stdout
    with open(os.devnull, "w") as nowhere:
        sys.stdout = shown if jax.process_index() == 0 else nowhere
        try:
            yield
        finally:
            sys.stdout = shown


def begin(
    start: Callable[..., tuple[Path, bool]], name: str, config: Any, dataset: Any, **more: Any
) -> tuple[Path, Path, bool]:
    """The folder that this process writes to, the folder that all share, and whether to resume.

    The first process opens the run's folder by `start`, and the others write to one that is deleted
    at their end.
    """
    if jax.process_count() == 1:
        folder, resumes = start(name, config, dataset, **more)
        return folder, folder, resumes
    if config.out is None:
        raise RunError(
            "--distributed expects a folder that all processes share; pass it with --out"
        )
    if jax.process_index() == 0:
        folder, resumes = start(name, config, dataset, **more)
        return folder, folder, bool(agree(resumes))
    OTHERS.append(tempfile.TemporaryDirectory(prefix="jaxnets-"))  # deleted at the process's end
    return Path(OTHERS[-1].name), config.out.absolute(), bool(agree(False))


OTHERS: list[tempfile.TemporaryDirectory] = []


def options(config: Any, seeds: int) -> dict[str, Any]:
    """The options of `fit`, or of `fit_population` of several seeds, for a run of processes."""
    if not getattr(config, "distributed", False):
        return {}
    devices = jax.device_count()
    axis = MEMBERS if seeds % devices == 0 else BATCH
    return {"sharding": ShardingPlan({axis: devices}), "stall_seconds": config.stall_seconds}
