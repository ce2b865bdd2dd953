"""The command line of every script: its options, errors as one message, and the exit status."""

import os
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import jax
import tyro

from experiments import distributed
from jaxnets import LayerError
from jaxnets.data import DataError
from jaxnets.errors import JSONError
from jaxnets.files import user_cache
from jaxnets.messages import printable
from jaxnets.training import (
    CheckpointError,
    Checkpoints,
    FitResult,
    Interrupted,
    NonFiniteLoss,
    PeerLost,
    RunError,
    SavingFailed,
)

PEER_LOST = 76  # the exit status when another process of the run ended


def main(
    experiment: Callable[[Any], Any], config_type: type, *, keep_compiled: bool = True
) -> None:
    """Run `experiment` with options from the command line, and exit.

    The status is 0; or 2 for a mistake in the options or a failure of the system, such as a full
    disk, reported in one message without a traceback; or 130 after Ctrl-C and 75 after SIGTERM,
    with the run saved if it was training; or 76 if another process of the run ended, and 77 if one
    is stuck.

    Args:
      experiment: called with the options.
      config_type: their dataclass.
      keep_compiled: cache compiled programs on disk, so that a second run starts sooner; False for
        scripts that time compilation.
    """
    script = sys.modules["__main__"]
    config = tyro.cli(config_type, prog=_command(script), description=_description(script))
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    try:
        if getattr(config, "distributed", False):
            distributed.initialize()
        if keep_compiled:
            _cache_compilations()
        with distributed.first_process_prints():
            experiment(config)
    except NonFiniteLoss as error:
        _fail(f"{error}\nThe state before that step is saved; --resume repeats the step.")
    except SavingFailed as error:
        _fail(f"{error}\n{_save_elsewhere(error.fit)}")
    except PeerLost as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        os._exit(PEER_LOST)  # the usual exit waits for all processes
    except (DataError, JSONError, LayerError, RunError, CheckpointError) as error:
        _fail(str(error))
    except OSError as error:
        where = "" if error.filename is None else f"{printable(error.filename)}: "
        _fail(str(error) if error.strerror is None else where + error.strerror)
    except Interrupted as interrupted:
        status = 130 if interrupted.signal == signal.SIGINT else 75
        _interrupted("the run is saved, --resume continues it", status)
    except KeyboardInterrupt:
        _interrupted("nothing more is saved", 130)


def _command(script: Any) -> str:
    """The command as typed, without the path of the file."""
    if script.__spec__ is None:
        return Path(sys.argv[0]).name
    return f"python -m {script.__spec__.name.removesuffix('.__main__')}"


def _description(script: Any) -> str:
    """The script's docstring; its commands are indented, so that tyro keeps a line for each."""
    lines = (script.__doc__ or "").splitlines()
    return "\n".join(f"    {line}" if line.startswith("python -m") else line for line in lines)


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def _interrupted(message: str, status: int) -> NoReturn:
    """Exit with a message; another Ctrl-C ends the process at once, without cleanup."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(status))
    print(f"interrupted; {message}", file=sys.stderr, flush=True)
    sys.exit(status)


def _save_elsewhere(result: Any) -> str:
    """Save the train state to a temporary folder; return a message with the folder or the error."""
    state = result.train_state if isinstance(result, FitResult) else result.train_states
    try:
        folder = Path(tempfile.mkdtemp(prefix="jaxnets-"))
        with Checkpoints(folder) as checkpoints:
            step = result.history[-1].step if result.history else 0
            checkpoints.save(step, state, {"saved": "because the folder of the run failed"})
    except (CheckpointError, OSError):
        return "It could not be saved elsewhere either: training since the last save is lost."
    return f"The train state is saved in {folder}; --resume continues from the last checkpoint."


def _cache_compilations() -> None:
    """Cache all compiled programs on disk, so that a second run starts sooner."""
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        jax.config.update("jax_compilation_cache_dir", str(user_cache() / "xla"))
    except OSError as error:
        warnings.warn(f"compiled programs are not cached on disk: {error}", stacklevel=1)
