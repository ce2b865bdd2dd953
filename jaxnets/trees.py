"""Nested dicts of arrays by path: `{"fc1": {"kernel": k}}` as `{"fc1/kernel": k}` and back."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from jaxnets.errors import LayerError
from jaxnets.layer import Array, Params
from jaxnets.messages import printable

Names = str | Callable[[str], bool]  # a regular expression that is searched, or a predicate


def flatten_names(tree: dict[str, Any]) -> dict[str, Any]:
    """Every leaf by its path, the names joined with a slash.

    Raises:
      LayerError: a name is not a string, or two leaves have the same path.
    """
    flat: dict[str, Any] = {}
    for names, leaf in _walk((), tree):
        if invalid := [name for name in names if not isinstance(name, str)]:
            raise LayerError(f"names of arrays must be strings, but got {invalid[0]!r}; rename it")
        if (path := "/".join(names)) in flat:
            raise LayerError(f"two arrays have the path {path!r}; use names without slashes")
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
    """Whether the regular expression `names` matches in the path, or the predicate is true."""
    return bool(re.search(names, path) if isinstance(names, str) else names(path))


def select(params: Params, names: Names) -> list[Array]:
    """The leaves whose path matches `names`.

    Raises:
      ValueError: no path matches; lists the existing paths.
    """
    flat = flatten_names(params)
    if not (selected := [leaf for path, leaf in flat.items() if matches(names, path)]):
        raise ValueError(f"no parameter matches {names!r}; choose from {sorted(flat)}")
    return selected


def check_names(tree: dict[str, Any], expected: dict[str, Any]) -> None:
    """Raise unless a tree of weights has the expected names, shapes and dtypes.

    Args:
      tree: nested dicts of arrays, as `interop.safetensors.load` returns.
      expected: the same of arrays or shapes: `jax.eval_shape(model.init, key, x)[0]` for params.

    Raises:
      LayerError: missing or unexpected names, wrong shapes or dtypes; lists all of them.
    """
    if problems := misfits(flatten_names(tree), flatten_names(expected)):
        lines = "\n  ".join(problems)
        raise LayerError(
            "the weights do not fit the model; build the model that they were saved from, or use "
            f"merge_params for the names that fit:\n  {lines}"
        )


def misfits(got: dict[str, Any], specs: dict[str, Any]) -> list[str]:
    """What differs between arrays and their specs, both by path: names, shapes and dtypes."""
    problems = [f"{name} is missing" for name in specs if name not in got]
    problems += [f"{printable(name)} is not in the model" for name in got if name not in specs]
    for name in got.keys() & specs.keys():
        for attribute in ("shape", "dtype"):
            actual, target = (getattr(leaf, attribute) for leaf in (got[name], specs[name]))
            if actual != target:
                problems.append(f"{name} is {actual} and should be {target}")
    return sorted(problems)


def _walk(names: tuple[str, ...], tree: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(tree, dict):
        for name, subtree in tree.items():
            yield from _walk((*names, name), subtree)
    else:
        yield names, tree
