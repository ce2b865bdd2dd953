"""How a convolution or a pool runs on each backend: one file a way, one table that chooses."""

from jaxnets.lowering.padding import explicit_padding
from jaxnets.lowering.plain import plain_avg_pool, plain_conv, plain_max_pool
from jaxnets.lowering.table import avg_pool, conv, max_pool

__all__ = [
    "avg_pool",
    "conv",
    "explicit_padding",
    "max_pool",
    "plain_avg_pool",
    "plain_conv",
    "plain_max_pool",
]
