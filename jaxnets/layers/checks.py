"""Checks of what a layer is built with, made once, at construction."""

from collections.abc import Sequence
from typing import Any, Literal

import jax.numpy as jnp
from jax.core import Tracer

from jaxnets.layer import Array, Key, LayerError, Params, State

Padding = Literal["SAME", "VALID"] | Sequence[tuple[int, int]]


def positive(layer: str, **sizes: Any) -> None:
    """Refuse a size that is no positive integer."""
    for name, size in sizes.items():
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise LayerError(f"{layer} expects {name} to be a positive integer, but got {size!r}")


def per_axis(layer: str, axes: int, **sizes: Any) -> list[tuple[int, ...]]:
    """Each size as one positive integer an axis; a single integer stands for all axes."""
    found = []
    for name, size in sizes.items():
        values = tuple(size) if isinstance(size, Sequence) else (size,) * axes
        if len(values) != axes:
            raise LayerError(f"{layer} expects {name} for {axes} axes, but got {size!r}")
        for value in values:
            positive(layer, **{name: value})
        found.append(values)
    return found


def fraction(layer: str, **rates: Any) -> None:
    """Refuse a rate outside [0, 1); a traced rate passes, since its value is not known yet."""
    for name, rate in rates.items():
        if not isinstance(rate, Tracer) and not 0.0 <= rate < 1.0:
            raise LayerError(f"{layer} expects {name} in [0, 1), but got {rate!r}")


def at_least_zero(layer: str, **numbers: Any) -> None:
    """Refuse a negative number; a traced one passes, since its value is not known yet."""
    for name, number in numbers.items():
        if not isinstance(number, Tracer) and not number >= 0:
            raise LayerError(f"{layer} expects {name} of at least 0, but got {number!r}")


def padding_form(layer: str, axes: int, padding: Padding) -> None:
    """Refuse a padding that is neither a known word nor one (before, after) pair an axis."""
    pairs = padding if isinstance(padding, Sequence) else ()
    in_pairs = len(pairs) == axes and all(isinstance(p, Sequence) and len(p) == 2 for p in pairs)
    if padding not in ("SAME", "VALID") and not in_pairs:
        raise LayerError(
            f'{layer} expects padding "SAME", "VALID" or {axes} (before, after) pairs, '
            f"but got {padding!r}"
        )


def training_key(layer: str, key: Key | None) -> Key:
    """The key, or an error that says that training needs one."""
    if key is None:
        raise LayerError(f"{layer} draws chance in training; pass key=jax.random.key(0) to apply")
    return key


def channels(layer: str, values: Array, x: Any) -> None:
    """Refuse an input whose channels are not as many as the values."""
    if x.shape[-1:] != values.shape:
        raise LayerError(
            f"{layer} expects (..., {values.shape[0]}) but got {x.shape}; "
            f"init again with this input"
        )


def own(layer: str, tree: Params | State, name: str, kind: str = "params") -> Array:
    """The layer's array of that name, or an error that says which params or state came instead."""
    if name not in tree:
        raise LayerError(
            f"{layer} expects {kind} with {name!r} but got {sorted(tree)}; "
            f"pass the {kind} that this model's init returned"
        )
    return jnp.asarray(tree[name])
