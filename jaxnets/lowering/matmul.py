"""Which library multiplies the matrices of a training program on CPU."""

from functools import cache
from typing import Any

import jax

# XLA leaves some matmuls to YNNPACK and the rest to Eigen (jaxlib 0.10 to 0.12); or all to Eigen.
EIGEN: dict[str, str | bool] = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"
}
COLUMNS = 128  # a kernel with a multiple of them is slow in Eigen


def compiler_options(params: Any) -> dict[str, str | bool]:
    """XLA's options for a program that trains these params: none but on CPU.

    Two libraries have threads of their own, which wait for each other within every step. By Eigen
    alone a step of small matmuls is faster: 1.09 times with 784-500-300-10. But where kernels have
    a multiple of 128 columns it is as a rule slower, down to 0.86 times, and XLA's choice stands
    (`experiments.bench.matmuls`).
    """
    shapes = [leaf.shape for leaf in jax.tree.leaves(params)]
    aligned = any(shape and shape[-1] % COLUMNS == 0 for shape in shapes)
    chooses = aligned or jax.default_backend() != "cpu" or not _is_known()
    return {} if chooses else EIGEN


@cache
def _is_known() -> bool:
    """Whether this XLA has the option: it is an experimental one."""
    try:
        jax.jit(lambda: 0, compiler_options=EIGEN).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
