"""Monitors: what a run should be told of between chunks, at little cost."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.layer import Array, Layer, Params, State
from jaxnets.training.train_step import TrainState

Monitor = Callable[[TrainState, np.ndarray], Sequence[str]]


def loss_spikes(*, factor: float = 10.0, window: int = 100) -> Monitor:
    """A monitor of objectives that jump out of what the last ones were.

    A spike lies more than `factor` times the interquartile range of the `window` objectives before
    it above their upper quartile; Tukey 1977 calls 3 "far out". A spike's neighbours are
    told of once.

    Args:
      factor: how far out, in interquartile ranges.
      window: how many objectives it is compared with; before so many there are no spikes.

    Raises:
      ValueError: a factor that is not positive, or a window of fewer than 4.
    """
    if not factor > 0 or window < 4:
        raise ValueError(
            f"loss_spikes expects factor > 0 and window >= 4, but got factor={factor} and "
            f"window={window}"
        )
    past = np.empty(0, np.float32)
    quiet_until = 0

    def monitor(train_state: TrainState, objectives: np.ndarray) -> list[str]:
        nonlocal past, quiet_until
        series = np.concatenate([past, objectives])
        first_step = int(train_state.step) - len(series)
        said = []
        if len(series) > window:
            before = np.lib.stride_tricks.sliding_window_view(series[:-1], window)
            low, high = np.quantile(before, [0.25, 0.75], axis=1)
            for i in np.flatnonzero(series[window:] > high + factor * (high - low)).tolist():
                step = first_step + window + i
                if step >= quiet_until and high[i] > low[i]:
                    said.append(
                        f"the loss jumped to {series[window + i]:.4g} at step {step}, where the "
                        f"{window} steps before had {low[i]:.4g} to {high[i]:.4g}"
                    )
                    quiet_until = step + window
        past = series[-window:]
        return said

    return monitor


def dead_units(model: Layer, x: Any, *, share: float = 0.5) -> Monitor:
    """A monitor of ReLUs of which more than `share` of the units are 0 for all examples `x`.

    Each layer is told of once; see `inspect.dead_units`. A few hundred examples are enough.

    Raises:
      ValueError: a share outside [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"dead_units expects a share in [0, 1), but got {share}")
    x, told = jnp.asarray(x), set()

    @jax.jit
    def shares(params: Params, state: State) -> dict[str, Array]:
        from jaxnets.inspect import dead_units

        return dead_units(model, params, state, x)

    def monitor(train_state: TrainState, objectives: np.ndarray) -> list[str]:
        del objectives
        found = shares(train_state.params, train_state.model_state)
        dead = {n: float(s) for n, s in found.items() if n not in told and s > share}
        told.update(dead)
        step = int(train_state.step)
        return [
            f"{portion:.0%} of the units of layer {name!r} are dead at step {step}: no example "
            "switches them on; lower the learning rate, or look at its initial biases"
            for name, portion in dead.items()
        ]

    return monitor
