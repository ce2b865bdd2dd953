"""Momentum with the learning rate inside the velocity."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnets.checks import check_fraction
from jaxnets.errors import RunError
from jaxnets.layer import Array


class MomentumState(NamedTuple):
    """The number of steps taken, int32 scalar, and the velocity, a tree like the params."""

    step: Array
    velocity: Any


def momentum(
    learning_rate: optax.ScalarOrSchedule, *, decay: float | Array
) -> optax.GradientTransformation:
    """Momentum as in most textbooks: v <- decay v + rate g, then params <- params - v.

    `optax.sgd(rate, momentum=decay)` and PyTorch keep the rate out of the velocity: v <- decay v
    + g, then params <- params - rate v. With a constant rate the two are the same. With a schedule
    they differ: a lower rate scales down the whole step there, but only the new gradients here.

    Args:
      learning_rate: a number, or an optax schedule: a function from the step, counted from 0, to a
        number.
      decay: the fraction of the velocity that is kept per step, in [0, 1).

    Raises:
      RunError: `decay` is outside [0, 1).

    Source: Rumelhart, Hinton & Williams 1986, eq. 9.
    """
    check_fraction("momentum", error=RunError, decay=decay)

    def init(params: Any) -> MomentumState:
        return MomentumState(jnp.int32(0), jax.tree.map(jnp.zeros_like, params))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, MomentumState]:
        del params
        step, velocity = state
        rate = learning_rate(step) if callable(learning_rate) else learning_rate
        velocity = jax.tree.map(
            lambda v, g: (decay * v + rate * g).astype(v.dtype), velocity, updates
        )
        return jax.tree.map(jnp.negative, velocity), MomentumState(step + 1, velocity)

    return optax.GradientTransformation(init, update)
