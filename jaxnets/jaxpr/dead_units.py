"""Dead ReLU units: zero for every example of a batch, so that they get no gradient."""

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
    """The fraction of units that are 0 for the whole batch, after each ReLU, in evaluation.

    A ReLU is named by the path of the last named layer before it. Units are its last axis: a
    channel of a feature map is one unit. A unit may be 0 in one batch but not in another, so use a
    few hundred examples. May be traced. Source: Maas, Hannun & Ng 2013, section 2.
    """
    fractions, number, last_path = {}, numbered(), ""

    def visit(operation: Operation, operands: list[Any]) -> Sequence[Any]:
        nonlocal last_path
        last_path = operation.path if operation.tagged else last_path
        results = compute(operation, operands)
        if operation.name == "max" and any(_is_zero(operand) for operand in operands):
            active = (results[0] > 0).any(tuple(range(results[0].ndim - 1)))
            fractions[number(last_path)] = 1 - jnp.mean(active, dtype=jnp.float32)
        return results

    program = jax.make_jaxpr(lambda *args: layer.apply(*args)[0])
    arguments = (params, state, x)
    Walk(visit)(program(*arguments), jax.tree.leaves(arguments))
    return fractions


def _is_zero(operand: Any) -> bool:
    return not isinstance(operand, Tracer) and np.ndim(operand) == 0 and operand == 0
