"""A learning rate from one short run in which it rises."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import RunError
from jaxnets.keys import stream
from jaxnets.layer import Array
from jaxnets.training.arguments import count, numbers, one_split
from jaxnets.training.check import (
    check_batch,
    check_start,
    check_train_state,
    check_train_step,
    splits,
)
from jaxnets.training.evaluate import undefined_is_no_fault
from jaxnets.training.labels import check_data
from jaxnets.training.nonfinite import nonfinite_data
from jaxnets.training.programs import program
from jaxnets.training.train_step import Batch, Hparams, resolve

WINDOW = 5  # losses averaged into one; odd, so that the average belongs to the middle one's rate
CURE = (
    'write lambda hparams: make_train_step(model, optax.adam(hparams["learning_rate"]), loss) and '
    'pass hparams={"learning_rate": 1e-3}'
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
    train_step: Any,
    train_state: Any,
    data: tuple[Any, Any],
    *,
    hparams: Mapping[str, Any],
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
      train_step: a function of `hparams` that makes a train step, whose optimizer reads
        `hparams["learning_rate"]`. A schedule multiplies in: leave it out.
      train_state: where to start from, as `TrainStep.init` returns it.
      data: inputs (n, ...) and labels (n, ...), from which batches are drawn in shuffled order.
      hparams: as the train step takes it; its learning rate is replaced.
      batch_size: examples per step, at most n; a suggestion holds for its batch size.
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
    check_train_step(where, train_step)
    check_train_state(where, train_state)
    batch_size, steps = count(where, "batch_size", batch_size), count(where, "steps", steps)
    examples, _ = splits(where, data, None)
    _check(train_step, hparams, examples, batch_size, smallest, largest, steps)
    hparams = numbers(where, "hparams", dict(hparams))
    first = jax.tree.map(lambda leaf: jnp.asarray(leaf[:1]), examples.x)
    init = resolve(train_step, hparams)[0].init
    check_start(where, train_state, jax.eval_shape(init, jax.random.key(0), first))
    check_data(where, train_step, hparams, train_state, examples, None, batch_size)
    rates = np.geomspace(smallest, largest, steps, dtype=np.float32)
    objectives = program(train_step, _make_objectives, batch_size)
    arrays = jax.tree.map(jnp.asarray, Batch(*examples))
    with undefined_is_no_fault():  # at the largest rates the loss is to become infinite
        losses = objectives(train_state, arrays, hparams, jnp.asarray(rates))
        losses = np.asarray(jax.block_until_ready(losses))
    return RangeTest(rates, losses, _suggest(rates, losses, examples))


def _make_objectives(step: Callable[[], Any], batch_size: int) -> Callable[..., Array]:
    """A function that gives the objective of each step, the nth at the nth rate."""

    def objectives(train_state: Any, data: Batch, hparams: dict[str, Any], rates: Array) -> Array:
        n = len(jax.tree.leaves(data.x)[0])
        order = jax.random.permutation(stream(train_state.key, "range test"), n)
        batches = jnp.resize(order, (len(rates), batch_size))  # repeats the order where it is short

        def at_rate(train_state: Any, now: tuple[Array, Array]) -> tuple[Any, Array]:
            rate, rows = now
            x, y, own = jax.tree.map(lambda array: array[rows], data)
            batch = Batch(x, y, jnp.ones(batch_size) if own is None else own)
            train_step, given = resolve(step(), hparams | {"learning_rate": rate})
            train_state, sums = train_step(train_state, batch, given)
            return train_state, sums["objective"]

        return jax.lax.scan(at_rate, train_state, (rates, batches))[1]

    return objectives


def _suggest(rates: np.ndarray, losses: np.ndarray, data: Any) -> float:
    with np.errstate(invalid="ignore", over="ignore"):
        smooth = np.lib.stride_tricks.sliding_window_view(losses, WINDOW).mean(-1)
    if not np.isfinite(smooth).any():
        cause = nonfinite_data("training", data)
        cure = "start from a smaller one, or look for a logarithm or division in the model"
        cure = f"{cause}: drop those rows or fill them in" if cause else cure
        raise RunError(
            f"the range test expects a finite loss at its first {WINDOW} rates, {rates[0]:g} to "
            f"{rates[WINDOW - 1]:g}, but got {losses[:WINDOW].tolist()}; {cure}"
        )
    lowest = int(np.where(np.isfinite(smooth), smooth, np.inf).argmin())
    return float(rates[lowest + WINDOW // 2]) / 10


def _check(
    train_step: Any,
    hparams: Hparams,
    data: tuple[Any, Any],
    batch_size: int,
    smallest: float,
    largest: float,
    steps: int,
) -> None:
    if not isinstance(hparams, Mapping) or "learning_rate" not in hparams:
        raise RunError(
            f'the range test expects hparams with "learning_rate", but got {hparams!r}; {CURE}'
        )
    if hasattr(train_step, "init"):
        raise RunError(
            f"the range test expects a function of hparams that makes the train step, but the "
            f"learning rate of this one is fixed; {CURE}"
        )
    if not 0 < smallest < largest < np.inf:
        raise RunError(
            f"the range test expects 0 < smallest < largest, but got {smallest} and {largest}"
        )
    check_batch("the range test", data, batch_size)
    if steps < WINDOW:
        raise RunError(
            f"the range test expects at least {WINDOW} steps, but got {steps}; 100 is usual"
        )
