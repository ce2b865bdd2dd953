"""The folder that a run writes to: new, or that of the run which is to go on."""

import json
import os
import platform
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from io import BytesIO
from itertools import takewhile
from pathlib import Path
from typing import Any

import jax
from matplotlib.figure import Figure

from jaxnets import json_files
from jaxnets.data import Dataset
from jaxnets.errors import JSONError
from jaxnets.files import atomic_write, sweep
from jaxnets.interop import safetensors
from jaxnets.json_files import damaged, decode
from jaxnets.locks import hold
from jaxnets.messages import printable
from jaxnets.training import RunError, TrainState
from jaxnets.training.report import to_json

LOCK = "run.lock"
CURE = "start afresh in another folder"
MAY_CHANGE = ("epochs", "out", "resume", "workers")  # options that a resumed run need not repeat


def open_folder(name: str, config: Any) -> tuple[Path, bool]:
    """The folder of a run, and whether there is a run in it to go on with.

    Without `config.resume` it is new or empty: an earlier run's files are never written over. It is
    locked until this process ends, so that no other process writes to it.

    Raises:
      RunError: it cannot be written to, holds something else, or is another process's.
    """
    if config.resume and config.out is None:
        raise RunError("--resume expects the folder of the run to go on with; pass it with --out")
    stamp = f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
    folder = (config.out or Path("runs") / stamp).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _holds_run(folder, config.resume)  # before the lock, which leaves a file
        if not hold(folder / LOCK):
            raise RunError(
                f"another run is writing to {folder}; wait for its end, or choose another folder "
                "with --out"
            )
        begun = _holds_run(folder, config.resume)  # the other may have begun and ended since
        for names in ("*.json", "*.jsonl", "*.png", "*.safetensors"):
            sweep(folder, names)
    except OSError as error:
        raise RunError(
            f"cannot write to {folder}: {error.strerror}; choose another folder with --out"
        ) from error
    if config.resume and not begun:
        print(f"nothing to resume in {folder}; starting afresh", flush=True)
    return folder, begun


def _holds_run(folder: Path, resume: bool) -> bool:
    """Whether there is a run in the folder to go on with; refuses one that is not to be touched."""
    run = folder / "run.json"
    holds_run = run.exists() and run.stat().st_size > 0
    # what a kill leaves of a run that had hardly begun is its lock and the start of run.json
    others = [p for p in folder.iterdir() if p.name != LOCK and not p.name.startswith("run.json")]
    if resume and others and not holds_run:
        raise RunError(f"{folder} is not empty and holds no run; choose another with --out")
    if not resume and (holds_run or others):
        raise RunError(
            f"{folder} is not empty; choose a new folder with --out, or go on with --resume"
        )
    return holds_run


def begin(name: str, config: Any, dataset: Dataset, **more: Any) -> tuple[Path, bool]:
    """Open the folder, enter the run in its `run.json` or check that it is the same, and say so.

    Returns:
      The folder, and whether there is a run in it to go on with.
    """
    folder, begun = open_folder(name, config)
    about = {
        "experiment": name,
        "config": asdict(config),
        **more,
        "data": {"source": dataset.source, "checksums": dataset.checksums},
        "versions": {p: version(p) for p in ("jaxnets", "jax", "jaxlib", "optax", "numpy")},
        **machine(),
    }
    if begun:
        check_same_run(folder / "run.json", about)
    else:
        write_json(folder / "run.json", about)
    print(f"{name}: {dataset.name}, {dataset.source}; writing to {folder}", flush=True)
    return folder, begun


def machine() -> dict[str, Any]:
    """What a figure was found with."""
    return {
        "jax": jax.__version__,
        "python": platform.python_version(),
        "device": f"{jax.devices()[0].device_kind} ({jax.default_backend()})",
        "cores": os.cpu_count(),
    }


def write_json(path: Path, content: Any) -> None:
    """Write the file whole, or not at all; NaN is null."""
    with atomic_write(path) as file:
        file.write((json.dumps(to_json(content), indent=2, default=str) + "\n").encode())


def write_figure(path: Path, figure: Figure, *, dpi: int = 120) -> None:
    """Write the figure as PNG, whole or not at all."""
    image = BytesIO()
    figure.savefig(image, format="png", dpi=dpi)
    with atomic_write(path) as file:
        file.write(image.getbuffer())


def check_same_run(path: Path, about: dict[str, Any]) -> None:
    """Refuse to go on with a run of other options or data, each named; tell of other versions.

    Args:
      path: the `run.json` of the run.
      about: what it would hold if the run began now.
    """
    try:
        saved = json_files.read(path, cure=CURE)
        with damaged(path, CURE):
            then = _settings(saved)
    except JSONError as error:
        raise RunError(str(error)) from error
    now = _settings(decode(json.dumps(about, default=str)))
    if wrong := [name for name in {**then, **now} if then.get(name) != now.get(name)]:
        lines = "\n".join(
            f"  {printable(n)}: saved {printable(then.get(n))}, given {printable(now.get(n))}"
            for n in wrong
        )
        raise RunError(
            f"the run in {printable(path.parent)} was started with other options:\n{lines}\n"
            "Repeat them, or start afresh in another folder with --out."
        )
    if saved.get("versions") != about["versions"] or saved.get("device") != about["device"]:
        print(
            f"warning: {path} names other versions or another device, with which the last bits of "
            "the result may differ",
            file=sys.stderr,
        )


def cut(log: Path, step: int) -> None:
    """Leave out of a run's log what came after `step`, and a line that was not finished."""
    if not log.exists():
        return
    with open(log, "rb") as file:
        lines = file.readlines()
    with atomic_write(log) as file:
        file.writelines(takewhile(lambda line: _is_until(step, line), lines))


def _is_until(step: int, line: bytes) -> bool:
    """Whether a line of a log is whole and of no later step."""
    with suppress(ValueError, LookupError, TypeError):
        return line.endswith(b"\n") and decode(line)["step"] <= step
    return False


def _settings(run: dict[str, Any]) -> dict[str, Any]:
    """What must not differ: the experiment, its options, and the data's checksums."""
    options = {name: value for name, value in run["config"].items() if name not in MAY_CHANGE}
    return {"experiment": run["experiment"], **options, "data": run["data"]["checksums"]}


def save_learnt(folder: Path, train_state: TrainState) -> None:
    """Write params.safetensors, which holds all that evaluating needs."""
    learnt = {"params": train_state.params, "state": train_state.model_state}
    safetensors.save(folder / "params.safetensors", learnt)


def load_learnt(folder: Path) -> TrainState:
    """A train state to evaluate, from params.safetensors."""
    learnt = safetensors.load(folder / "params.safetensors")
    return TrainState((), learnt["params"], learnt.get("state", {}), (), ())
