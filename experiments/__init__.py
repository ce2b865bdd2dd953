"""Experiments: one file each, run with `python -m experiments.NAME`."""

import os
import sys
from typing import Any


def _end_in_one_line(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """End a script that Ctrl-C, or a folder that cannot be written, stops while it imports."""
    if isinstance(error, KeyboardInterrupt):
        message, status = "interrupted; nothing more is saved", 130
    elif isinstance(error, OSError):
        message, status = f"error: {error}", 2
    else:
        return sys.__excepthook__(kind, error, trace)
    print(message, file=sys.stderr, flush=True)
    os._exit(status)


if sys.argv[0] == "-m":  # while `python -m` looks for the script; not in any other program
    sys.excepthook = _end_in_one_line
