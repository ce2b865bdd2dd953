"""Nested dicts of arrays by path: `{"fc1": {"kernel": k}}` as `{"fc1/kernel": k}` and back."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from jaxnets.errors import LayerError
from jaxnets.layer import Array, Params
from jaxnets.messages import printable

Names = str | Callable[[str], bool]  # a regular expression to find in a path, or a predicate of it


def flatten_names(tree: dict[str, Any]) -> dict[str, Any]:
    """Every leaf by its path, the names joined with a slash.

    Raises:
      LayerError: a name is no string, or two leaves have the same path.
    """
    flat: dict[str, Any] = {}
    for names, leaf in _walk((), tree):
        if other := [name for name in names if not isinstance(name, str)]:
            raise LayerError(f"names of arrays are strings, but got {other[0]!r}; rename it")
        if (path := "/".join(names)) in flat:
            raise LayerError(f"two arrays have the path {path!r}; use no slash in their names")
        flat[path] = leaf
    return flat


def unflatten_names(flat: dict[str, Any]) -> dict[str, Any]:
    """The inverse of `flatten_names`."""
    tree: dict[str, Any] = {}
    for path, leaf in flat.items():
        *parents, name = path.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = leaf
    return tree


def matches(names: Names, path: str) -> bool:
    """Whether the regular expression `names` finds a match in the path, or the predicate holds."""
    return bool(re.search(names, path) if isinstance(names, str) else names(path))


def select(params: Params, names: Names) -> list[Array]:
    """The leaves whose path matches `names`.

    Raises:
      ValueError: no path matches, with the paths there are.
    """
    flat = flatten_names(params)
    if not (chosen := [leaf for path, leaf in flat.items() if matches(names, path)]):
        raise ValueError(f"no parameter matches {names!r}; there are {sorted(flat)}")
    return chosen


def check_names(tree: dict[str, Any], expected: dict[str, Any]) -> None:
    """Refuse a tree of weights that does not fit, by name, shape and dtype.

    Args:
      tree: nested dicts of arrays, as `interop.safetensors.load` gives.
      expected: the same of arrays or shapes: `jax.eval_shape(model.init, key, x)[0]` for params.

    Raises:
      LayerError: names that are missing or too many, other shapes or dtypes, every one listed.
    """
    got, wanted = flatten_names(tree), flatten_names(expected)
    wrong = [f"{name} is missing" for name in wanted if name not in got]
    wrong += [f"{printable(name)} is not in the model" for name in got if name not in wanted]
    for name in got.keys() & wanted.keys():
        for kind in ("shape", "dtype"):
            is_, should = (getattr(leaf, kind) for leaf in (got[name], wanted[name]))
            if is_ != should:
                wrong.append(f"{name} is {is_} and should be {should}")
    if wrong:
        listed = "\n  ".join(sorted(wrong))
        raise LayerError(
            "the weights do not fit the model; build it as it was when they were saved, or "
            f"merge_params the names that fit alone:\n  {listed}"
        )


def _walk(names: tuple[str, ...], tree: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(tree, dict):
        for name, subtree in tree.items():
            yield from _walk((*names, name), subtree)
    else:
        yield names, tree
