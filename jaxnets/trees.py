"""Nested dicts of arrays by path: `{"fc1": {"kernel": k}}` as `{"fc1/kernel": k}` and back."""

import re
from collections.abc import Iterator
from typing import Any

from jaxnets.layer import Array, Params


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


def select(params: Params, names: str) -> list[Array]:
    """The leaves whose path the regular expression `names` finds a match in.

    Raises:
      ValueError: no path matches, with the paths there are.
    """
    flat = flatten_names(params)
    if not (chosen := [leaf for path, leaf in flat.items() if re.search(names, path)]):
        raise ValueError(f"no parameter matches {names!r}; there are {sorted(flat)}")
    return chosen


def _walk(path: tuple[str, ...], tree: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(tree, dict):
        for name, subtree in tree.items():
            yield from _walk((*path, name), subtree)
    else:
        yield "/".join(path), tree
