"""Child processes that print records as lines of JSON."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from experiments.distributed import LAUNCHED
from experiments.launch import free_port
from jaxnets.json_files import decode

# Like tests/conftest.py: compiling takes most of the time, and running next to none.
QUICK = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"


def lines(
    commands: Sequence[Sequence[str]], devices: int = 1, **environment: str
) -> list[dict[str, Any]]:
    """The JSON lines that concurrent processes print; the processes can form a cluster."""
    flags = f"--xla_force_host_platform_device_count={devices} {QUICK}"
    address, running = f"localhost:{free_port()}", []
    for number, command in enumerate(commands):
        cluster = dict(zip(LAUNCHED, (address, str(len(commands)), str(number)), strict=True))
        extra = {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, **cluster, **environment}
        words = [sys.executable, "-m", *command]
        running.append(
            subprocess.Popen(words, env=os.environ | extra, stdout=subprocess.PIPE, text=True)
        )
    try:
        printed = [process.communicate()[0] for process in running]
    finally:
        for process in running:
            process.kill()
    if any(process.returncode for process in running):
        print(f"error: {' '.join(commands[0])} failed", file=sys.stderr)
        sys.exit(2)
    records = [decode(line) for out in printed for line in out.splitlines() if line[:1] == "{"]
    for record in records:
        print(json.dumps(record), flush=True)
    return records
