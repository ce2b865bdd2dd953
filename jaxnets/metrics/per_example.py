"""The one rule for losses and metrics that are functions: one real number per example."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal
from jaxtyping import Array


def at_least_float32(x: Any) -> Array:
    """The array in float32, or in float64 where it is that: sums in 16 bits lose small terms."""
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def without_16_bits(tree: Any) -> Any:
    """The tree with its floating-point leaves of fewer than 32 bits in float32."""

    def leaf(x: Any) -> Any:
        dtype = jnp.result_type(x)
        narrow = jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize < 4
        return at_least_float32(x) if narrow else x

    return jax.tree.map(leaf, tree)


def is_real(dtype: Any) -> bool:
    """Whether these are bools, integers or floating-point numbers, of any width."""
    return any(jnp.issubdtype(dtype, kind) for kind in (jnp.bool_, jnp.integer, jnp.floating))


def per_example(
    caller: str, function: Callable[[Any, Any], Any], outputs: Any, labels: Any, weights: Any
) -> Array:
    """`function(outputs, labels)`, an array (batch,) as the weights are.

    The function gets 16-bit outputs as float32.

    Raises:
      ValueError: the result is anything but one real number per example, or one output per example
        and labels of another rank broadcast to (batch, batch) on the way.
    """
    outputs = without_16_bits(outputs)
    values = function(outputs, labels)
    expected = (
        f"{caller} expects {_name(function)}(outputs, labels) to return one number per example, "
        f"shape {weights.shape}"
    )
    if not isinstance(values, jax.Array | np.ndarray | np.generic | int | float):
        raise ValueError(f"{expected}, but got {type(values).__name__}; return one array")
    if _broadcasts(function, outputs, labels):
        raise ValueError(
            f"{expected}, but outputs {outputs.shape} and labels {labels.shape} broadcast against "
            f"each other; give both one shape, as in y[:, {'None' if labels.ndim == 1 else 0}]"
        )
    shape = jnp.shape(values)
    if shape != weights.shape:
        raise ValueError(f"{expected}, but got shape {shape}; {_cure(shape, weights.shape)}")
    assert not isinstance(values, int | float)  # which have another shape
    if not is_real(values.dtype):
        raise ValueError(f"{expected}, but got {values.dtype}; return real numbers")
    return jnp.asarray(values)


def _name(function: Any) -> str:
    return getattr(function, "__name__", "its function")


def _broadcasts(function: Callable[[Any, Any], Any], outputs: Any, labels: Any) -> bool:
    """Whether outputs (n, 1) and labels (n,), or the reverse, are combined into (n, n).

    If so, the function also accepts 2 outputs with 3 labels and uses all of those; a function that
    pairs each output with its own label does not.
    """
    shapes = {getattr(outputs, "shape", ()), jnp.shape(labels)}
    if shapes != {(len(labels),), (len(labels), 1)}:
        return False
    two = jax.ShapeDtypeStruct((2, *outputs.shape[1:]), outputs.dtype)
    three = jax.ShapeDtypeStruct((3, *labels.shape[1:]), labels.dtype)
    try:
        jaxpr = jax.make_jaxpr(function)(two, three).jaxpr
    except Exception:  # of whatever kind: it refuses, as it should
        return False
    return depends_on(jaxpr, jaxpr.outvars[0], jaxpr.invars[1])


def depends_on(jaxpr: Any, output: Any, source: Any) -> bool:
    """Whether a result of a traced function is computed from an input of it."""
    needed = {output} if not isinstance(output, Literal) else set()
    for equation in reversed(jaxpr.eqns):
        if not needed.isdisjoint(equation.outvars):
            needed |= {atom for atom in equation.invars if not isinstance(atom, Literal)}
    return source in needed


def _cure(shape: tuple[int, ...], batch: tuple[int, ...]) -> str:
    if shape == ():
        return "a mean or sum over the examples is taken for you: drop the .mean() or .sum()"
    if shape == (*batch, 1):
        return "drop the last axis with .squeeze(-1)"
    if shape[:1] == batch:
        return f"take the mean over the other axes, .mean(axis={tuple(range(1, len(shape)))})"
    return "keep the axis of the examples first, and reduce the others"
