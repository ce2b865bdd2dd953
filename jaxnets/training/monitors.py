"""Monitors: callbacks that `fit` calls between chunks and that return warnings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.layer import Array, Layer, Params, State
from jaxnets.training.train_step import TrainState

Monitor = Callable[[TrainState, np.ndarray], Sequence[str]]
MonitorState = dict[str, Any]  # in JSON types


@dataclass
class StatefulMonitor:
    """A monitor with state, which `fit` saves and restores: a resumed run gives the same warnings.

    Attributes:
      name: the monitor's name and options, which identify its state in a checkpoint.
      check: called with the state, which it may change, the train state and the objectives;
        returns the warnings of a chunk.
      state: the state after the chunks so far; empty at first.
    """

    name: str
    check: Callable[[MonitorState, TrainState, np.ndarray], Sequence[str]]
    state: MonitorState = field(default_factory=dict)

    def __call__(self, train_state: TrainState, objectives: np.ndarray) -> Sequence[str]:
        """The warnings of a chunk."""
        return self.check(self.state, train_state, objectives)


def monitor_states(monitors: Sequence[Monitor]) -> dict[str, MonitorState]:
    """The states of the stateful monitors, by name."""
    return {m.name: m.state for m in monitors if isinstance(m, StatefulMonitor)}


def restore_monitors(monitors: Sequence[Monitor], saved: dict[str, MonitorState]) -> None:
    """Set the monitors to their saved states; one without a saved state starts empty."""
    for monitor in monitors:
        if isinstance(monitor, StatefulMonitor):
            monitor.state = saved.get(monitor.name, {})


def loss_spikes(*, factor: float = 10.0, window: int = 100) -> Monitor:
    """A monitor that warns of spikes in the loss.

    A spike is an objective that exceeds the upper quartile of the `window` objectives before it by
    more than `factor` times their interquartile range, and by more than half of that quartile's
    magnitude, since the range is tiny once training has converged. A range of 0 has no spikes.
    Tukey 1977 calls values beyond 3 ranges "far out".
    Spikes within `window` steps of a reported one are not reported.

    Args:
      factor: the threshold, in interquartile ranges.
      window: the number of objectives to compare with; earlier steps have no spikes.

    Raises:
      ValueError: `factor` is not positive, or `window` is less than 4.
    """
    if not factor > 0 or window < 4:
        raise ValueError(
            f"loss_spikes expects factor > 0 and window >= 4, but got factor={factor} and "
            f"window={window}; the defaults are 10 and 100"
        )

    def check(state: MonitorState, train_state: TrainState, objectives: np.ndarray) -> list[str]:
        past = np.frombuffer(bytes.fromhex(state.get("past", "")), "<f4")  # exact, NaN too
        quiet_until = state.get("quiet_until", 0)
        series = np.concatenate([past, objectives])
        first_step = int(train_state.step) - len(series)
        warnings = []
        if len(series) > window:
            windows = np.lib.stride_tricks.sliding_window_view(series[:-1], window)
            low, high = np.quantile(windows, [0.25, 0.75], axis=1)
            margin = np.maximum(factor * (high - low), 0.5 * np.abs(high))
            for i in np.flatnonzero(series[window:] > high + margin).tolist():
                step = first_step + window + i
                if step >= quiet_until and high[i] > low[i]:
                    warnings.append(
                        f"the loss jumped to {series[window + i]:.4g} at step {step}; in the "
                        f"{window} steps before, it was {low[i]:.4g} to {high[i]:.4g} (quartiles)"
                    )
                    quiet_until = step + window
        state["past"] = series[-window:].astype("<f4").tobytes().hex()
        state["quiet_until"] = quiet_until
        return warnings

    return StatefulMonitor(f"loss_spikes(factor={factor}, window={window})", check)


def dead_units(model: Layer, x: Any, *, share: float = 0.5) -> Monitor:
    """A monitor that warns of layers with more than a `share` of dead ReLUs, 0 for all of `x`.

    Each layer is reported once; see `inspect.dead_units`. A few hundred examples are enough.

    Raises:
      ValueError: `share` is outside [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(
            f"dead_units expects a share in [0, 1), but got {share}; the default is 0.5"
        )
    x = jnp.asarray(x)

    @jax.jit
    def shares(params: Params, state: State) -> dict[str, Array]:
        from jaxnets.jaxpr.dead_units import dead_units

        return dead_units(model, params, state, x)

    def check(state: MonitorState, train_state: TrainState, objectives: np.ndarray) -> list[str]:
        del objectives
        reported = state.setdefault("reported", [])
        layers = shares(train_state.params, train_state.model_state)
        dead = {n: float(s) for n, s in layers.items() if n not in reported and s > share}
        reported += dead
        step = int(train_state.step)
        return [
            f"{dead_share:.0%} of the units of layer {name!r} are dead at step {step}: their "
            "output is 0 for all examples; lower the learning rate, or check the initial biases"
            for name, dead_share in dead.items()
        ]

    return StatefulMonitor(f"dead_units(share={share})", check)
