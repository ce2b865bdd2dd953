"""The memory that is free, and the memory that a compiled program needs."""

from pathlib import Path

import jax

CGROUP = Path("/sys/fs/cgroup")


def needed_bytes(compiled: jax.stages.Compiled) -> int | None:
    """The peak memory of a program: arguments, results that are not aliased, temporaries."""
    analysis = compiled.memory_analysis()
    if analysis is None:
        return None
    results = analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    return analysis.argument_size_in_bytes + results + analysis.temp_size_in_bytes


def free_bytes() -> int | None:
    """The memory that this process's first device can still allocate; None if it is not known.

    On a CPU, that is the smaller of what the system has available and what is left of the
    container's limit.
    """
    stats = jax.local_devices()[0].memory_stats()
    if stats and "bytes_limit" in stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    limits = [limit for limit in (_system_bytes(), _cgroup_bytes()) if limit is not None]
    return min(limits, default=None)


def _system_bytes() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:  # not Linux
        return None
    return next((int(s.split()[1]) * 1024 for s in lines if s.startswith("MemAvailable")), None)


def _cgroup_bytes() -> int | None:
    """What is left of a container's limit; the inactive page cache counts as free."""
    try:
        limit = int((CGROUP / "memory.max").read_text())
        used = int((CGROUP / "memory.current").read_text())
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such group, or no limit
        return None
    return limit - used + int(stat.get("inactive_file", 0))
