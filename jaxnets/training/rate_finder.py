"""A learning rate from one short run in which it rises."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.keys import stream
from jaxnets.layer import Array
from jaxnets.training.check import RunError
from jaxnets.training.update import Batch, Hyper, TrainState, Update

WINDOW = 5  # losses averaged into one; odd, so that the average belongs to the middle one's rate
CURE = (
    'write make_update(model, lambda hyper: optax.adam(hyper["learning_rate"]), loss) and pass '
    'hyper={"learning_rate": 1e-3}'
)


class RangeTest(NamedTuple):
    """What a range test found.

    Attributes:
      rates: the learning rates tried, rising, (steps,).
      losses: the objective on each step's batch before that step, (steps,); it may end in
        infinities and NaN.
      suggestion: a tenth of the rate at which the smoothed loss is smallest.
    """

    rates: np.ndarray
    losses: np.ndarray
    suggestion: float


def find_learning_rate(
    update: Update,
    train_state: TrainState,
    train: tuple[Any, Any],
    hyper: Mapping[str, Any],
    *,
    batch_size: int,
    smallest: float = 1e-6,
    largest: float = 10.0,
    steps: int = 100,
) -> RangeTest:
    """Train for a few steps while the learning rate rises, and suggest one; a range test.

    The rates rise geometrically, all steps are one compiled program, and `train_state` is left
    as it is. The loss, averaged over 5 neighbours, is flat at first, falls, and then rises or
    becomes infinite; a tenth of the rate at its minimum still descends fast and leaves room.
    Where the minimum lies at `largest`, try again with a larger one.

    Args:
      update: one step, its optimizer a function of `hyper["learning_rate"]`. A schedule multiplies
        in: leave it out of this update.
      train_state: where to start from, as `update.init` returns it.
      train: inputs (n, ...) and labels (n, ...), from which batches are drawn in shuffled order.
      hyper: as the update takes it; its learning rate is replaced.
      batch_size: examples a step, at most n; a suggestion holds for its batch size.
      smallest: the first rate.
      largest: the last rate.
      steps: how many rates, at least 5.

    Raises:
      RunError: no learning rate reaches the optimizer, or the bounds or sizes do not fit, or
        no loss was finite.

    Source: Smith 2017, Cyclical learning rates for training neural networks, section 3.3, where
    the rate rises linearly.
    """
    _check(update, hyper, train, batch_size, smallest, largest, steps)
    rates = np.geomspace(smallest, largest, steps, dtype=np.float32)
    data = (jnp.asarray(train[0]), jnp.asarray(train[1]))
    losses = _run(update, train_state, data, dict(hyper), jnp.asarray(rates), batch_size)
    losses = np.asarray(jax.block_until_ready(losses))
    return RangeTest(rates, losses, _suggest(rates, losses))


@partial(jax.jit, static_argnames=("update", "batch_size"))
def _run(
    update: Update,
    train_state: TrainState,
    data: tuple[Array, Array],
    hyper: dict[str, Any],
    rates: Array,
    batch_size: int,
) -> Array:
    """The objective of each step, the nth at the nth rate."""
    x, y = data
    order = jax.random.permutation(stream(train_state.key, "range test"), len(x))
    batches = jnp.resize(order, (len(rates), batch_size))  # repeats the order where it is short

    def step(train_state: TrainState, now: tuple[Array, Array]) -> tuple[TrainState, Array]:
        rate, rows = now
        batch = Batch(x[rows], y[rows], jnp.ones(batch_size))
        train_state, sums = update(train_state, batch, hyper | {"learning_rate": rate})
        return train_state, sums["objective"]

    return jax.lax.scan(step, train_state, (rates, batches))[1]


def _suggest(rates: np.ndarray, losses: np.ndarray) -> float:
    with np.errstate(invalid="ignore", over="ignore"):
        smooth = np.lib.stride_tricks.sliding_window_view(losses, WINDOW).mean(-1)
    if not np.isfinite(smooth).any():
        raise RunError(
            f"the range test expects a finite loss at its first {WINDOW} rates, {rates[0]:g} to "
            f"{rates[WINDOW - 1]:g}, but got {losses[:WINDOW].tolist()}; start from a smaller one, "
            f"or look for a logarithm or division in the model"
        )
    lowest = int(np.where(np.isfinite(smooth), smooth, np.inf).argmin())
    return float(rates[lowest + WINDOW // 2]) / 10


def _check(
    update: Update,
    hyper: Hyper,
    train: tuple[Any, Any],
    batch_size: int,
    smallest: float,
    largest: float,
    steps: int,
) -> None:
    if not isinstance(hyper, Mapping) or "learning_rate" not in hyper:
        raise RunError(
            f'the range test expects a hyper with "learning_rate", but got {hyper!r}; {CURE}'
        )
    if not callable(update.tx):
        raise RunError(
            f"the range test expects an optimizer that is a function of hyper, but this one's "
            f"learning rate is fixed; {CURE}"
        )
    if not 0 < smallest < largest:
        raise RunError(
            f"the range test expects 0 < smallest < largest, but got {smallest} and {largest}"
        )
    examples, labels = len(train[0]), len(train[1])
    if examples != labels or not 1 <= batch_size <= examples or steps < WINDOW:
        raise RunError(
            f"the range test expects as many labels as inputs, batches no larger than that and at "
            f"least {WINDOW} steps, but got {examples} inputs, {labels} labels, "
            f"batch_size={batch_size} and steps={steps}"
        )
