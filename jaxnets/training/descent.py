"""Gradient descent on any function, with every point it passes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnets.errors import RunError
from jaxnets.layer import Array
from jaxnets.training.arguments import check_optimizer, count


class Trajectory(NamedTuple):
    """Where a descent went.

    Attributes:
      points: the start and the point after each step, stacked: leaves (steps + 1, ...).
      values: the function's value at each point, (steps + 1,).
    """

    points: Any
    values: Array


def descend(
    f: Callable[[Any], Array], start: Any, optimizer: optax.GradientTransformation, steps: int
) -> Trajectory:
    """Follow minus the gradient of `f` from `start`, as one `lax.scan`.

    All of it may be traced, so that one program runs many descents:
    `jax.vmap(lambda rate: descend(f, start, optax.sgd(rate), 100))(rates)`.

    For a model on data, `fit` is the same descent with the data cut into batches: `batch_size` n
    is batch descent, 1 is stochastic, and what lies between is minibatch descent. `fit` descends
    on the mean loss over a batch. Where a text adds the gradients of n examples up, its learning
    rate times n takes the same steps here.

    Args:
      f: a function of one pytree of floating-point arrays that returns a scalar.
      start: the pytree to start from.
      optimizer: how a gradient becomes a step, such as `optax.sgd(0.1)`.
      steps: how many steps to make.

    Raises:
      RunError: `start` is not floating-point, `f` returns no scalar, or `steps` is no count.
    """
    start = jax.tree.map(_strong, start)
    check_optimizer("descend", optimizer)
    steps = count("descend", "steps", steps)
    _check(f, start)

    def step(carry: tuple, _: None) -> tuple[tuple, Trajectory]:
        point, memory = carry
        value, gradient = jax.value_and_grad(f)(point)
        extra = {"value": value, "grad": gradient, "value_fn": f}
        transformation = optax.with_extra_args_support(optimizer)  # drops them if it takes none
        updates, memory = transformation.update(gradient, memory, point, **extra)
        return (optax.apply_updates(point, updates), memory), Trajectory(point, value)

    (end, _), passed = jax.lax.scan(step, (start, optimizer.init(start)), length=steps)
    return jax.tree.map(_append, passed, Trajectory(end, f(end)))


def _strong(x: Any) -> Array:
    """An array whose dtype is its own: that of a Python number would change in the scan."""
    return jnp.asarray(x, jnp.result_type(x))


def _append(stacked: Array, last: Array) -> Array:
    return jnp.concatenate([stacked, last[None]])


def _check(f: Callable[[Any], Array], start: Any) -> None:
    for path, leaf in jax.tree.leaves_with_path(start):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            where = jax.tree_util.keystr(path)
            raise RunError(
                f"descend expects a floating-point start, but start{where} is {leaf.dtype}; "
                f"write 1.0 for 1"
            )
    value = jax.eval_shape(f, start)
    if getattr(value, "shape", None) != ():
        raise RunError(f"descend expects f to return a scalar, but got {value}; sum or average it")
