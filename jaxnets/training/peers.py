"""The other processes of a run: whether they agree, have ended, or are stuck."""

import faulthandler
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
from jax.sharding import Mesh

from jaxnets.errors import RunError
from jaxnets.sharding import differing_processes, spans_processes
from jaxnets.training.exceptions import PeerLost

STALLED = 77  # the exit status of a process that made no progress
# Matches messages of JAX's runtime, whose connection errors have no type of their own.
CONNECTION = re.compile(
    r"gloo|nccl|connection|socket|peer|heartbeat|coordination|barrier|UNAVAILABLE", re.IGNORECASE
)


def check_agreement(where: str, mesh: Mesh | None, settings: dict[str, Any]) -> None:
    """Refuse processes of one run that were started with different data or settings.

    Raises:
      RunError: in every process; names what differs, and in which processes.
    """
    if differences := differing_processes(mesh, settings):
        names = ", ".join(f"{name} (in processes {ids})" for name, ids in differences.items())
        raise RunError(
            f"{where} expects the same data and settings in all {jax.process_count()} processes, "
            f"but these differ from those of process 0: {names}; pass all data in every process, "
            "which reads only its own rows"
        )


@contextmanager
def as_peer_lost(mesh: Mesh | None, step: Callable[[], int] = lambda: 0) -> Iterator[None]:
    """Convert a runtime error that is due to the end of another process to `PeerLost`.

    `step` returns the last step that this process knows to be complete.
    """
    try:
        yield
    except (jax.errors.JaxRuntimeError, ValueError) as error:
        # The errors of this library are subclasses of ValueError, whatever words they contain.
        is_runtime = isinstance(error, jax.errors.JaxRuntimeError) or type(error) is ValueError
        if is_runtime and CONNECTION.search(str(error)) and spans_processes(mesh):
            raise PeerLost(step(), error) from error
        raise


@contextmanager
def exit_if_stalled(seconds: float | None) -> Iterator[Callable[[], None]]:
    """End the process with status `STALLED` if the yielded function is not called for `seconds`.

    No runtime detects a process that hangs; the others wait for it forever.
    """
    if seconds is None:
        yield lambda: None
        return
    progress, over = threading.Event(), threading.Event()

    def watch() -> None:
        while progress.wait(seconds):
            progress.clear()
            if over.is_set():
                return
        sys.stderr.write(f"no progress for {seconds:g} s; the stacks of all threads:\n")
        sys.stderr.flush()
        faulthandler.dump_traceback(sys.__stderr__ or 2, all_threads=True)
        os._exit(STALLED)

    threading.Thread(target=watch, name="watchdog", daemon=True).start()
    try:
        yield progress.set
    finally:
        over.set()
        progress.set()
