"""Gradient descent on any function, with the whole trajectory."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnets.errors import RunError
from jaxnets.layer import Array
from jaxnets.training.arguments import check_optimizer, count


class Trajectory(NamedTuple):
    """The points of a descent, and the function's values there.

    Attributes:
      points: the start and the point after each step, stacked: leaves (steps + 1, ...).
      values: the function's value at each point, (steps + 1,).
    """

    points: Any
    values: Array


def descend(
    f: Callable[[Any], Array], start: Any, optimizer: optax.GradientTransformation, steps: int
) -> Trajectory:
    """Minimize `f` by gradient descent from `start`, as one `lax.scan`.

    It can be transformed like any JAX function, for example to run many descents in one program:
    `jax.vmap(lambda rate: descend(f, start, optax.sgd(rate), 100))(rates)`.

    To train a model on data, use `fit`, which minimizes the mean loss of one batch per step: a
    `batch_size` of n is batch gradient descent, 1 is stochastic, anything between is minibatch
    gradient descent. Where a text sums the gradients over n examples instead of averaging them,
    multiply its learning rate by n to take the same steps.

    Args:
      f: a function of one pytree of floating-point arrays that returns a scalar.
      start: the pytree to start from.
      optimizer: an optax optimizer, such as `optax.sgd(0.1)`.
      steps: the number of steps.

    Raises:
      RunError: `start` is not floating-point, `f` does not return a scalar, or `steps` is not a
        positive integer.
    """
    start = jax.tree.map(_strongly_typed, start)
    check_optimizer("descend", optimizer)
    steps = count("descend", "steps", steps)
    _check(f, start)

    def step(carry: tuple, _: None) -> tuple[tuple, Trajectory]:
        point, opt_state = carry
        value, gradient = jax.value_and_grad(f)(point)
        extra = {"value": value, "grad": gradient, "value_fn": f}
        transformation = optax.with_extra_args_support(optimizer)  # drops them if not supported
        updates, opt_state = transformation.update(gradient, opt_state, point, **extra)
        return (optax.apply_updates(point, updates), opt_state), Trajectory(point, value)

    (end, _), trajectory = jax.lax.scan(step, (start, optimizer.init(start)), length=steps)
    return jax.tree.map(_append, trajectory, Trajectory(end, f(end)))


def _strongly_typed(x: Any) -> Array:
    """An array that is not weakly typed, since a weak type would change in the scan."""
    return jnp.asarray(x, jnp.result_type(x))


def _append(stacked: Array, last: Array) -> Array:
    return jnp.concatenate([stacked, last[None]])


def _check(f: Callable[[Any], Array], start: Any) -> None:
    for path, leaf in jax.tree.leaves_with_path(start):
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise RunError(
                f"descend expects a floating-point start, but start{jax.tree_util.keystr(path)} is "
                f"{leaf.dtype}; write 1.0 for 1"
            )
    value = jax.eval_shape(f, start)
    if getattr(value, "shape", None) != ():
        raise RunError(f"descend expects f to return a scalar, but got {value}; sum or average it")
