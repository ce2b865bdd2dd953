"""Reads a run's folder: the digest of its results, its saved step, and its reports.

A run of several processes has a folder per checkpoint, and any other a file.
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

import numpy as np

from jaxnets.json_files import decode, read_lines
from jaxnets.training import FileStore, ShardedStore
from jaxnets.training.checkpoint.sharded import MANIFEST

TIMES = {"seconds", "samples_per_second"}  # the fields of a report in which two equal runs differ


def digest(folder: Path) -> str:
    """The SHA-256 of a run's parameters, train state, and history without times."""
    checkpoints = _checkpoints(folder)
    is_sharded = any(checkpoints.glob(f"*/{MANIFEST}"))
    store = ShardedStore(checkpoints) if is_sharded else FileStore(checkpoints)
    content = store.read(max(store.steps()))
    arrays = store.arrays(content, dict.fromkeys(content.leaves))
    total = hashlib.sha256((folder / "params.safetensors").read_bytes())
    for name, leaf in sorted(arrays.items()):
        if name.startswith("train_state/"):
            total.update(f"{name} {leaf.dtype} {leaf.shape}".encode() + np.asarray(leaf).tobytes())
    history = [
        {name: value for name, value in report.items() if name not in TIMES}
        for report in content.metadata["history"]
    ]
    total.update(json.dumps(history).encode())
    return total.hexdigest()


def saved_step(folder: Path) -> int:
    """The last saved step; 0 if there is none."""
    checkpoints = _checkpoints(folder)
    files = [path.stem.removeprefix("step-") for path in checkpoints.glob("step-*.safetensors")]
    folders = [path.parent.name for path in checkpoints.glob(f"[0-9]*/{MANIFEST}")]
    return max(map(int, files + folders), default=0)


def temporary_files(folder: Path) -> set[str]:
    """The temporary files and folders of checkpoints."""
    checkpoints = _checkpoints(folder)
    patterns = ("*.tmp", "*.orbax-checkpoint-tmp*")
    return {path.name for pattern in patterns for path in checkpoints.glob(pattern)}


def reports(folder: Path) -> list[str]:
    """The lines of a run's log."""
    log = folder / "metrics.jsonl"
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def lists_each_step_once(folder: Path) -> bool:
    """Whether the log of a run has each step once and in order."""
    lines = read_lines(folder / "metrics.jsonl", cure="resuming should have repaired it")
    steps = [report["step"] for _, report in lines]
    return steps == sorted(set(steps))


def is_trained(folder: Path) -> bool:
    """Whether the run has reported all of its steps."""
    with suppress(ValueError, LookupError):  # an incomplete line, or none
        report = decode(reports(folder)[-1])
        return report["step"] == report["steps"]
    return False


def _checkpoints(folder: Path) -> Path:
    return folder / "checkpoints" / "training"
