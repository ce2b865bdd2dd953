"""`find_learning_rate`: a learning rate range test."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.arrays import Examples, on_device
from jaxnets.data.stream import Stream
from jaxnets.errors import RunError
from jaxnets.keys import stream
from jaxnets.layer import Array
from jaxnets.training.arguments import as_arrays, count, data_as_pair
from jaxnets.training.check import check_start, check_train_state, check_train_step
from jaxnets.training.divergence import nonfinite_data
from jaxnets.training.evaluate import allow_nonfinite
from jaxnets.training.labels import check_data
from jaxnets.training.programs import program
from jaxnets.training.splits import as_splits, check_batch
from jaxnets.training.train_step import Batch, Hparams, resolve

WINDOW = 5  # width of the moving average; odd, so that it is centred on a rate
CURE = (
    'write lambda hparams: make_train_step(model, optax.adam(hparams["learning_rate"]), loss) and '
    'pass hparams={"learning_rate": 1e-3}'
)


class RangeTest(NamedTuple):
    """The result of `find_learning_rate`.

    Attributes:
      rates: the learning rates, rising, (steps,).
      losses: the objective on each step's batch before the step, (steps,); the last ones may be
        infinite or NaN.
      suggestion: a tenth of the rate at which the smoothed loss is smallest.
    """

    rates: np.ndarray
    losses: np.ndarray
    suggestion: float


@data_as_pair
def find_learning_rate(
    train_step: Any,
    train_state: Any,
    data: Any,
    *,
    hparams: Mapping[str, Any],
    batch_size: int,
    smallest: float = 1e-6,
    largest: float = 10.0,
    steps: int = 100,
) -> RangeTest:
    """Train for a few steps with a rising learning rate, and suggest a rate: a range test.

    The rates rise geometrically; all steps are one compiled program; `train_state` is not modified.
    The loss, smoothed over 5 steps, is flat at first, then falls, then rises or becomes infinite. A
    tenth of the rate at its minimum is fast and has a safety margin. If the minimum is at
    `largest`, try again with a larger one.

    Args:
      train_step: a function of `hparams` that returns a train step, whose optimizer reads
        `hparams["learning_rate"]`. Leave out a schedule, which would multiply the rates.
      train_state: the train state to start from, as `TrainStep.init` returns it.
      data: inputs (n, ...) and labels (n, ...), from which shuffled batches are taken; or a
        `data.Stream`, of which at most `steps * batch_size` random rows are read.
      hparams: the hyperparameters of the train step; their learning rate is replaced.
      batch_size: examples per step, at most n; a suggestion is for this batch size.
      smallest: the first rate.
      largest: the last rate.
      steps: the number of rates, at least 5.

    Raises:
      RunError: the train step does not read a learning rate, the bounds or sizes do not fit, or no
        5 losses in a row are finite.

    Source: Smith 2017, Cyclical learning rates for training neural networks, section 3.3, where
    the rate rises linearly.
    """
    where = "the range test"
    check_train_step(where, train_step)
    check_train_state(where, train_state)
    batch_size, steps = count(where, "batch_size", batch_size), count(where, "steps", steps)
    data, _ = as_splits(where, data, None)
    _check(train_step, hparams, data, batch_size, smallest, largest, steps)
    hparams = as_arrays(where, "hparams", dict(hparams))
    example_x = data.example.x if isinstance(data, Stream) else data.x
    example_x = jax.tree.map(lambda leaf: on_device(leaf[:1]), example_x)
    init = resolve(train_step, hparams)[0].init
    check_start(where, train_state, jax.eval_shape(init, jax.random.key(0), example_x))
    examples = _in_memory(data, train_state, steps * batch_size)
    check_data(where, train_step, hparams, train_state, examples, None, batch_size)
    rates = np.geomspace(smallest, largest, steps, dtype=np.float32)
    objectives = program(train_step, _make_objectives, batch_size)
    arrays = jax.tree.map(on_device, Batch(*examples))
    with allow_nonfinite():  # at the largest rates the loss may become infinite
        losses = objectives(train_state, arrays, hparams, on_device(rates))
        losses = np.asarray(jax.block_until_ready(losses))
    return RangeTest(rates, losses, _suggest(rates, losses, examples))


def _in_memory(data: Any, train_state: Any, rows: int) -> Examples:
    """The data as arrays; of a stream, as many random rows as the test needs."""
    if not isinstance(data, Stream):
        return data
    if len(data) <= rows:
        return data.read(np.arange(len(data)))
    order = jax.random.permutation(stream(train_state.key, "range test rows"), len(data))
    return data.read(np.sort(np.asarray(order)[:rows]))


def _make_objectives(step: Callable[[], Any], batch_size: int) -> Callable[..., Array]:
    """A function that returns the objective of each step, step i with rate i."""

    def objectives(train_state: Any, data: Batch, hparams: dict[str, Any], rates: Array) -> Array:
        n = len(jax.tree.leaves(data.x)[0])
        order = jax.random.permutation(stream(train_state.key, "range test"), n)
        batches = jnp.resize(order, (len(rates), batch_size))  # repeats the order if it is short

        def at_rate(train_state: Any, rate_and_rows: tuple[Array, Array]) -> tuple[Any, Array]:
            rate, rows = rate_and_rows
            x, y, weights = jax.tree.map(lambda array: array[rows], data)
            batch = Batch(x, y, jnp.ones(batch_size) if weights is None else weights)
            train_step, step_hparams = resolve(step(), hparams | {"learning_rate": rate})
            train_state, sums = train_step(train_state, batch, step_hparams)
            return train_state, sums["objective"]

        return jax.lax.scan(at_rate, train_state, (rates, batches))[1]

    return objectives


def _suggest(rates: np.ndarray, losses: np.ndarray, data: Any) -> float:
    with np.errstate(invalid="ignore", over="ignore"):
        smooth = np.lib.stride_tricks.sliding_window_view(losses, WINDOW).mean(-1)
    if not np.isfinite(smooth).any():
        cause = nonfinite_data("training", data)
        cure = "start from a smaller rate, or look for a logarithm or division in the model"
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
    data: Any,
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
            f"the range test expects a function of hparams that returns a train step, but got a "
            f"train step, whose learning rate is fixed; {CURE}"
        )
    if not 0 < smallest < largest < np.inf:
        raise RunError(
            f"the range test expects 0 < smallest < largest, but got {smallest} and {largest}; the "
            "defaults are 1e-6 and 10"
        )
    check_batch("the range test", data, batch_size)
    if steps < WINDOW:
        raise RunError(
            f"the range test expects at least {WINDOW} steps, but got {steps}; 100 is usual"
        )
