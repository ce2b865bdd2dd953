"""Checks gradients against central differences in float64."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from jaxnets.errors import LayerError
from jaxnets.layer import Array, Key, Layer, Params, State

EPSILON = 1e-6  # truncation error about 1e-12 of the value, rounding error in float64 1e-10


class GradientError(AssertionError):
    """A gradient differs from finite differences; the message names the worst entry and the fix."""


def check_gradient(
    layer: Layer,
    params: Params,
    state: State,
    x: Any,
    *,
    key: Key | None = None,
    train: bool = False,
    entries: int | None = None,
    tolerance: float = 1e-5,
) -> float:
    """The largest relative error of a layer's gradient with respect to its params and input.

    `params`, `state`, `x`, `key` and `train` are the arguments of `layer.apply`; everything else is
    as in `check_function`. An integer input, such as class numbers or pixels, is not checked.
    """

    def output(arguments: dict[str, Any]) -> Any:
        params, x = arguments["params"], arguments["x"]
        return layer.apply(params, _double(state), x, key=key, train=train)[0]

    return _check(output, {"params": params, "x": x}, entries, tolerance)


def check_function(
    f: Callable[..., Any], *arguments: Any, entries: int | None = None, tolerance: float = 1e-5
) -> float:
    """The largest relative error of the gradient of `f` over all floating-point arguments.

    Compares automatic differentiation with (L(w + e) - L(w - e)) / 2e, e = 1e-6, for each entry w
    of an argument; L is the sum of the outputs of `f`, each times a fixed random weight. Everything
    is computed in float64, whatever the dtype of the arguments. The error of an entry is relative
    to its magnitude, or to 1e-3 * (largest magnitude of all entries) + 1e-4 if that is larger.

    At a kink, such as ReLU at 0 or equal values in max pooling, the two differ although neither is
    wrong; check at another input.

    Args:
      f: a function of pytrees that returns a pytree.
      arguments: the arguments of `f` at which the gradient is checked.
      entries: how many entries of each array to check, chosen at random with a fixed seed; the
        default is all. Each takes two evaluations.
      tolerance: the largest relative error to accept.

    Raises:
      GradientError: the error of an entry is larger than `tolerance`, or not finite.
      LayerError: no argument is floating-point, or `f` computes in less than float64.
    """
    named = {f"arguments[{i}]": argument for i, argument in enumerate(arguments)}
    return _check(lambda named: f(*named.values()), named, entries, tolerance)


def _check(
    f: Callable[[Any], Any], arguments: dict[str, Any], entries: int | None, tolerance: float
) -> float:
    if entries is not None and entries < 1:
        raise LayerError(f"a gradient check expects entries of 1 or more, but got {entries}")
    # The key is reused on purpose, so that every evaluation has the same random numbers.
    with jax.enable_x64(True), jax.debug_key_reuse(False):
        paths, leaves, loss = _as_function_of_leaves(f, _double(arguments))
        rows = _choose([leaf.size for leaf in leaves], entries)
        expected, got = _derivatives(loss, leaves, rows)
    error = _relative_error(expected, got)
    if error.max(initial=0.0) > tolerance:
        worst = int(error.argmax())
        raise GradientError(
            f"the gradient of {_name(paths, leaves, rows[worst])} should be "
            f"{expected[worst]:.6g} by finite differences, but is {got[worst]:.6g}: a relative "
            f"error of {error[worst]:.1e}, above the tolerance of {tolerance:.0e}; "
            f"{(error > tolerance).sum()} of {error.size} entries are off; correct the backward "
            f"pass or, at a kink, check at another input"
        )
    return float(error.max(initial=0.0))


def _relative_error(expected: np.ndarray, got: np.ndarray) -> np.ndarray:
    """The error of each entry, infinite if either value is not finite; see `check_function`."""
    size = np.maximum(np.abs(expected), np.abs(got))
    largest = size.max(initial=0.0, where=np.isfinite(size))
    with np.errstate(invalid="ignore"):
        error = np.abs(got - expected) / np.maximum(size, 1e-3 * largest + 1e-4)
    return np.where(np.isfinite(error), error, np.inf)


def _as_function_of_leaves(
    f: Callable[[Any], Any], arguments: Any
) -> tuple[list[str], list[Array], Callable[[list[Array]], Array]]:
    """The floating-point leaves, their paths, and the scalar loss as a function of them."""
    flat, structure = jax.tree.flatten_with_path(arguments)
    free = [i for i, (_, leaf) in enumerate(flat) if _is_floating(leaf)]
    if not free:
        raise LayerError(
            "a gradient check expects a floating-point argument, but got none; "
            "pass parameters, or an input such as x / 255.0"
        )

    def loss(leaves: list[Array]) -> Array:
        full = [leaf for _, leaf in flat]
        for i, leaf in zip(free, leaves, strict=True):
            full[i] = leaf
        return _weighted_sum(f(jax.tree.unflatten(structure, full)))

    paths = [jax.tree_util.keystr(flat[i][0], simple=True, separator="/") for i in free]
    return paths, [flat[i][1] for i in free], loss


def _derivatives(
    loss: Callable[[list[Array]], Array], leaves: list[Array], rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The derivatives by finite differences and by `jax.grad`, each (rows,).

    `rows` are indices into the concatenation of all leaves.
    """
    theta, unravel = ravel_pytree(leaves)

    @jax.jit
    def derivatives(theta: Array, rows: Array) -> tuple[Array, Array]:
        def difference(row: Array) -> Array:
            step = jnp.zeros_like(theta).at[row].set(EPSILON)
            return (loss(unravel(theta + step)) - loss(unravel(theta - step))) / (2 * EPSILON)

        gradient = jax.grad(lambda theta: loss(unravel(theta)))(theta)
        return jax.lax.map(difference, rows), gradient[rows]

    expected, got = derivatives(theta, jnp.asarray(rows))
    return np.asarray(expected), np.asarray(got)


def _weighted_sum(outputs: Any) -> Array:
    """The sum of the outputs, with fixed random weights so that errors do not cancel."""
    random, total = np.random.default_rng(0), jnp.float64(0)
    for y in filter(_is_floating, jax.tree.leaves(outputs)):
        if y.dtype != jnp.float64:
            raise LayerError(
                f"a gradient check expects outputs in float64, as the arguments are, but got "
                f"{y.dtype}; compute in x.dtype instead of a fixed dtype"
            )
        total += (y * random.normal(size=y.shape)).sum()
    return total


def _choose(sizes: list[int], entries: int | None) -> np.ndarray:
    """The indices of the entries to check in the concatenation of all arrays."""
    random, starts = np.random.default_rng(0), np.cumsum([0, *sizes[:-1]])
    counts = [size if entries is None else min(size, entries) for size in sizes]
    return np.concatenate(
        [
            start + np.sort(random.choice(size, n, replace=False))
            for start, size, n in zip(starts, sizes, counts, strict=True)
        ]
    )


def _name(paths: list[str], leaves: list[Array], row: int) -> str:
    """The path and index of an entry in the concatenation of all leaves."""
    for path, leaf in zip(paths, leaves, strict=True):
        if row < leaf.size:
            index = ", ".join(str(i) for i in np.unravel_index(row, leaf.shape))
            return f"{path}[{index}]" if leaf.ndim else path
        row -= leaf.size
    raise IndexError(row)


def _double(tree: Any) -> Any:
    """The leaves as arrays, floating-point ones in float64; requires `enable_x64`."""
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float64 if _is_floating(x) else None), tree)


def _is_floating(x: Any) -> bool:
    return jnp.issubdtype(jnp.result_type(x), jnp.floating)
