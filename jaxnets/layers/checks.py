"""Checks of what a layer is built with, made once, at construction."""

from collections.abc import Sequence
from typing import Any, Literal

from jax.core import Tracer

from jaxnets.layer import Array, LayerError, Params

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
        values = (size,) * axes if isinstance(size, int) else tuple(size)
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


def padding_form(layer: str, axes: int, padding: Padding) -> None:
    """Refuse a padding that is neither a known word nor one (before, after) pair an axis."""
    if isinstance(padding, str):
        known = padding in ("SAME", "VALID")
    else:
        known = len(padding) == axes and all(len(pair) == 2 for pair in padding)
    if not known:
        raise LayerError(
            f'{layer} expects padding "SAME", "VALID" or {axes} (before, after) pairs, '
            f"but got {padding!r}"
        )


def own(layer: str, params: Params, name: str) -> Array:
    """The layer's array of that name, or an error that says which params came instead."""
    if name not in params:
        raise LayerError(
            f"{layer} expects params with {name!r} but got {sorted(params)}; "
            f"pass the params that this model's init returned"
        )
    return params[name]
