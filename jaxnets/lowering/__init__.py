"""How convolutions, pools and matmuls run on each backend: a file a way, a table that chooses."""

from jaxnets.lowering.layout import batch_inside
from jaxnets.lowering.matmul import compiler_options
from jaxnets.lowering.padding import explicit_padding
from jaxnets.lowering.plain import (
    plain_avg_pool,
    plain_conv,
    plain_conv_transpose,
    plain_max_pool,
    plain_sum_pool,
)
from jaxnets.lowering.table import avg_pool, conv, conv_transpose, max_pool, sum_pool
from jaxnets.lowering.taps import taps

__all__ = [
    "avg_pool",
    "batch_inside",
    "compiler_options",
    "conv",
    "conv_transpose",
    "explicit_padding",
    "max_pool",
    "plain_avg_pool",
    "plain_conv",
    "plain_conv_transpose",
    "plain_max_pool",
    "plain_sum_pool",
    "sum_pool",
    "taps",
]
