"""Data as callers pass it, as arrays: converted with every value kept, or refused with a cure."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Refuse = Callable[[str, str], ValueError]  # the error for what came, and its cure


class Examples(NamedTuple):
    """Inputs, labels and, where there are any, weights: pytrees of arrays (n, ...), or None."""

    x: Any
    y: Any
    weights: Any = None


def as_examples(where: str, name: str, data: Any, error: type[ValueError]) -> Examples:
    """`(x, y)` or `(x, y, weights)` as arrays, each as `as_rows` returns it.

    Inputs and labels may be dicts or tuples of arrays. Weights are float32 (n,), finite and at
    least 0.

    Raises:
      error: the data are something else, an array is refused, there are no rows, or the lengths
        differ.
    """
    if not isinstance(data, tuple | list) or len(data) not in (2, 3):
        raise error(
            f"{where} expects {name}=(x, y) or (x, y, weights), but got {_kind(data)}; "
            f"{_split_cure(data)}"
        )
    x, y = (
        as_tree(where, f"the {name} {part}", tree, error)
        for part, tree in zip(("inputs", "labels"), data[:2], strict=True)
    )
    weights = None if len(data) == 2 or data[2] is None else _weights(where, name, data[2], error)
    lengths = [{len(leaf) for leaf in jax.tree.leaves(tree)} for tree in (x, y, weights)]
    if len(set().union(*lengths)) != 1 or 0 in lengths[0]:
        inputs, labels = ("/".join(map(str, sorted(counts))) for counts in lengths[:2])
        beside = "" if weights is None else f" and {len(weights)} weights"
        raise error(
            f"{where} expects as many labels as inputs in {name}, at least one, but got {inputs} "
            f"inputs and {labels} labels{beside}; pass one of each per example"
        )
    return Examples(x, y, weights)


def as_tree(where: str, name: str, tree: Any, error: type[ValueError]) -> Any:
    """A dict or a tuple of arrays, or one array, each as `as_rows` returns it."""
    if isinstance(tree, dict):
        parts = {key: as_tree(where, f"{name}[{key!r}]", tree[key], error) for key in tree}
        if parts:
            return parts
    if isinstance(tree, tuple) and any(isinstance(v, jax.Array | np.ndarray) for v in tree):
        parts = [as_tree(where, f"{name}[{i}]", part, error) for i, part in enumerate(tree)]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    return as_rows(where, name, tree, error)


def _weights(where: str, name: str, value: Any, error: type[ValueError]) -> np.ndarray:
    weights = np.asarray(as_rows(where, f"the {name} weights", value, error), np.float32)
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if weights.ndim != 1 or wrong.any():
        got = f"the shape {weights.shape}"
        if weights.ndim == 1:
            got = f"{weights[wrong][0]} in row {wrong.argmax()}"
        raise error(
            f"{where} expects the {name} weights as one finite number of at least 0 per example, "
            f"but got {got}; a weight of 0 leaves an example out"
        )
    return weights


def as_split(
    where: str, name: str, split: Any, error: type[ValueError]
) -> tuple[np.ndarray | jax.Array, np.ndarray | jax.Array]:
    """The pair `(x, y)`, each as `as_rows` returns it, with as many labels as inputs.

    Raises:
      error: the split is no pair, an array is refused, there are no rows, or the lengths differ.
    """
    if not isinstance(split, tuple | list) or len(split) != 2:
        raise error(f"{where} expects {name}=(x, y), but got {_kind(split)}; {_split_cure(split)}")
    x, y = (
        as_rows(where, f"the {name} {part}", array, error)
        for part, array in zip(("inputs", "labels"), split, strict=True)
    )
    if len(x) != len(y) or len(x) == 0:
        raise error(
            f"{where} expects as many labels as inputs in {name}, at least one, but got {len(x)} "
            f"inputs and {len(y)} labels; pass one label per input"
        )
    return x, y


def as_rows(
    where: str, name: str, value: Any, error: type[ValueError], *, wide: bool = False
) -> np.ndarray | jax.Array:
    """`value` as an array of numbers (n, ...) in its own dtype and the machine's byte order.

    Args:
      where: the function that was called, such as "fit".
      name: which of its arguments, such as "the training inputs".
      value: an array, a list of equal rows, or anything that converts itself to NumPy.
      error: what is raised.
      wide: keep 64-bit values beyond 32 bits, which JAX by default does not compute in.

    Raises:
      error: it is no such array, or holds a number that JAX's dtype for it cannot.
    """

    def refuse(got: str, cure: str) -> ValueError:
        return error(
            f"{where} expects {name} as an array of numbers (n, ...), but got {got}; {cure}"
        )

    array = _converted(value, refuse)
    _check_dtype(array, refuse)
    if array.ndim == 0:
        raise refuse(f"the single number {array}", "pass one row per example")
    if isinstance(array, np.ndarray):
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        if not wide:
            _check_range(where, name, array, error)
    return array


def shape_of(rows: int, array: Any) -> jax.ShapeDtypeStruct:
    """The shape and dtype that so many rows of an array have on the device."""
    dtype = jax.dtypes.canonicalize_dtype(array.dtype)
    return jax.ShapeDtypeStruct((rows, *array.shape[1:]), dtype)


def nonfinite_rows(name: str, array: Any) -> str | None:
    """Which row of the array holds NaN or infinity, as a clause; None where all are finite."""
    array = np.asarray(array)
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        return None
    flat = array.reshape(len(array), -1)
    rows = np.flatnonzero(~np.isfinite(flat).all(1))
    if not rows.size:
        return None
    value = flat[rows[0]][~np.isfinite(flat[rows[0]])][0]
    return f"row {rows[0]} of {name} holds {value}, as do {rows.size} of {len(array)} rows"


def _converted(value: Any, refuse: Refuse) -> np.ndarray | jax.Array:
    if isinstance(value, np.ma.MaskedArray):
        raise refuse("a masked array, whose mask would be lost", "fill it first: x.filled(0)")
    if isinstance(value, jax.Array):
        return value
    if isinstance(value, tuple) and any(isinstance(v, jax.Array | np.ndarray) for v in value):
        raise refuse(_kind(value), "pass one array alone, or np.stack(x) for a tuple of rows")
    listed = isinstance(value, list | tuple | int | float)
    if not listed and not hasattr(value, "__array__") and not hasattr(value, "to_numpy"):
        raise refuse(_kind(value), "convert it to NumPy first, as x.numpy() or np.asarray(x) does")
    try:
        return np.asarray(value if listed or hasattr(value, "__array__") else value.to_numpy())
    except Exception as error:
        cure = "give all rows one shape" if listed else "convert it first: x.detach().cpu().numpy()"
        reason = str(error).partition("\n")[0]
        raise refuse(f"{_kind(value)} that does not convert to NumPy ({reason})", cure) from None


def _check_dtype(array: np.ndarray | jax.Array, refuse: Refuse) -> None:
    dtype = array.dtype
    text = dtype.kind in "UST" or (
        dtype.kind == "O" and isinstance(next(np.asarray(array).flat, None), str)
    )
    if text:
        cure = "number the classes: names, y = np.unique(y, return_inverse=True)"
        raise refuse(f"strings ({dtype})", cure)
    try:
        jax.dtypes.canonicalize_dtype(dtype)
        known = dtype.kind == "b" or jnp.issubdtype(dtype, jnp.number)
    except TypeError:
        known = False
    if not known:
        cure = "stack equal rows with np.stack(x), or cast them with x.astype(np.float32)"
        raise refuse(f"the dtype {dtype}", cure)


def _check_range(where: str, name: str, array: np.ndarray, error: type[ValueError]) -> None:
    """Refuse a number that would wrap round, or become infinite, in the dtype that JAX gives it."""
    if in_range(array):
        return
    place = np.argwhere(_outside(array))[0].tolist()
    cure = "scale the data, as jaxnets.data.fit_standard does"
    if array.dtype.kind in "iu":
        cure = "number them from 0, as np.unique(values, return_inverse=True) does"
    raise error(
        f"{where} expects {name} in the range of {jax.dtypes.canonicalize_dtype(array.dtype)}, "
        f"which JAX computes in, but row {place[0]} has {array[tuple(place)]} ({array.dtype}); "
        f"{cure}"
    )


def in_range(array: np.ndarray) -> bool:
    """Whether JAX's dtype for the array can hold each of its values, but for rounding."""
    dtype = jax.dtypes.canonicalize_dtype(array.dtype)
    if dtype == array.dtype or not array.size:
        return True
    low, high = _bounds(dtype)
    inside = all(part.min() >= low and part.max() <= high for part in _real_parts(array))
    return inside or not _outside(array).any()  # NaN and infinity are no smaller and no larger


def _outside(array: np.ndarray) -> np.ndarray:
    low, high = _bounds(jax.dtypes.canonicalize_dtype(array.dtype))
    outside = [np.isfinite(p) & ((p < low) | (p > high)) for p in _real_parts(array)]
    return np.any(outside, axis=0)


def _bounds(dtype: Any) -> tuple[Any, Any]:
    info = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    return (info.min, info.max) if dtype.kind in "iu" else (float(info.min), float(info.max))


def _real_parts(array: np.ndarray) -> tuple[np.ndarray, ...]:
    return (np.real(array), np.imag(array)) if np.iscomplexobj(array) else (array,)


def _kind(value: Any) -> str:
    """What a value is, in a word or two."""
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, np.ndarray | jax.Array):
        return f"an array of shape {value.shape}"
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    return f"an object of type {type(value).__name__}"


def _split_cure(split: Any) -> str:
    if hasattr(split, "train") and hasattr(split, "test"):
        return "pass one of its splits, as dataset.train is"
    if isinstance(split, tuple | list) and len(split) == 3:
        return "leave the third out: weights are for training and evaluation"
    if isinstance(split, float):
        return "write train, validation = jaxnets.data.train_test_split((x, y), size, seed=0) first"
    return "pass inputs and labels as one pair"
