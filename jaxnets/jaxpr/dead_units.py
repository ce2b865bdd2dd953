"""Rectified units that no example of a batch switches on, and that no gradient reaches."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxnets.jaxpr.activations import numbered
from jaxnets.jaxpr.walk import Operation, Walk, compute
from jaxnets.layer import Array, Layer, Params, State


def dead_units(layer: Layer, params: Params, state: State, x: Any) -> dict[str, Array]:
    """The share of units that are 0 for the whole batch, after each ReLU, in evaluation.

    A ReLU goes by the path of the last named layer before it; units are its last axis, so that of
    a feature map one unit is one channel. What a unit misses in one batch it may meet in another:
    use a few hundred examples. Source: Maas, Hannun & Ng 2013, section 2. It may be traced.
    """
    found, number, last = {}, numbered(), ""

    def visit(operation: Operation, operands: list[Any]) -> Sequence[Any]:
        nonlocal last
        last = operation.path if operation.tagged else last
        made = compute(operation, operands)
        if operation.name == "max" and any(_is_zero(operand) for operand in operands):
            on = (made[0] > 0).any(tuple(range(made[0].ndim - 1)))
            found[number(last)] = 1 - jnp.mean(on, dtype=jnp.float32)
        return made

    program = jax.make_jaxpr(lambda *args: layer.apply(*args)[0])
    arguments = (params, state, x)
    Walk(visit)(program(*arguments), jax.tree.leaves(arguments))
    return found


def _is_zero(operand: Any) -> bool:
    return not isinstance(operand, Tracer) and np.ndim(operand) == 0 and operand == 0
