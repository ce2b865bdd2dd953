"""`jaxnets info`: versions, devices and caches."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import jax
import tyro

from jaxnets.files import user_cache

PACKAGES = ("jaxnets", "jax", "jaxlib", "optax", "numpy", "flax", "safetensors")


@dataclass(frozen=True)
class Options:
    """Show the versions, the devices, and the folders that jaxnets keeps files in."""


def main(arguments: Sequence[str]) -> None:
    """Print a line per fact."""
    tyro.cli(Options, args=arguments, prog="jaxnets info")
    for name, value in facts().items():
        print(f"{name:<22} {value}")


def facts() -> dict[str, str]:
    """The facts by name."""
    devices = jax.devices()
    compiled = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    return {
        **{name: metadata.version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "system": platform.platform(),
        "devices": f"{len(devices)} x {devices[0].device_kind} ({jax.default_backend()})",
        "processor": processor(),
        "processor cores": str(os.cpu_count()),
        "cache": _size(Path(user_cache())),
        "compiled programs": _size(Path(compiled) if compiled else user_cache() / "xla"),
        "data folder": os.environ.get("JAXNETS_DATA_DIR", "not set (JAXNETS_DATA_DIR)"),
    }


def processor() -> str:
    """The processor, as the system names it, with the family and model that tell its generation."""
    cpuinfo = Path("/proc/cpuinfo")
    first = cpuinfo.read_text().partition("\n\n")[0] if cpuinfo.exists() else ""
    lines = [line.partition(":") for line in first.splitlines()]
    facts = {name.strip(): value.strip() for name, _, value in lines}
    name = facts.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in facts and "model" in facts:
        name += f" (family {facts['cpu family']}, model {facts['model']})"
    return name


def _size(folder: Path) -> str:
    """A folder, and the size of the files in it."""
    if not folder.is_dir():
        return f"{folder} (empty)"
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return f"{folder} ({len(sizes):,} files, {sum(sizes) / 1e6:,.1f} MB)"
