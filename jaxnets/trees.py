"""Nested dicts of arrays by path: `{"fc1": {"kernel": k}}` as `{"fc1/kernel": k}` and back."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from jaxnets.layer import Array, LayerError, Params

Names = str | Callable[[str], bool]  # a regular expression to find in a path, or a predicate of it


def flatten_names(tree: dict[str, Any]) -> dict[str, Any]:
    """Every leaf by its path, the names joined with a slash."""
    return dict(_walk((), tree))


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
    wrong += [f"{name} is not in the model" for name in got if name not in wanted]
    for name in got.keys() & wanted.keys():
        for kind in ("shape", "dtype"):
            is_, should = (getattr(leaf, kind) for leaf in (got[name], wanted[name]))
            if is_ != should:
                wrong.append(f"{name} is {is_} and should be {should}")
    if wrong:
        listed = "\n  ".join(sorted(wrong))
        raise LayerError(
            "the weights do not fit the model; build it as it was when they were saved, or "
            f"transplant the names that fit alone:\n  {listed}"
        )


def _walk(path: tuple[str, ...], tree: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for name, subtree in tree.items():
            yield from _walk((*path, name), subtree)
    else:
        yield "/".join(path), tree
