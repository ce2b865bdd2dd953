"""How long `import jaxnets` takes beside `import jax, optax`, each in a fresh process.

python -m experiments.bench.import_time
"""

import platform
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np

from experiments import common
from experiments.folder import write_json


@dataclass(frozen=True)
class Config:
    """How long `import jaxnets` takes beside `import jax, optax`."""

    repeats: int = 15
    """Pairs of processes, one of each, in turn."""
    out: Path = Path("experiments/results/import_time.json")
    """The JSON file to write."""


def seconds(code: str) -> float:
    """The wall time of a Python process that runs `code`."""
    began = time.perf_counter()
    # In a session of its own, so that Ctrl-C leaves no traceback of the child.
    subprocess.run([sys.executable, "-c", code], check=True, start_new_session=True)
    return time.perf_counter() - began


def main(config: Config) -> None:
    """Time both, A/B/A/B, and write medians and quartiles of the seconds and of the ratio."""
    codes = {"import jax, optax": [], "import jaxnets": []}
    for code in codes:
        seconds(code)  # once unmeasured, to fill the disk cache
    for _ in range(config.repeats):
        for code, times in codes.items():
            times.append(seconds(code))
    theirs, ours = map(np.array, codes.values())
    result = {
        "repeats": config.repeats,
        "seconds": {code: quartiles(np.array(times)) for code, times in codes.items()},
        "ratio": quartiles(ours / theirs),
        "python": platform.python_version(),
        "jax": jax.__version__,
    }
    config.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(config.out, result)
    low, middle, high = result["ratio"]
    print(f"import jaxnets / import jax, optax: {middle:.3f} (quartiles {low:.3f} to {high:.3f})")


def quartiles(values: np.ndarray) -> list[float]:
    """The lower quartile, the median and the upper quartile."""
    return [round(float(q), 4) for q in np.quantile(values, (0.25, 0.5, 0.75))]


if __name__ == "__main__":
    common.main(main, Config, keep_compiled=False)
