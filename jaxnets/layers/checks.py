"""Checks of what a layer is built with, made once, at construction."""

from collections.abc import Sequence
from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from jaxnets.checks import as_integer, as_integers
from jaxnets.errors import LayerError
from jaxnets.layer import Array, Key, Params, State

Padding = Literal["SAME", "VALID"] | Sequence[tuple[int, int]]


def per_axis(layer: str, axes: int, **sizes: Any) -> list[tuple[int, ...]]:
    """Each size as one positive integer an axis; a single integer stands for all axes."""
    found = []
    for name, size in sizes.items():
        values = as_tuple(size, axes)
        if len(values) != axes:
            raise LayerError(f"{layer} expects {name} for {axes} axes, but got {size!r}")
        found.append(
            tuple(as_integers(layer, error=LayerError, **{name: value})[0] for value in values)
        )
    return found


def as_tuple(size: Any, axes: int = 1) -> tuple[Any, ...]:
    """A sequence or an array of sizes as a tuple; a single size as often as there are axes."""
    return tuple(size) if isinstance(size, Sequence) or np.ndim(size) else (size,) * axes


def padding_form(layer: str, axes: int, padding: Any, negative: bool = False) -> Padding:
    """A known word, or one (before, after) pair of integers an axis; refuse all else."""
    if isinstance(padding, str) and padding in ("SAME", "VALID"):
        return padding
    sides = [as_tuple(pair) for pair in as_tuple(padding)]
    pairs: tuple[Any, ...] = tuple(tuple(map(as_integer, pair)) for pair in sides)
    if len(pairs) != axes or any(len(pair) != 2 or None in pair for pair in pairs):
        raise LayerError(
            f'{layer} expects padding "SAME", "VALID" or {axes} (before, after) pairs, '
            f"but got {padding!r}"
        )
    if not negative and any(side < 0 for pair in pairs for side in pair):
        raise LayerError(
            f"{layer} expects padding of at least 0, but got {padding!r}; "
            f"crop the input before it, as in x[:, 1:]"
        )
    return pairs


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
