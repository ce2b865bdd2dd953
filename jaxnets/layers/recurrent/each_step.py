"""`each_step`: applies a layer or function of a single step to every step of a sequence."""

import math
from typing import Any

import jax
import numpy as np

from jaxnets.errors import LayerError
from jaxnets.layer import Key, Layer, Params, State, check_not_constructor
from jaxnets.padded import Padded, expect_steps, refuse_state, repad, unpad, with_valid_steps


def each_step(layer: Any) -> Any:
    """A layer or function of one step, (batch, ...), at every step of (batch, time, ...).

    The steps are computed at once, as a batch of batch * time examples, with the same weights:
    `each_step(conv(8, (3, 3)))` takes a batch of videos. A padded batch stays one, and the padding
    is 0 in the output. Params and state are those of the layer.

    Returns:
      A `Layer` for a layer, a function for a function.

    Raises:
      LayerError: an input without time steps; a padded batch for a layer with state, whose
        statistics would count the padding (use `batch_norm` directly, which does not).
    """
    if not isinstance(layer, Layer):
        if not callable(layer):
            raise LayerError(
                f"each_step expects a layer or a function, but got {layer!r}; call it with one, as "
                "in each_step(dense(10))"
            )
        check_not_constructor(layer)

        def over_steps(x: Any) -> Any:
            return _split(layer(_merge(x)), x)

        return over_steps

    def init(key: Key, x: Any) -> tuple[Params, State]:
        params, state = layer.init(key, jax.eval_shape(_merge, x))
        refuse_state("each_step", x, state)
        return params, state

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        refuse_state("each_step", x, state if train else {})
        y, state = layer.apply(params, state, _merge(x), key=key, train=train)
        return _split(y, x), state

    return Layer(init, apply)


def _merge(x: Any) -> Any:
    """(batch, time, ...) as (batch * time, ...), with valid steps in place of the padding."""
    expect_steps("each_step", x)
    values = with_valid_steps(x) if isinstance(x, Padded) else x
    return values.reshape(math.prod(values.shape[:2]), *values.shape[2:])


def _split(y: Any, x: Any) -> Any:
    """The outputs (batch * time, ...) as (batch, time, ...), padded if `x` is."""
    values, lengths = unpad(x)

    def leaf(y: Any) -> Any:
        if np.shape(y)[:1] != (math.prod(values.shape[:2]),):
            raise LayerError(
                f"each_step expects a layer that returns one row per step, "
                f"{math.prod(values.shape[:2])}, but got {np.shape(y)}; use it without each_step"
            )
        return repad(y.reshape(*values.shape[:2], *y.shape[1:]), lengths)

    return jax.tree.map(leaf, y)
