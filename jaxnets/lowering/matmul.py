"""Which library multiplies the matrices of a training program on CPU."""

from functools import cache
from typing import Any

import jax

# XLA leaves some matmuls to YNNPACK and the rest to Eigen (jaxlib 0.10 to 0.12); or all to Eigen.
EIGEN: dict[str, str | bool] = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"
}
COLUMNS = 128  # in a multiple of them, a matrix's rows share few sets of the cache


def compiler_options(params: Any) -> dict[str, str | bool]:
    """XLA's options for a program that trains these params: none but on CPU.

    Two libraries have threads of their own, which wait for each other within every step. By Eigen
    alone a step of small matmuls is faster: by a tenth with 784-500-300-10. But where a kernel's
    columns are a multiple of 128, Eigen takes up to twice as long for g @ kernel.T, the gradient of
    a dense layer's input, and XLA's choice stands (`experiments.bench.matmuls`).
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
