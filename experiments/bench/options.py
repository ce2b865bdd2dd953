"""The options of the benchmark, and their checks."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from experiments.bench.cases import CASES
from experiments.bench.process import Contender
from experiments.bench.rounds import PREPARE_SECONDS
from experiments.bench.task import Task
from experiments.configs import Flag
from jaxnets.locks import hold
from jaxnets.training import RunError

PEERS = ("torch", "torch_compile", "keras", "linen", "nnx", "equinox", "stax", "stax_scan")
DTYPES = ("float32", "bfloat16")


@dataclass(frozen=True)
class Config:
    """The measurements; lists are separated by commas."""

    cases: str = "mlp,cnn_bn,cnn_5x5"
    """Networks: mlp, cnn_bn, cnn_5x5, population on MNIST; alexnet, vgg16, resnet18, resnet50 on
    noise."""
    peers: str = ",".join(PEERS)
    """Peers to compare with jaxnets; may be empty."""
    batch_sizes: str = ""
    """Examples per step; by default 128, and 8 for images of 224 pixels on a CPU."""
    dtypes: str = "float32"
    """float32, or bfloat16 for mixed precision."""
    devices: str = "1"
    """Numbers of devices over which jaxnets shards a batch (virtual on a CPU); peers use one."""
    population: str = "64"
    """Numbers of members for the case population, trained on the same batches in one program."""
    quick: Flag = False
    """A first result in about a minute: sets --cases mlp --peers torch --repeats 1
    --prepare-seconds 60."""
    prepare_seconds: float = PREPARE_SECONDS
    """A contender that takes longer than this many seconds to compile, or for its first epoch, is
    left out."""
    side_by_side: int | None = None
    """Compile this many contenders at once, with one process each for all rounds; for GPUs."""
    steps: int | None = None
    """Steps per round; by default as many as take about a second."""
    repeats: int = 5
    """Rounds, each of one fresh process per contender."""
    time_to_accuracy: float | None = None
    """Instead, measure the time to this test accuracy, including compilation, over --seeds."""
    seeds: int = 5
    """Number of seeds for --time-to-accuracy."""
    processes: Flag = False
    """Instead, time whole processes of one epoch, jaxnets with a cold and with a warm cache."""
    profile: Path | None = None
    """A folder for jax.profiler traces of one round of jaxnets."""
    data_dir: Path | None = None
    """A folder with MNIST's four IDX files, raw or .gz, instead of those in the package."""
    out: Path | None = None
    """A new file of JSON lines to write, if any; the table is printed in any case."""


def quick(config: Config) -> Config:
    """The options with what `--quick` sets, if it is set."""
    if not config.quick:
        return config
    return replace(config, cases="mlp", peers="torch", repeats=1, prepare_seconds=60.0)


def check(config: Config) -> tuple[list[Task], list[Contender]]:
    """The tasks and the contenders, after checks; a batch size of 0 means the default."""
    cases = names("--cases", config.cases, tuple(CASES))
    dtypes = names("--dtypes", config.dtypes, DTYPES)
    peers = names("--peers", config.peers, PEERS) if config.peers else []
    batch_sizes = numbers("--batch-sizes", config.batch_sizes) if config.batch_sizes else [0]
    devices = numbers("--devices", config.devices)
    members = numbers("--population", config.population)
    for name in ("repeats", "seeds", "steps", "side_by_side"):
        if (value := getattr(config, name)) is not None and value < 1:
            option = name.replace("_", "-")
            raise RunError(f"--{option} expects a number of 1 or more, but got {value}")
    if not config.prepare_seconds > 0:
        raise RunError(
            f"--prepare-seconds expects a number above 0, but got {config.prepare_seconds}"
        )
    check_accuracy(config, [case for case in cases if not CASES[case].learns])
    if config.data_dir is not None and not config.data_dir.is_dir():
        raise RunError(
            f"--data-dir expects a folder, but got {config.data_dir}; create it, or pass another"
        )
    check_out(config.out)
    folder = config.data_dir and str(config.data_dir.resolve())
    tasks = [
        Task(case, size, dtype, members=n, data_dir=folder)
        for case in cases
        for n in (members if case == "population" else [1])
        for size in batch_sizes
        for dtype in dtypes
    ]
    contenders = [*(Contender("ours", n) for n in devices), *map(Contender, peers)]
    return tasks, contenders


def check_accuracy(config: Config, noise: Sequence[str]) -> None:
    """Refuse a target that cannot be reached, or networks that are trained on noise."""
    target = config.time_to_accuracy
    if config.processes and target is not None:
        raise RunError("--processes and --time-to-accuracy exclude each other; choose one")
    if config.side_by_side and (config.processes or target is not None or config.profile):
        raise RunError(
            "--side-by-side excludes --processes, --time-to-accuracy and --profile; leave one out"
        )
    if target is not None and not 0 < target < 1:
        raise RunError(f"--time-to-accuracy expects a share such as 0.99, but got {target}")
    if noise and (target is not None or config.processes):
        raise RunError(
            f"{noise[0]} is trained on noise and learns nothing; pass --cases "
            f"{','.join(case for case in CASES if CASES[case].learns)}"
        )


def check_out(out: Path | None) -> None:
    """Lock the file, which must be new: earlier measurements are never overwritten."""
    if out is None:
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        if not hold(out):
            raise RunError(f"another process is writing to {out}; choose a new file with --out")
        if out.stat().st_size:
            raise RunError(f"{out} is not empty; choose a new file with --out")
    except OSError as error:
        raise RunError(
            f"cannot write to {out}: {error.strerror}; choose another file with --out"
        ) from error


def names(option: str, text: str, allowed: Sequence[str]) -> list[str]:
    """The names in the list, each checked."""
    chosen = text.split(",")
    for name in chosen:
        if name not in allowed:
            close = difflib.get_close_matches(name, allowed, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            raise RunError(
                f"{option} expects names from {', '.join(allowed)}, but got {name!r}{hint}"
            )
    return chosen


def numbers(option: str, text: str) -> list[int]:
    """The numbers in the list, each at least 1."""
    items = text.split(",")
    for number in items:
        if not number.isdecimal() or int(number) < 1:
            raise RunError(
                f"{option} expects positive integers separated by commas, as in 1,8,128, but "
                f"got {number!r}"
            )
    return [int(number) for number in items]
