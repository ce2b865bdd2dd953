"""Handles signals between chunks, so that an interrupted run keeps what it has trained."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import jax
from jax.experimental import multihost_utils

SYNC_POINTS = count(1)  # global, since the numbers must increase over all runs of a process


@contextmanager
def first_signal() -> Iterator[Callable[[], int | None]]:
    """Record the first SIGINT or SIGTERM; a second one has its usual effect.

    Yields a function that returns the signal's number, or None if there was none. Outside the main
    thread, where Python cannot handle signals, it always returns None. With `jax.distributed`,
    JAX's preemption notice is used instead, so that all processes stop at the same call, which must
    be at the same step; a signal handler would replace JAX's. An ignored signal, such as SIGINT in
    a shell's background jobs, stays ignored. A handler that was not installed from Python is kept,
    since Python could not restore it.
    """
    if jax.distributed.is_initialized():
        yield _preemption_signal()
        return
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    received: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    previous = {n: h for n, h in handlers.items() if h not in (signal.SIG_IGN, None)}

    def handle(number: int, frame: object) -> None:
        received.append(number)
        restore()

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    try:
        for number in previous:
            signal.signal(number, handle)
        yield lambda: received[0] if received else None
    finally:
        restore()


def _preemption_signal() -> Callable[[], int | None]:
    preempted = False

    def poll() -> int | None:
        nonlocal preempted
        # JAX needs consecutive numbers: all processes stop at the one after the largest so far.
        preempted = preempted or multihost_utils.reached_preemption_sync_point(next(SYNC_POINTS))
        return signal.SIGTERM if preempted else None

    return poll
