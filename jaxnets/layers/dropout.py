"""Dropout."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.layer import Array, Key, Layer, LayerError, Params, State
from jaxnets.layers.checks import fraction


def dropout(rate: float | Array) -> Layer:
    """Drops each unit with probability `rate` in training and scales the rest by 1 / (1 - rate).

    The scaling keeps every unit's mean, so evaluation is the identity and needs no key. `rate`
    may be traced, as a hyperparameter of a run. Source: Srivastava et al. 2014, inverted form.

    Raises:
      LayerError: `rate` outside [0, 1), or training without a key.
    """
    fraction("dropout", rate=rate)

    def init(key: Key, x: Any) -> tuple[Params, State]:
        del key, x
        return {}, {}

    def apply(
        params: Params, state: State, x: Array, *, key: Key | None = None, train: bool = False
    ) -> tuple[Array, State]:
        del params
        if not train:
            return x, state
        if key is None:
            raise LayerError(
                "dropout draws chance in training; pass key=jax.random.key(0) to apply"
            )
        keep = 1.0 - jnp.asarray(rate, x.dtype)
        kept = jax.random.bernoulli(key, keep, x.shape)
        return jnp.where(kept, x / keep, jnp.zeros_like(x)), state

    return Layer(init, apply)
