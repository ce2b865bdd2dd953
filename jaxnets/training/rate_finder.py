"""A learning rate from one short run in which it rises."""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.keys import stream
from jaxnets.layer import Array
from jaxnets.training.arguments import RunError, count, numbers, one_split
from jaxnets.training.check import check_batch, check_update, splits
from jaxnets.training.evaluate import undefined_is_no_fault
from jaxnets.training.labels import check_labels
from jaxnets.training.nonfinite import nonfinite_data
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


@one_split
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
    where = "the range test"
    check_update(where, update, train_state)
    batch_size, steps = count(where, "batch_size", batch_size), count(where, "steps", steps)
    train, _ = splits(where, train, None)
    _check(update, hyper, train, batch_size, smallest, largest, steps)
    hyper = numbers(where, "hyper", dict(hyper))
    data = (jnp.asarray(train[0]), jnp.asarray(train[1]))
    check_labels(where, update, train_state, hyper, data, None, batch_size)
    rates = np.geomspace(smallest, largest, steps, dtype=np.float32)
    with undefined_is_no_fault():  # at the largest rates the loss is to become infinite
        losses = _run(update, train_state, data, hyper, jnp.asarray(rates), batch_size)
        losses = np.asarray(jax.block_until_ready(losses))
    return RangeTest(rates, losses, _suggest(rates, losses, data))


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


def _suggest(rates: np.ndarray, losses: np.ndarray, data: tuple[Array, Array]) -> float:
    with np.errstate(invalid="ignore", over="ignore"):
        smooth = np.lib.stride_tricks.sliding_window_view(losses, WINDOW).mean(-1)
    if not np.isfinite(smooth).any():
        cause = nonfinite_data("train", data)
        cure = (
            f"{cause}: drop those rows or fill them in"
            if cause
            else ("start from a smaller one, or look for a logarithm or division in the model")
        )
        raise RunError(
            f"the range test expects a finite loss at its first {WINDOW} rates, {rates[0]:g} to "
            f"{rates[WINDOW - 1]:g}, but got {losses[:WINDOW].tolist()}; {cure}"
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
    if not 0 < smallest < largest < np.inf:
        raise RunError(
            f"the range test expects 0 < smallest < largest, but got {smallest} and {largest}"
        )
    check_batch("the range test", train, batch_size)
    if steps < WINDOW:
        raise RunError(
            f"the range test expects at least {WINDOW} steps, but got {steps}; 100 is usual"
        )
