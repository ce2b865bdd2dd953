"""Bidirectional layers."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from jaxnets.compose import network
from jaxnets.errors import LayerError
from jaxnets.layer import Layer
from jaxnets.padded import expect_steps, repad, reverse_steps, unpad
from jaxnets.recurrence import without_carry


def bidirectional(layer: Layer) -> Layer:
    """A layer along time, forward and, with weights of its own, backward; outputs are joined.

    A `network` of two children, `forward` and `backward`; the second gets each row's valid steps in
    reverse order, and its outputs are put back into the order of the input. From (batch, time, ...)
    to (batch, time, 2 * units). If the layer collapses time, its two outputs are joined:
    `bidirectional(serial(("rnn", lstm(64)), last_step))` gives both final states,
    (batch, 2 * 64). Source: Schuster & Paliwal 1997.

    Raises:
      LayerError: an input without time steps, or with a carry, since the backward layer would
        start at the end of a sequence that has not ended.
    """

    @network(forward=layer, backward=layer)
    def both(x: Any, *, forward: Callable[[Any], Any], backward: Callable[[Any], Any]) -> Any:
        if without_carry(x)[0] is not None:
            raise LayerError(
                "bidirectional expects a sequence without a carry, but got (carry, x); use the "
                "layer in one direction for a sequence that comes in parts"
            )
        expect_steps("bidirectional", x)
        y, lengths = unpad(forward(x))
        backwards = backward(reverse_steps(x))
        if y.ndim > 2:  # time is not collapsed
            backwards = reverse_steps(backwards)
        return repad(jnp.concatenate([y, unpad(backwards)[0]], axis=-1), lengths)

    return both
