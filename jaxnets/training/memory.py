"""How much memory there is, and how much a compiled program takes."""

from pathlib import Path

import jax

CGROUP = Path("/sys/fs/cgroup")


def needed_bytes(compiled: jax.stages.Compiled) -> int | None:
    """What a program holds at most: arguments, results that are not in their place, temporaries."""
    found = compiled.memory_analysis()
    if found is None:
        return None
    results = found.output_size_in_bytes - found.alias_size_in_bytes
    return found.argument_size_in_bytes + results + found.temp_size_in_bytes


def free_bytes() -> int | None:
    """What the default device can still allocate; None where the system does not tell."""
    stats = jax.devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    known = [number for number in (_available_to_system(), _left_to_group()) if number is not None]
    return min(known, default=None)


def _available_to_system() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # no Linux
        return None
    return next((int(s.split()[1]) * 1024 for s in lines if s.startswith("MemAvailable")), None)


def _left_to_group() -> int | None:
    """What a container's limit leaves; pages that only cache files count as free."""
    try:
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such group, or no limit
        return None
    return limit - used + int(stat.get("inactive_file", 0))
