"""Functions that collapse the time axis of an array or a padded batch."""

from typing import Any

import jax.numpy as jnp

from jaxnets.dtypes import as_array, as_float, wide_dtype
from jaxnets.layer import Array
from jaxnets.layers.checks import plain
from jaxnets.padded import expect_steps, over_steps, unpad, without_padding


@plain
def last_step(x: Any) -> Array:
    """Each row's last valid step: (batch, time, ...) to (batch, ...); 0 for an empty row.

    The backward half of a `bidirectional` layer has seen only that one step there. Join the final
    states instead: `bidirectional(serial(("rnn", lstm(64)), last_step))`.

    Raises:
      LayerError: an input without time steps.
    """
    expect_steps("last_step", x)
    values, lengths = unpad(x)
    values = as_array(values)
    if lengths is None:
        return values[:, -1]
    last = jnp.clip(jnp.asarray(lengths) - 1, 0, values.shape[1] - 1)
    steps = jnp.take_along_axis(values, over_steps(last, values), axis=1)[:, 0]
    return jnp.where(over_steps(jnp.asarray(lengths) > 0, steps), steps, 0).astype(values.dtype)


@plain
def mean_over_time(x: Any) -> Array:
    """The mean over each row's valid steps: (batch, time, ...) to (batch, ...); 0 without any.

    Raises:
      LayerError: an input without time steps.
    """
    expect_steps("mean_over_time", x)
    values, lengths = unpad(x)
    values = as_float(values)
    wide = values.astype(wide_dtype(values.dtype))
    if lengths is None:
        return wide.mean(1).astype(values.dtype)
    total = without_padding(x._replace(values=wide)).sum(1)
    count = jnp.maximum(x.mask.sum(1), 1).astype(wide.dtype)
    return (total / over_steps(count, total)).astype(values.dtype)


@plain
def max_over_time(x: Any) -> Array:
    """The largest of each row's valid steps: (batch, time, ...) to (batch, ...); 0 without any.

    Raises:
      LayerError: an input without time steps.
    """
    expect_steps("max_over_time", x)
    values, lengths = unpad(x)
    values = as_array(values)
    if lengths is None:
        return values.max(1)
    largest = without_padding(x._replace(values=values), lowest(values.dtype)).max(1)
    return jnp.where(over_steps(x.mask.any(1), largest), largest, 0).astype(values.dtype)


def lowest(dtype: Any) -> Any:
    """The smallest value of this dtype, -inf for floats: the identity of a maximum."""
    if jnp.issubdtype(dtype, jnp.bool_):
        return False
    return -jnp.inf if jnp.issubdtype(dtype, jnp.inexact) else jnp.iinfo(dtype).min
