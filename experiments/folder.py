"""The folder that a run writes to: a new one, or that of a resumed run."""

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
from matplotlib import rcParams
from matplotlib.figure import Figure

from jaxnets import json_files
from jaxnets.data import Dataset
from jaxnets.errors import JSONError
from jaxnets.files import atomic_write, remove_stale
from jaxnets.interop import safetensors
from jaxnets.json_files import as_json_errors, decode
from jaxnets.locks import hold
from jaxnets.messages import printable
from jaxnets.plot_style import style
from jaxnets.training import RunError, TrainState
from jaxnets.training.report import write_json

rcParams.update(style())  # of every figure that an experiment writes
LOCK = "run.lock"
CURE = "start again in another folder"
# Options that may differ when a run is resumed; older runs have "results".
MAY_CHANGE = ("epochs", "out", "resume", "results", "workers", "distributed", "stall_seconds")


def open_folder(name: str, config: Any) -> tuple[Path, bool]:
    """The folder of a run, and whether there is a run in it to resume.

    Without `config.resume` it is new or empty: the files of an earlier run are never overwritten.
    It is locked until this process ends, so that no other process writes to it.

    Raises:
      RunError: it cannot be written to, holds something else, or is locked by another process.
    """
    if config.resume and config.out is None:
        raise RunError("--resume expects the folder of the run to resume; pass it with --out")
    folder = (config.out or new_folder(name)).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _holds_run(folder, config.resume)  # before the lock, which leaves a file
        if not hold(folder / LOCK):
            raise RunError(
                f"another run is writing to {folder}; wait until it ends, or choose another folder "
                "with --out"
            )
        has_run = _holds_run(
            folder, config.resume
        )  # another run may have started and ended in the meantime
        for names in ("*.json", "*.jsonl", "*.png", "*.safetensors", "*.html", "*.jaxnets"):
            remove_stale(folder, names)
    except OSError as error:
        raise RunError(
            f"cannot write to {folder}: {error.strerror}; choose another folder with --out"
        ) from error
    if config.resume and not has_run:
        print(f"nothing to resume in {folder}; starting a new run", flush=True)
    return folder, has_run


def new_folder(name: str) -> Path:
    """The default folder of a run, which no other run has."""
    return Path("runs") / f"{name}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"


def _holds_run(folder: Path, resume: bool) -> bool:
    """Whether there is a run in the folder to resume; raises `RunError` if it is not usable."""
    run = folder / "run.json"
    holds_run = run.exists() and run.stat().st_size > 0
    # a run that is killed at its start leaves its lock and a part of run.json
    others = [p for p in folder.iterdir() if p.name != LOCK and not p.name.startswith("run.json")]
    if resume and others and not holds_run:
        raise RunError(f"{folder} is not empty and holds no run; choose another with --out")
    if not resume and (holds_run or others):
        raise RunError(
            f"{folder} is not empty; choose a new folder with --out, or continue with --resume"
        )
    return holds_run


def begin(name: str, config: Any, dataset: Dataset, **more: Any) -> tuple[Path, bool]:
    """Open the folder, and write `run.json`, or check that it describes the same run.

    Returns:
      The folder, and whether there is a run in it to resume.
    """
    folder, has_run = open_folder(name, config)
    description = {
        "experiment": name,
        "title": title(config),
        "config": asdict(config),
        **more,
        "data": {"source": dataset.source, "checksums": dataset.checksums},
        "versions": {p: version(p) for p in ("jaxnets", "jax", "jaxlib", "optax", "numpy")},
        **machine(),
    }
    if has_run:
        check_same_run(folder / "run.json", description)
    else:
        write_json(folder / "run.json", description)
    print(f"{name}: {dataset.name}, {dataset.source}; writing to {folder}", flush=True)
    return folder, has_run


def title(config: Any) -> str:
    """What an experiment is, in words: the first line of its options' docstring."""
    return (type(config).__doc__ or "").partition("\n")[0].rstrip(".")


def machine() -> dict[str, Any]:
    """The versions and the device of a measurement."""
    return {
        "jax": jax.__version__,
        "python": platform.python_version(),
        "device": f"{jax.devices()[0].device_kind} ({jax.default_backend()})",
        "cores": os.cpu_count(),
    }


def write_figure(path: Path, figure: Figure, *, dpi: int = 120) -> None:
    """Write the figure as PNG, atomically; long titles are wrapped at its edges."""
    for title in (*figure.texts, *(axes.title for axes in figure.axes)):
        title.set_wrap(True)
    image = BytesIO()
    figure.savefig(image, format="png", dpi=dpi)
    with atomic_write(path) as file:
        file.write(image.getbuffer())


def check_same_run(path: Path, description: dict[str, Any]) -> None:
    """Refuse to resume a run with other options or data, and list them; warn of other versions.

    Args:
      path: the `run.json` of the run.
      description: the content that it would have if the run started now.
    """
    try:
        saved = json_files.read(path, cure=CURE)
        with as_json_errors(path, CURE):
            before = _settings(saved)
    except JSONError as error:
        raise RunError(str(error)) from error
    now = _settings(decode(json.dumps(description, default=str)))
    if wrong := [name for name in {**before, **now} if before.get(name) != now.get(name)]:
        lines = "\n".join(
            f"  {printable(n)}: saved {printable(before.get(n))}, given {printable(now.get(n))}"
            for n in wrong
        )
        raise RunError(
            f"the run in {printable(path.parent)} was started with other options:\n{lines}\n"
            "Repeat them, or start again in another folder with --out."
        )
    if (
        saved.get("versions") != description["versions"]
        or saved.get("device") != description["device"]
    ):
        print(
            f"warning: {path} names other versions or another device, so the result may not be "
            "bit-identical",
            file=sys.stderr,
        )


def cut(log: Path, step: int) -> None:
    """Remove from a run's log the lines after `step`, and an incomplete last line."""
    if not log.exists():
        return
    with open(log, "rb") as file:
        lines = file.readlines()
    with atomic_write(log) as file:
        file.writelines(takewhile(lambda line: _is_until(step, line), lines))


def _is_until(step: int, line: bytes) -> bool:
    """Whether a line of a log is complete and its step is at most `step`."""
    with suppress(ValueError, LookupError, TypeError):
        return line.endswith(b"\n") and decode(line)["step"] <= step
    return False


def _settings(run: dict[str, Any]) -> dict[str, Any]:
    """The settings that must not differ: the experiment, its options, the data's checksums."""
    options = {name: value for name, value in run["config"].items() if name not in MAY_CHANGE}
    return {"experiment": run["experiment"], **options, "data": run["data"]["checksums"]}


def save_params(folder: Path, train_state: TrainState) -> None:
    """Write params.safetensors, with everything that evaluation needs."""
    arrays = {"params": train_state.params, "state": train_state.model_state}
    safetensors.save(folder / "params.safetensors", arrays)


def load_params(folder: Path) -> TrainState:
    """A train state to evaluate, from params.safetensors."""
    arrays = safetensors.load(folder / "params.safetensors")
    return TrainState((), arrays["params"], arrays.get("state", {}), (), ())
