"""Experiments: one file each; `python -m experiments` lists them."""

import os
import sys
from pathlib import Path
from typing import Any


def _end_in_one_line(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """End with a one-line message if Ctrl-C or an unwritable folder stops a script's imports."""
    if isinstance(error, KeyboardInterrupt):
        message, status = "interrupted; nothing more is saved", 130
    elif isinstance(error, OSError):
        message, status = f"error: {error}", 2
    else:
        return sys.__excepthook__(kind, error, trace)
    print(message, file=sys.stderr, flush=True)
    os._exit(status)


def _refuse_helpers(arguments: list[str]) -> None:
    """End `python -m experiments.NAME` with a message if NAME is not a script."""
    name = arguments[arguments.index("-m") + 1]
    if not name.startswith("experiments."):
        return
    path = Path(__file__).parent.joinpath(*name.split(".")[1:])
    file = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
    if not file.exists() or "__name__ ==" not in file.read_text(encoding="utf-8"):
        message = f"{name} is not an experiment; `python -m experiments` lists all of them"
        print(message, file=sys.stderr, flush=True)
        sys.exit(2)


if sys.argv[0] == "-m":  # while `python -m` looks for the script; not in any other program
    sys.excepthook = _end_in_one_line
    if "-m" in sys.orig_argv:
        _refuse_helpers(sys.orig_argv)
