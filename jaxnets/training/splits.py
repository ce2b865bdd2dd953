"""Converts and checks the training and the validation split."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.arrays import Examples, as_examples
from jaxnets.data.buckets import Bucketed
from jaxnets.data.stream import Stream
from jaxnets.errors import RunError


def as_splits(where: str, data: Any, validation: Any) -> tuple[Any, Any]:
    """Both splits, each a `Stream` or `Examples`, with inputs of the same kind of dtype."""
    data, validation = _as_split(where, "data", data), _as_split(where, "validation", validation)
    if data is None:
        raise RunError(f"{where} expects data=(x, y), but got None; pass inputs and labels")
    if isinstance(data, Examples) and isinstance(validation, Examples):
        inputs = [jax.tree.leaves(split.x) for split in (data, validation)]
        for train_x, validation_x in zip(*inputs, strict=False):
            if _kind(train_x.dtype) != _kind(validation_x.dtype):
                raise RunError(
                    f"{where} expects validation inputs of the same kind as the training inputs, "
                    f"but got {validation_x.dtype} for {train_x.dtype}; prepare both in the same "
                    "way"
                )
    return data, validation


def count_examples(data: Any) -> int:
    """The number of examples of a `Stream`, of `Bucketed` or of `Examples`."""
    data = data.examples if isinstance(data, Bucketed) else data
    return len(data) if isinstance(data, Stream) else len(jax.tree.leaves(data.x)[0])


def check_batch(where: str, data: Any, batch_size: int) -> None:
    """Refuse a batch larger than the data."""
    if batch_size > (n := count_examples(data)):
        raise RunError(
            f"{where} expects a batch no larger than the data, but got batch_size={batch_size} "
            f"for {n} examples; use at most {n}"
        )


def _as_split(where: str, name: str, split: Any) -> Any:
    if split is None or isinstance(split, Stream):
        return split
    if isinstance(split, Bucketed):
        examples = as_examples(where, name, split.examples, RunError)
        return split._replace(examples=examples) if name == "data" else examples
    if _is_dataset(split):
        raise RunError(
            f"{where} expects {name}=(x, y) or a data.Stream, but got an object of type "
            f"{type(split).__name__}; pass data.Stream(dataset) of a dataset with __len__ and "
            "__getitem__, or collect the examples into arrays"
        )
    return as_examples(where, name, split, RunError)


def _is_dataset(split: Any) -> bool:
    """Whether this is a generator, a data loader or a dataset: a collection that is not data."""
    is_data = isinstance(split, tuple | list | dict | str) or hasattr(split, "__array__")
    is_data = is_data or hasattr(split, "to_numpy")
    return not is_data and (isinstance(split, Iterable) or hasattr(split, "__getitem__"))


def _kind(dtype: Any) -> str:
    kinds = {"bool": np.bool_, "integer": jnp.integer, "floating": jnp.floating}
    return next((name for name, kind in kinds.items() if jnp.issubdtype(dtype, kind)), "complex")
