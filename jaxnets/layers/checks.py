"""Checks of the arguments of layers."""

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Literal, ParamSpec, TypeVar

import jax.numpy as jnp
import numpy as np

from jaxnets.checks import as_integer, as_integers
from jaxnets.errors import LayerError
from jaxnets.layer import Array, Key, Layer, Params, State

Padding = Literal["SAME", "VALID"] | Sequence[tuple[int, int]]
TimePadding = Padding | Literal["CAUSAL"]  # for layers that may have time as their only axis
P = ParamSpec("P")
R = TypeVar("R")


def plain(function: Callable[P, R]) -> Callable[P, R]:
    """`function` of an array, with a clear error if it is called like a layer's constructor."""
    name = function.__name__

    @wraps(function)
    def of_array(*arguments: P.args, **options: P.kwargs) -> R:
        x = arguments[0] if arguments else options.get("x")
        if x is None or isinstance(x, int | str | Layer):
            got = "nothing" if x is None else "a layer" if isinstance(x, Layer) else repr(x)
            raise LayerError(
                f"{name} expects an array, but got {got}; among layers, write {name} without "
                f"parentheses, as in serial({name}, ...)"
            )
        return function(*arguments, **options)

    return of_array


def per_axis(layer: str, axes: int, **sizes: Any) -> list[tuple[int, ...]]:
    """Each size as one positive integer per axis; a single integer applies to all axes."""
    result = []
    for name, size in sizes.items():
        values = as_tuple(size, axes)
        if len(values) != axes:
            raise LayerError(f"{layer} expects {name} for {axes} axes, but got {size!r}")
        result.append(
            tuple(as_integers(layer, error=LayerError, **{name: value})[0] for value in values)
        )
    return result


def as_tuple(size: Any, axes: int = 1) -> tuple[Any, ...]:
    """A sequence or an array of sizes as a tuple; a single size is repeated for each axis."""
    return tuple(size) if isinstance(size, Sequence) or np.ndim(size) else (size,) * axes


def as_padding(
    layer: str, axes: int, padding: Any, negative: bool = False, causal: bool = False
) -> Any:
    """The padding, if it is "SAME", "VALID" or one (before, after) pair of integers per axis.

    With `causal`, also "CAUSAL" for a single axis, which is time.
    """
    names = ("SAME", "VALID") + ("CAUSAL",) * (causal and axes == 1)
    if isinstance(padding, str) and padding in names:
        return padding
    sides = [as_tuple(pair) for pair in as_tuple(padding)]
    pairs: tuple[Any, ...] = tuple(tuple(map(as_integer, pair)) for pair in sides)
    if len(pairs) != axes or any(len(pair) != 2 or None in pair for pair in pairs):
        quoted = ", ".join(f'"{name}"' for name in names)
        raise LayerError(
            f"{layer} expects padding {quoted} or {axes} (before, after) pairs, but got {padding!r}"
        )
    if not negative and any(side < 0 for pair in pairs for side in pair):
        raise LayerError(
            f"{layer} expects padding of at least 0, but got {padding!r}; "
            f"crop the input before it, as in x[:, 1:]"
        )
    return pairs


def require_key(layer: str, key: Key | None) -> Key:
    """The key; raises if there is none."""
    if key is None:
        raise LayerError(
            f"{layer} needs a random key in training, but got None; pass key=jax.random.key(0) "
            f"to apply"
        )
    return key


def check_channels(layer: str, values: Array, x: Any) -> None:
    """Raise unless the input has one channel per value."""
    if x.shape[-1:] != values.shape:
        raise LayerError(
            f"{layer} expects (..., {values.shape[0]}) but got {x.shape}; call init with this input"
        )


def check_pixels(layer: str, x: Any) -> None:
    """Raise for images (batch, *space, channels) without pixels."""
    if 0 in x.shape[1:-1]:
        raise LayerError(f"{layer} expects images of at least one pixel, got {x.shape}")


def get_array(layer: str, tree: Params | State, name: str, kind: str = "params") -> Array:
    """The layer's array with this name; raises if it is missing."""
    if name not in tree:
        raise LayerError(
            f"{layer} expects {kind} with {name!r} but got {sorted(tree)}; "
            f"pass the {kind} that this model's init returned"
        )
    return jnp.asarray(tree[name])
