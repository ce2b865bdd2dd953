"""Converts data from callers to arrays without loss, or raises an error that says how to fix it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

MakeError = Callable[[str, str], ValueError]  # (received, cure) -> error


class Examples(NamedTuple):
    """Inputs, labels and optional weights: pytrees of arrays (n, ...), or None."""

    x: Any
    y: Any
    weights: Any = None


def as_examples(where: str, name: str, data: Any, error: type[ValueError]) -> Examples:
    """`(x, y)` or `(x, y, weights)`, with each array converted by `as_rows`.

    Inputs and labels may be dicts or tuples of arrays. Weights are float32 (n,), finite and at
    least 0.

    Raises:
      error: the data are not such a tuple, an array is invalid, there are no rows, or the lengths
        differ.
    """
    if not isinstance(data, tuple | list) or len(data) not in (2, 3):
        raise error(
            f"{where} expects {name}=(x, y) or (x, y, weights), but got {_describe(data)}; "
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
        weight_count = "" if weights is None else f" and {len(weights)} weights"
        raise error(
            f"{where} expects as many labels as inputs in {name}, at least one, but got {inputs} "
            f"inputs and {labels} labels{weight_count}; pass one of each per example"
        )
    return Examples(x, y, weights)


def as_tree(where: str, name: str, tree: Any, error: type[ValueError]) -> Any:
    """A dict or tuple of arrays, or a single array, each converted by `as_rows`."""
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
    invalid = ~(np.isfinite(weights) & (weights >= 0))
    if weights.ndim != 1 or invalid.any():
        got = f"the shape {weights.shape}"
        if weights.ndim == 1:
            got = f"{weights[invalid][0]} in row {invalid.argmax()}"
        raise error(
            f"{where} expects the {name} weights as one finite number of at least 0 per example, "
            f"but got {got}; a weight of 0 leaves an example out"
        )
    return weights


def as_split(
    where: str, name: str, split: Any, error: type[ValueError]
) -> tuple[np.ndarray | jax.Array, np.ndarray | jax.Array]:
    """The pair `(x, y)`, each converted by `as_rows`, with as many labels as inputs.

    Raises:
      error: the split is not a pair, an array is invalid, there are no rows, or the lengths differ.
    """
    if not isinstance(split, tuple | list) or len(split) != 2:
        raise error(
            f"{where} expects {name}=(x, y), but got {_describe(split)}; {_split_cure(split)}"
        )
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
    """`value` as an array of numbers (n, ...) in its own dtype and native byte order.

    Args:
      where: the function that was called, such as "fit".
      name: which of its arguments, such as "the training inputs".
      value: an array, a list of rows of equal shape, or anything with a conversion to NumPy.
      error: the exception to raise.
      wide: allow 64-bit values that do not fit in 32 bits, JAX's default precision.

    Raises:
      error: `value` is not such an array, or has a number that does not fit in JAX's dtype for it.
    """

    def make_error(got: str, cure: str) -> ValueError:
        return error(
            f"{where} expects {name} as an array of numbers (n, ...), but got {got}; {cure}"
        )

    array = _to_array(value, make_error)
    _check_dtype(array, make_error)
    if array.ndim == 0:
        raise make_error(f"the single number {array}", "pass one row per example")
    if isinstance(array, np.ndarray):
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        if not wide:
            _check_range(where, name, array, error)
    return array


def on_device(x: Any) -> jax.Array:
    """`jnp.asarray` for arrays and numbers, but without compiling anything.

    On a CPU, a NumPy array and the result may share memory.
    """
    return x if isinstance(x, jax.Array) else jax.device_put(x, may_alias=True)


def shape_of(rows: int, array: Any) -> jax.ShapeDtypeStruct:
    """The shape and dtype that `rows` rows of an array have on the device."""
    dtype = jax.dtypes.canonicalize_dtype(array.dtype)
    return jax.ShapeDtypeStruct((rows, *array.shape[1:]), dtype)


def nonfinite_rows(name: str, array: Any) -> str | None:
    """A clause that names the first row with NaN or infinity; None if all values are finite."""
    array = np.asarray(array)
    if not jnp.issubdtype(array.dtype, jnp.inexact):
        return None
    flat = array.reshape(len(array), -1)
    rows = np.flatnonzero(~np.isfinite(flat).all(1))
    if not rows.size:
        return None
    value = flat[rows[0]][~np.isfinite(flat[rows[0]])][0]
    count = f"rows that are not finite: {rows.size} of {len(array)}"
    return f"row {rows[0]} of {name} holds {value} ({count})"


def _to_array(value: Any, make_error: MakeError) -> np.ndarray | jax.Array:
    if isinstance(value, np.ma.MaskedArray):
        raise make_error("a masked array, whose mask would be lost", "fill it first: x.filled(0)")
    if isinstance(value, jax.Array):
        return value
    if isinstance(value, tuple) and any(isinstance(v, jax.Array | np.ndarray) for v in value):
        cure = "pass one array alone, or np.stack(x) for a tuple of rows"
        raise make_error(_describe(value), cure)
    nested = isinstance(value, list | tuple | int | float)
    if not nested and not hasattr(value, "__array__") and not hasattr(value, "to_numpy"):
        cure = "convert it to NumPy first, with x.numpy() or np.asarray(x)"
        raise make_error(_describe(value), cure)
    try:
        return np.asarray(value if nested or hasattr(value, "__array__") else value.to_numpy())
    except Exception as error:
        cure = "give all rows one shape" if nested else "convert it first: x.detach().cpu().numpy()"
        reason = str(error).partition("\n")[0]
        got = f"{_describe(value)} that does not convert to NumPy ({reason})"
        raise make_error(got, cure) from None


def _check_dtype(array: np.ndarray | jax.Array, make_error: MakeError) -> None:
    dtype = array.dtype
    is_text = dtype.kind in "UST" or (
        dtype.kind == "O" and isinstance(next(np.asarray(array).flat, None), str)
    )
    if is_text:
        cure = "number the classes: names, y = np.unique(y, return_inverse=True)"
        raise make_error(f"strings ({dtype})", cure)
    try:
        jax.dtypes.canonicalize_dtype(dtype)
        is_supported = dtype.kind == "b" or jnp.issubdtype(dtype, jnp.number)
    except TypeError:
        is_supported = False
    if not is_supported:
        cure = "stack equal rows with np.stack(x), or cast them with x.astype(np.float32)"
        raise make_error(f"the dtype {dtype}", cure)


def _check_range(where: str, name: str, array: np.ndarray, error: type[ValueError]) -> None:
    """Raise if a number would wrap around, or overflow to infinity, in JAX's dtype for it."""
    if in_range(array):
        return
    index = np.argwhere(_out_of_range(array))[0].tolist()
    cure = "scale the data with jaxnets.data.fit_standard"
    if array.dtype.kind in "iu":
        cure = "number them from 0 with np.unique(values, return_inverse=True)"
    raise error(
        f"{where} expects {name} in the range of {jax.dtypes.canonicalize_dtype(array.dtype)}, "
        f"which JAX computes in, but row {index[0]} has {array[tuple(index)]} ({array.dtype}); "
        f"{cure}"
    )


def in_range(array: np.ndarray) -> bool:
    """Whether JAX's dtype for the array can hold each of its values, up to rounding."""
    dtype = jax.dtypes.canonicalize_dtype(array.dtype)
    if dtype == array.dtype or not array.size:
        return True
    low, high = _bounds(dtype)
    inside = all(part.min() >= low and part.max() <= high for part in _real_parts(array))
    return inside or not _out_of_range(array).any()  # NaN and infinity are not out of range


def _out_of_range(array: np.ndarray) -> np.ndarray:
    low, high = _bounds(jax.dtypes.canonicalize_dtype(array.dtype))
    outside = [np.isfinite(p) & ((p < low) | (p > high)) for p in _real_parts(array)]
    return np.any(outside, axis=0)


def _bounds(dtype: Any) -> tuple[Any, Any]:
    info = np.iinfo(dtype) if dtype.kind in "iu" else np.finfo(dtype)
    return (info.min, info.max) if dtype.kind in "iu" else (float(info.min), float(info.max))


def _real_parts(array: np.ndarray) -> tuple[np.ndarray, ...]:
    return (np.real(array), np.imag(array)) if np.iscomplexobj(array) else (array,)


def _describe(value: Any) -> str:
    """A short description of a value for an error message."""
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    if isinstance(value, np.ndarray | jax.Array):
        return f"an array of shape {value.shape}"
    if value is None or isinstance(value, bool | int | float | str):
        return repr(value)
    return f"an object of type {type(value).__name__}"


def _split_cure(split: Any) -> str:
    if hasattr(split, "train") and hasattr(split, "test"):
        return "pass one of its splits, such as dataset.train"
    if isinstance(split, tuple | list) and len(split) == 3:
        return "leave the third out: weights are for training and evaluation"
    if isinstance(split, float):
        return "write train, validation = jaxnets.data.train_test_split((x, y), size, seed=0) first"
    return "pass inputs and labels as one pair"
