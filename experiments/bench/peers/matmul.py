"""The machine's matmul limit, taking turns with the peers: repeated large matmuls."""

import jax
import jax.numpy as jnp

from experiments.bench.task import Task

NEEDS = ("jax", "jaxlib")


def rows(platform: str) -> int:
    """The number of rows of the square matrices, which saturates the device."""
    return 2048 if platform == "cpu" else 8192


def flops_per_product(platform: str) -> int:
    """FLOPs of a product; a multiply-add counts as 2."""
    return 2 * rows(platform) ** 3


class Matmul:
    """A `Trainer` whose step is a matmul."""

    def __init__(self, task: Task):
        shape = (rows(jax.default_backend()),) * 2
        self.left, self.right = (
            jax.random.normal(key, shape, task.dtype) for key in jax.random.split(jax.random.key(0))
        )
        self.product = jax.jit(jnp.matmul)

    def prepare(self) -> dict[str, float]:
        """Compile."""
        self.steps(1)
        return {"trace": 0.0, "compile": 0.0}

    def steps(self, n: int) -> float:
        """Compute n products."""
        for _ in range(n):
            product = self.product(self.left, self.right)
        jax.block_until_ready(product)
        return 0.0

    def accuracy(self) -> float:
        """Not supported."""
        raise NotImplementedError("a matmul has no accuracy")

    def epoch(self) -> None:
        """Not supported."""
        raise NotImplementedError("a matmul has no epoch")


def make(task: Task) -> Matmul:
    """Matrices of the task's dtype."""
    return Matmul(task)
