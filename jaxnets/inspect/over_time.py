"""The gradient of a model's result for each time step of its input: vanishing and exploding."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.inspect.norms import norm
from jaxnets.layer import Array, Layer, Params, State
from jaxnets.padded import Padded, expect_steps, unpad
from jaxnets.plot_style import styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def gradient_over_time(
    model: Layer,
    params: Params,
    state: State,
    x: Any,
    result: Callable[[Any], Array] | None = None,
) -> Array:
    """The L2 norm of the gradient for each row's input at each step, (batch, time).

    The norm measures how much each step of the input affects the result. In a recurrent network
    whose result is that of the last step, it shrinks by a factor per step towards the first step if
    the gradient vanishes, and grows if it explodes. 0 in the padding. Source: Bengio, Simard &
    Frasconi 1994; Pascanu, Mikolov & Bengio 2013.

    Args:
      model: a layer from (batch, time, ...), an array or a padded batch.
      params: its params.
      state: its state.
      x: the input, floats.
      result: a function of the outputs that returns one number per row, (batch,); by default the
        sum of a row's outputs.

    Raises:
      LayerError: an input without time steps.
    """
    expect_steps("gradient_over_time", x)
    values, lengths = unpad(x)

    def total(values: Array) -> Array:
        outputs, _ = model.apply(
            params, state, values if lengths is None else Padded(values, lengths)
        )
        return (_sum(outputs) if result is None else result(outputs)).sum()

    gradient = jax.grad(total)(jnp.asarray(values))
    return jax.vmap(jax.vmap(norm))(gradient)


@styled
def plot_gradient_over_time(norms: dict[str, Any], title: str) -> "Figure":
    """The median over rows of `gradient_over_time` by step, one curve per name, log scale."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.subplots()
    for name, values in norms.items():
        median = np.median(np.asarray(values, np.float64), axis=0)
        axes.semilogy(
            np.arange(1, len(median) + 1), np.where(median > 0, median, np.nan), label=name
        )
    axes.set(xlabel="time step of the input", ylabel="norm of the gradient", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def _sum(outputs: Any) -> Array:
    """The sum of each row's outputs; the padding of a padded batch is 0."""
    values, _ = unpad(outputs)
    return values.reshape(len(values), -1).sum(1)
