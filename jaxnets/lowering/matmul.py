"""Matmuls of inputs with any number of axes, and the library that computes them on CPU."""

import math
from functools import cache
from typing import Any

import jax
import numpy as np

from jaxnets.layer import Array
from jaxnets.lowering.plain_context import needs_plain

# By default XLA uses YNNPACK for some matmuls and Eigen for the others (jaxlib 0.10 to 0.12); with
# this option, Eigen for all.
EIGEN: dict[str, str | bool] = {
    "xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_REDUCE"
}
COLUMNS = 128  # kernels with a multiple of 128 columns are slow in Eigen


def rows_matmul(x: Array | np.ndarray, kernel: Array | np.ndarray) -> Any:
    """The product x @ kernel, from (..., inputs) to (..., features), as one product of matrices.

    With more leading axes, the kernel's gradient would contract several axes at once, which made a
    step of an MLP on (16, 128, 128) take 1.45 times the CPU time (jaxlib 0.10.2).
    """
    if x.ndim <= 2 or needs_plain(x):
        return x @ kernel
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return (rows @ kernel).reshape(*x.shape[:-1], kernel.shape[-1])


def compiler_options(params: Any) -> dict[str, str | bool]:
    """XLA compiler options for a program that trains these params: on CPU, `EIGEN` or none.

    The two libraries have separate thread pools, which wait for each other in every step. With
    Eigen only, small matmuls are faster: 784-500-300-10 trains 1.09 times as fast. With a multiple
    of 128 columns, a kernel is usually slower, down to 0.86 times as fast, so XLA's default is used
    then (`experiments.timings.matmuls`), and where XLA lacks the option.
    """
    shapes = [leaf.shape for leaf in jax.tree.leaves(params)]
    aligned = any(shape and shape[-1] % COLUMNS == 0 for shape in shapes)
    use_default = aligned or jax.default_backend() != "cpu" or not _is_supported()
    return {} if use_default else EIGEN


@cache
def _is_supported() -> bool:
    """Whether this version of XLA has the option, which is experimental."""
    try:
        jax.jit(lambda: 0, compiler_options=EIGEN).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
