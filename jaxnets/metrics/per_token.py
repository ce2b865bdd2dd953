"""Losses and metrics of single tokens, for outputs (batch, time, ...)."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp

from jaxnets.padded import Padded, expect_steps, unpad, with_valid_steps, without_padding


@dataclass(frozen=True)  # so that train steps with equal losses are equal and share a program
class PerToken:
    """The mean over each row's tokens of a function that returns one number per example."""

    function: Callable[[Any, Any], Any]

    def __call__(self, outputs: Any, labels: Any) -> Any:
        """Return one number per row, (batch,)."""
        (outputs, first), (labels, second) = unpad(outputs), unpad(labels)
        lengths = second if first is None else first
        if lengths is None:
            lengths = jnp.full(outputs.shape[0], outputs.shape[1], jnp.int32)
        padded = Padded(outputs, lengths)
        expect_steps("per_token", padded)
        if labels.shape[:2] != outputs.shape[:2]:
            raise ValueError(
                f"per_token expects one label per token, {outputs.shape[:2]}, but got "
                f"{labels.shape}; pass labels (batch, time, ...)"
            )
        values = self.function(_tokens(padded), _tokens(Padded(labels, lengths)))
        if jnp.shape(values) != (math.prod(outputs.shape[:2]),):
            raise ValueError(
                f"per_token expects a function that returns one number per example, "
                f"{math.prod(outputs.shape[:2])}, but got {jnp.shape(values)}; pass a loss such as "
                "losses.softmax_cross_entropy"
            )
        values = values.reshape(outputs.shape[:2])
        values = values.astype(jnp.promote_types(values.dtype, jnp.float32))
        total = without_padding(Padded(values, lengths)).sum(1)
        means = total / jnp.maximum(padded.mask.sum(1), 1)
        same = True if first is None or second is None else jnp.asarray(first) == second
        return jnp.where(same, means, jnp.nan)


def per_token(function: Any) -> PerToken:
    """A loss or metric of single tokens, as one of rows: the mean over each row's tokens.

    Outputs and labels are (batch, time, ...), arrays or padded batches; the padding does not count,
    whatever it holds. A row's weight should be its number of tokens, so that every token counts the
    same: pass the lengths as the weights of the data,

        train_step = make_train_step(
            model, optimizer, losses.per_token(losses.softmax_cross_entropy),
            metrics={"accuracy": metrics.mean(losses.per_token(lambda o, y: o.argmax(-1) == y))})
        fit(train_step, (Padded(x, lengths), y, lengths), ...)

    Args:
      function: a function of outputs (n, ...) and labels (n, ...) that returns one number per
        example, as every loss does.

    Returns:
      A function of `(outputs, labels)` that returns one number per row: 0 for an empty row, NaN
      where the lengths of outputs and labels differ.

    Raises:
      ValueError: `function` is not callable.
    """
    if not callable(function):
        raise ValueError(f"per_token expects a loss, but got {function!r}; pass the function")
    return PerToken(function)


def _tokens(x: Padded) -> Any:
    """(batch * time, ...), with valid tokens in place of the padding."""
    values = with_valid_steps(x)
    return values.reshape(math.prod(values.shape[:2]), *values.shape[2:])
