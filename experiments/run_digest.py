"""Reads a run's folder: the digest of its results, its saved step, and its reports."""

import hashlib
import json
from contextlib import suppress
from pathlib import Path

from jaxnets.json_files import decode
from jaxnets.training.checkpoint import file

TIMES = {"seconds", "samples_per_second"}  # the fields of a report in which two equal runs differ


def digest(folder: Path) -> str:
    """The SHA-256 of a run's parameters, train state, and history without times."""
    content = file.read(max(_checkpoints(folder).glob("step-*.safetensors")))
    total = hashlib.sha256((folder / "params.safetensors").read_bytes())
    for name, leaf in sorted(content.arrays.items()):
        if name.startswith("train_state/"):
            total.update(f"{name} {leaf.dtype} {leaf.shape}".encode() + leaf.tobytes())
    history = [
        {name: value for name, value in report.items() if name not in TIMES}
        for report in content.metadata["history"]
    ]
    total.update(json.dumps(history).encode())
    return total.hexdigest()


def saved_step(folder: Path) -> int:
    """The last saved step; 0 if there is none."""
    names = [path.name for path in _checkpoints(folder).glob("step-*.safetensors")]
    return max((int(name[len("step-") : -len(".safetensors")]) for name in names), default=0)


def temporary_files(folder: Path) -> set[str]:
    """The temporary files of checkpoints."""
    return {path.name for path in _checkpoints(folder).glob("*.tmp")}


def reports(folder: Path) -> list[str]:
    """The lines of a run's log."""
    log = folder / "metrics.jsonl"
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def is_trained(folder: Path) -> bool:
    """Whether the run has reported all of its steps."""
    with suppress(ValueError, LookupError):  # an incomplete line, or none
        report = decode(reports(folder)[-1])
        return report["step"] == report["steps"]
    return False


def _checkpoints(folder: Path) -> Path:
    return folder / "checkpoints" / "training"
