"""Dispatches to a command; reports an error in one message and an exit status."""

import os
import signal
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from jaxnets.messages import printable

# Each in a module of its own with `main(arguments)`, which is imported only if it is chosen.
COMMANDS = {
    "demo": ("jaxnets.command_line.demo", "train a network on MNIST and write its report"),
    "playground": ("jaxnets.playground", "train small networks in the browser"),
    "report": ("jaxnets.command_line.report", "compare several runs on one web page"),
    "predict": ("jaxnets.command_line.predict", "classify images with a saved model"),
    "summary": ("jaxnets.command_line.summary", "show what a saved model contains"),
    "bench": ("jaxnets.command_line.bench", "time training steps on this device"),
    "info": ("jaxnets.command_line.info", "show versions, devices and caches"),
}


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command, and exit.

    The status is 0; 2 for a mistake in the options or a failure of the system, such as a full disk,
    reported in one message without a traceback; 130 after Ctrl-C, which ends `playground` with 0;
    and 75 after SIGTERM.

    Args:
      arguments: the command and its options; by default those of the process.
    """
    name, *options = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        print(_help())
        sys.exit(0)
    if name == "--version":
        from importlib.metadata import version

        print(f"jaxnets {version('jaxnets')}")
        sys.exit(0)
    if name not in COMMANDS:
        _fail(f"expected one of the commands {', '.join(COMMANDS)}, but got {name!r}; see --help")
    _run(COMMANDS[name][0], options)


def _run(module: str, options: list[str]) -> NoReturn:
    """Run a command's module, and exit with its status."""
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    status = 0
    try:
        status = import_module(module).main(options) or 0
    except BrokenPipeError:  # as in `jaxnets info | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        where = "" if error.filename is None else f"{printable(error.filename)}: "
        _fail(where + (error.strerror or str(error)))
    except KeyboardInterrupt as error:  # `training.Interrupted` has the signal
        status = 75 if getattr(error, "signal", signal.SIGINT) == signal.SIGTERM else 130
        print("interrupted", file=sys.stderr, flush=True)
        sys.exit(status)
    except Exception as error:
        if type(error).__module__.partition(".")[0] != "jaxnets":
            raise
        _fail(str(error))  # the errors of jaxnets say in one line what to do
    sys.exit(status)


def _help() -> str:
    rows = "\n".join(f"  {name:<12} {text}" for name, (_, text) in COMMANDS.items())
    return (
        "usage: jaxnets COMMAND [OPTIONS]\n\nNeural networks in JAX. The commands:\n\n"
        f"{rows}\n\njaxnets COMMAND --help shows a command's options, and jaxnets --version the "
        "version.\nThe exit status is 0; 2 for a mistake, with one message; 130 after Ctrl-C; 75 "
        "after SIGTERM."
    )


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)
