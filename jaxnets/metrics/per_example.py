"""Evaluates losses and metrics, which must return one real number per example."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal
from jaxtyping import Array


def at_least_float32(x: Any) -> Array:
    """The array in float32 or wider, since sums in 16 bits lose small terms."""
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def without_16_bits(tree: Any) -> Any:
    """The tree with 16-bit floating-point leaves cast to float32."""

    def leaf(x: Any) -> Any:
        dtype = jnp.result_type(x)
        narrow = jnp.issubdtype(dtype, jnp.floating) and dtype.itemsize < 4
        return at_least_float32(x) if narrow else x

    return jax.tree.map(leaf, tree)


def is_real(dtype: Any) -> bool:
    """Whether the dtype is bool, integer or floating-point."""
    return any(jnp.issubdtype(dtype, kind) for kind in (jnp.bool_, jnp.integer, jnp.floating))


def per_example(
    caller: str, function: Callable[[Any, Any], Any], outputs: Any, labels: Any, weights: Any
) -> Array:
    """`function(outputs, labels)` as an array (batch,), the shape of the weights.

    16-bit outputs are cast to float32 first.

    Raises:
      ValueError: the result is not one real number per example, or the function broadcasts outputs
        and labels of different ranks to (batch, batch).
    """
    outputs = without_16_bits(outputs)
    values = function(outputs, labels)
    expected = (
        f"{caller} expects {_name(function)}(outputs, labels) to return one number per example, "
        f"shape {weights.shape}"
    )
    if not isinstance(values, jax.Array | np.ndarray | np.generic | int | float):
        raise ValueError(f"{expected}, but got {type(values).__name__}; return one array")
    if _broadcasts(function, outputs, labels, weights.shape):
        raise ValueError(
            f"{expected}, but outputs {outputs.shape} and labels {labels.shape} broadcast against "
            f"each other; give both one shape, as in y[:, {'None' if labels.ndim == 1 else 0}]"
        )
    shape = jnp.shape(values)
    if shape != weights.shape:
        raise ValueError(f"{expected}, but got shape {shape}; {_cure(shape, weights.shape)}")
    dtype = getattr(values, "dtype", None)  # Python numbers have failed the check of the shape
    if not is_real(dtype):
        raise ValueError(f"{expected}, but got {dtype}; return real numbers")
    return jnp.asarray(values)


def _name(function: Any) -> str:
    return getattr(function, "__name__", "its function")


def _broadcasts(
    function: Callable[[Any, Any], Any], outputs: Any, labels: Any, batch: tuple[int, ...]
) -> bool:
    """Whether outputs (n, 1) and labels (n,), or the reverse, are broadcast to (n, n).

    If so, the function also accepts 2 outputs with 3 labels and uses all labels; a function that
    pairs each output with its label does not.
    """
    shapes = {getattr(array, "shape", None) for array in (outputs, labels)}
    if shapes != {batch, (*batch, 1)}:
        return False
    two = jax.ShapeDtypeStruct((2, *outputs.shape[1:]), outputs.dtype)
    three = jax.ShapeDtypeStruct((3, *labels.shape[1:]), labels.dtype)
    try:
        jaxpr = jax.make_jaxpr(function)(two, three).jaxpr
    except Exception:  # of any type: the function rejects different lengths
        return False
    return depends_on(jaxpr, jaxpr.outvars[0], jaxpr.invars[1])


def depends_on(jaxpr: Any, output: Any, source: Any) -> bool:
    """Whether an output of a jaxpr depends on an input."""
    ancestors = {output} if not isinstance(output, Literal) else set()
    for equation in reversed(jaxpr.eqns):
        if not ancestors.isdisjoint(equation.outvars):
            ancestors |= {atom for atom in equation.invars if not isinstance(atom, Literal)}
    return source in ancestors


def _cure(shape: tuple[int, ...], batch: tuple[int, ...]) -> str:
    if shape == ():
        return "remove the .mean() or .sum() over the examples, which is taken for you"
    if shape == (*batch, 1):
        return "drop the last axis with .squeeze(-1)"
    if shape[:1] == batch:
        return f"take the mean over the other axes, .mean(axis={tuple(range(1, len(shape)))})"
    return "keep the batch axis first, and reduce the others"
