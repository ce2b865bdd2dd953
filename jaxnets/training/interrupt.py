"""Signals answered between chunks, so that what was learnt is kept."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count

import jax
from jax.experimental import multihost_utils

LOOKS = count(1)  # all of a process's, so that they go on from run to run


@contextmanager
def first_signal() -> Iterator[Callable[[], int | None]]:
    """Note the first SIGINT or SIGTERM instead of dying of it; the second acts as before.

    Yields a function that returns the signal's number, or None while none has come. Outside the
    main thread, where Python cannot handle signals, it always returns None. Where `jax.distributed`
    runs it is JAX's own preemption notice, so that all processes stop at the same look, which must
    be at the same step: a handler of ours would take that notice away. A signal that is ignored, as
    SIGINT is in a shell's background jobs, stays ignored; one whose handler is not Python's stays
    with it, for Python could not put it back.
    """
    if jax.distributed.is_initialized():
        yield _preempted()
        return
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    noted: list[int] = []
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {n: h for n, h in handlers.items() if h not in (signal.SIG_IGN, None)}

    def note(number: int, frame: object) -> None:
        noted.append(number)
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    try:
        for number in before:
            signal.signal(number, note)
        yield lambda: noted[0] if noted else None
    finally:
        restore()


def _preempted() -> Callable[[], int | None]:
    reached = False

    def look() -> int | None:
        nonlocal reached
        # JAX expects numbers one apart: all stop at the one after the largest that any has given.
        reached = reached or multihost_utils.reached_preemption_sync_point(next(LOOKS))
        return signal.SIGTERM if reached else None

    return look
