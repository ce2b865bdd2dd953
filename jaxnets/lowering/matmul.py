"""Matmuls: of rows in any number of axes, and which library a training program uses on CPU."""

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

    With more than one leading axis, the kernel's gradient would contract several axes at once; with
    that, a step of an MLP on (16, 128, 128) took 1.45 times the CPU time (jaxlib 0.10.2).
    """
    if x.ndim <= 2 or needs_plain(x):
        return x @ kernel
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    return (rows @ kernel).reshape(*x.shape[:-1], kernel.shape[-1])


def compiler_options(params: Any) -> dict[str, str | bool]:
    """XLA compiler options for a program that trains these params; empty unless on CPU.

    The two libraries have separate thread pools, which wait for each other in every step. With
    Eigen only, a step of small matmuls is faster: 1.09 times with 784-500-300-10. But if kernels
    have a multiple of 128 columns it is usually slower, down to 0.86 times, so XLA's default is
    used (`experiments.timings.matmuls`).
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
