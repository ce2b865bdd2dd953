"""Implementations of convolution, pooling, recurrence and matmul for each backend.

One file per implementation; `dispatch` has the table that chooses one for a convolution.
"""

from jaxnets.lowering.convolution import conv, conv_transpose
from jaxnets.lowering.layout import in_hwnc
from jaxnets.lowering.matmul import compiler_options
from jaxnets.lowering.padding import ceil_padding, dilated, explicit_padding
from jaxnets.lowering.plain import (
    plain_avg_pool,
    plain_conv,
    plain_conv_transpose,
    plain_max_pool,
    plain_sum_pool,
)
from jaxnets.lowering.plain_context import plain_operations
from jaxnets.lowering.plain_recurrent import plain_gru, plain_lstm, plain_simple_rnn
from jaxnets.lowering.pooling import avg_pool, max_pool, sum_pool
from jaxnets.lowering.recurrent import gru, lstm
from jaxnets.lowering.taps import taps

__all__ = [
    "avg_pool",
    "ceil_padding",
    "compiler_options",
    "conv",
    "conv_transpose",
    "dilated",
    "explicit_padding",
    "gru",
    "in_hwnc",
    "lstm",
    "max_pool",
    "plain_avg_pool",
    "plain_conv",
    "plain_conv_transpose",
    "plain_gru",
    "plain_lstm",
    "plain_max_pool",
    "plain_operations",
    "plain_simple_rnn",
    "plain_sum_pool",
    "sum_pool",
    "taps",
]
