"""Signals answered between chunks, so that what was learnt is kept."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def first_signal() -> Iterator[Callable[[], int | None]]:
    """Note the first SIGINT or SIGTERM instead of dying of it; the second acts as before.

    Yields a function that returns the signal's number, or None while none has come. Outside
    the main thread, where Python cannot handle signals, it always returns None.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    noted: list[int] = []
    before = {}

    def note(number: int, frame: object) -> None:
        noted.append(number)
        restore()

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, note)
    try:
        yield lambda: noted[0] if noted else None
    finally:
        restore()
