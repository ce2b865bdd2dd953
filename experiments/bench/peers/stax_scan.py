"""stax and optax, with 20 steps in one compiled `lax.scan`: the same network and the same step.

If 20 does not divide the number of steps, the remaining steps run one by one.
"""

from itertools import islice

import jax
import jax.numpy as jnp
import numpy as np

from experiments.bench.peers.stax import network
from experiments.bench.peers.stepping import Array, Carry, Stepper, members
from experiments.bench.task import Task

NEEDS = ("jax",)

SCANNED = 20  # steps per program


def make(task: Task) -> "Scanner":
    """A trainer of the network of the task's case."""
    return Scanner(task, members(task, network))


class Scanner(Stepper):
    """A `Trainer` whose steps run in a scan, without Python between them."""

    def scan(self, carry: Carry, rows: Array, x: Array, y: Array) -> tuple[Carry, Array]:
        """A step on each batch of rows (SCANNED, batch_size), and the last loss."""

        def step(carry: Carry, rows: Array) -> tuple[Carry, Array]:
            return self.step(carry, rows, x, y)

        carry, losses = jax.lax.scan(step, carry, rows)
        return carry, losses[-1]

    def prepare(self) -> dict[str, float]:
        """Compile the scan and the step; return the total seconds."""
        self.scanned = jax.jit(self.scan, donate_argnums=0)
        scan = self.compile(self.scanned, (SCANNED, self.batch_size))
        step = super().prepare()
        return {name: scan[name] + step[name] for name in step}

    def steps(self, n: int) -> float:
        """Train n steps; return the loss of the last one."""
        scans, rest = divmod(n, SCANNED)
        loss = jnp.nan
        for _ in range(scans):
            rows = np.stack(list(islice(self.batches, SCANNED)))
            self.carry, loss = self.scanned(self.carry, rows, *self.train)
        if rest:
            return super().steps(rest)
        jax.block_until_ready(self.carry)
        return float(loss)
