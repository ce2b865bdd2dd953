"""Monitors: callbacks between chunks that return warnings, at little cost."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.layer import Array, Layer, Params, State
from jaxnets.training.train_step import TrainState

Monitor = Callable[[TrainState, np.ndarray], Sequence[str]]
Memory = dict[str, Any]  # in JSON's types


@dataclass
class Remembering:
    """A monitor with a memory, which `fit` saves and restores, so that a resumed run warns alike.

    Attributes:
      name: what is watched, and its options; identifies its memory among those of a run.
      look: called with the memory, which it may change, the train state and the objectives.
      memory: what the chunks so far have left; empty at first.
    """

    name: str
    look: Callable[[Memory, TrainState, np.ndarray], Sequence[str]]
    memory: Memory = field(default_factory=dict)

    def __call__(self, train_state: TrainState, objectives: np.ndarray) -> Sequence[str]:
        """The warnings of a chunk."""
        return self.look(self.memory, train_state, objectives)


def memories(monitors: Sequence[Monitor]) -> dict[str, Memory]:
    """What the monitors remember, by their names."""
    return {m.name: m.memory for m in monitors if isinstance(m, Remembering)}


def remind(monitors: Sequence[Monitor], saved: dict[str, Memory]) -> None:
    """Give the monitors the memories that were saved; one of which none was saved begins anew."""
    for monitor in monitors:
        if isinstance(monitor, Remembering):
            monitor.memory = saved.get(monitor.name, {})


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

    def look(memory: Memory, train_state: TrainState, objectives: np.ndarray) -> list[str]:
        past = np.frombuffer(bytes.fromhex(memory.get("past", "")), "<f4")  # bit for bit, NaN too
        quiet_until = memory.get("quiet_until", 0)
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
        memory["past"] = series[-window:].astype("<f4").tobytes().hex()
        memory["quiet_until"] = quiet_until
        return said

    return Remembering(f"loss_spikes(factor={factor}, window={window})", look)


def dead_units(model: Layer, x: Any, *, share: float = 0.5) -> Monitor:
    """A monitor of ReLUs of which more than `share` of the units are 0 for all examples `x`.

    Each layer is told of once; see `inspect.dead_units`. A few hundred examples are enough.

    Raises:
      ValueError: a share outside [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"dead_units expects a share in [0, 1), but got {share}")
    x = jnp.asarray(x)

    @jax.jit
    def shares(params: Params, state: State) -> dict[str, Array]:
        from jaxnets.jaxpr.dead_units import dead_units

        return dead_units(model, params, state, x)

    def look(memory: Memory, train_state: TrainState, objectives: np.ndarray) -> list[str]:
        del objectives
        reported = memory.setdefault("reported", [])
        found = shares(train_state.params, train_state.model_state)
        dead = {n: float(s) for n, s in found.items() if n not in reported and s > share}
        reported += dead
        step = int(train_state.step)
        return [
            f"{portion:.0%} of the units of layer {name!r} are dead at step {step}: no example "
            "switches them on; lower the learning rate, or look at its initial biases"
            for name, portion in dead.items()
        ]

    return Remembering(f"dead_units(share={share})", look)
