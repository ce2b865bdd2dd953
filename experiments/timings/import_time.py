"""The time of `import jaxnets`, compared with `import jax, optax`, each in a fresh process.

python -m experiments.timings.import_time
python -m experiments.timings.import_time --out experiments/results/import_time.json
"""

import subprocess
import sys
from dataclasses import dataclass
from functools import partial

import numpy as np

from experiments import command_line
from experiments.timings import turns
from experiments.timings.turns import in_turn, quartiles, seconds

OURS, THEIRS = "import jaxnets", "import jax, optax"


@dataclass(frozen=True)
class Config(turns.Config):
    """The time of `import jaxnets`, compared with `import jax, optax`."""

    repeats: int = 15
    """Pairs of processes, one of each, alternately."""


def run(code: str) -> None:
    """Run `code` in a fresh Python process."""
    # In a new session, so that Ctrl-C leaves no traceback of the child.
    subprocess.run([sys.executable, "-c", code], check=True, start_new_session=True)


def main(config: Config) -> None:
    """Time both, and write quartiles of the seconds and of the ratio."""
    measurements = {code: partial(seconds, partial(run, code)) for code in (THEIRS, OURS)}
    times = in_turn(measurements, config.repeats)
    ratio = quartiles(np.divide(times[OURS], times[THEIRS]))
    result = {
        "repeats": config.repeats,
        "seconds": {code: quartiles(values) for code, values in times.items()},
        "ratio": ratio,
    }
    turns.write("import_time", config.out, result)
    low, median, high = ratio
    print(f"{OURS} / {THEIRS}: {median:.3f} (quartiles {low:.3f} to {high:.3f})")


if __name__ == "__main__":
    command_line.main(main, Config, keep_compiled=False)
