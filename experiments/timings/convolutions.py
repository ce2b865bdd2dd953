"""Implementations of convolution on a CPU, by taps and channels: the basis of the dispatch table.

python -m experiments.timings.convolutions
python -m experiments.timings.convolutions --out experiments/results/convolutions.json

Each implementation computes the output and both gradients of a batch of images, many times in one
compiled loop, as training does. They take turns; the first round is not counted. The dispatch table
is in `jaxnets.lowering.dispatch`: from `FEWEST_CHANNELS` on, Cook-Toom is faster.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments import command_line
from experiments.timings import turns
from experiments.timings.turns import describe, in_turn, ratio, seconds, summary
from jaxnets import lowering
from jaxnets.lowering import cook_toom, hwnc


@dataclass(frozen=True)
class Config(turns.Config):
    """Implementations of convolution, timed."""

    batch_size: int = 128
    """Images per batch."""
    rounds: int = 5
    """Rounds that are counted."""


class Shape(NamedTuple):
    """A convolution of square images, padded as "SAME"."""

    taps: int
    extent: int
    channels: int
    features: int


TIMES = 10  # per round
# The layers of small networks, from few channels to many.
SHAPES = [
    Shape(taps, extent, channels, 2 * max(channels, 8))
    for taps in (3, 5)
    for extent, channels in ((28, 1), (28, 3), (28, 4), (14, 8), (14, 16), (14, 32), (7, 64))
]


def nhwc_patches_conv(x: jax.Array, kernel: jax.Array, padding: Any) -> jax.Array:
    """The convolution of a single layer, (batch, height, width, channels)."""
    return lowering.conv(x, kernel, (1, 1), padding, (1, 1), 1)


IMPLEMENTATIONS: dict[str, tuple[Callable[..., jax.Array], bool]] = {  # and whether it is HWNC
    "Cook and Toom": (cook_toom.cook_toom_conv, True),
    "patches": (hwnc.hwnc_patches_conv, True),
    "patches, batch outside": (nhwc_patches_conv, False),
}


def loop(name: str, shape: Shape, batch_size: int) -> Callable[[], Any]:
    """A compiled loop of `TIMES` outputs and gradients."""
    convolve, is_hwnc = IMPLEMENTATIONS[name]
    side = shape.taps // 2
    padding = ((side, side),) * 2
    extents = (shape.extent, shape.extent)
    images = (*extents, batch_size) if is_hwnc else (batch_size, *extents)
    first, second = jax.random.split(jax.random.key(0))
    x = jax.random.normal(first, (*images, shape.channels))
    kernel = jax.random.normal(second, (shape.taps, shape.taps, shape.channels, shape.features))
    needs_dx = shape.channels > 3  # the gradient with respect to the images is not needed

    @jax.jit
    def run(x: jax.Array, kernel: jax.Array) -> Any:
        def step(_: int, carry: Any) -> Any:
            x, kernel = carry
            y, back = jax.vjp(partial(convolve, padding=padding), x, kernel)
            dx, dkernel = back(jnp.tanh(y))
            # other images in every step, so that XLA cannot hoist computations out of the loop
            x = x - 1e-6 * (dx if needs_dx else y[0, 0, 0, 0])
            return x, kernel - 1e-6 * dkernel

        return jax.lax.fori_loop(0, TIMES, step, (x, kernel))

    return lambda: jax.block_until_ready(run(x, kernel))


def compare(shape: Shape, config: Config) -> dict[str, Any]:
    """Milliseconds of the implementations, which take turns."""
    loops = {name: loop(name, shape, config.batch_size) for name in IMPLEMENTATIONS}
    times = in_turn({name: partial(seconds, run) for name, run in loops.items()}, config.rounds)
    milliseconds = {name: [1000 * s / TIMES for s in values] for name, values in times.items()}
    return {
        "milliseconds": {name: summary(values) for name, values in milliseconds.items()},
        "Cook and Toom times faster than patches": ratio(times["patches"], times["Cook and Toom"]),
    }


def main(config: Config) -> None:
    """Time all shapes, print a line for each, and write the result."""
    shapes = []
    for shape in SHAPES:
        times = compare(shape, config)
        size = f"{shape.taps} x {shape.taps}, {shape.channels} to {shape.features} channels"
        print(
            f"{size} at {shape.extent} x {shape.extent}: {describe(times['milliseconds'])}",
            flush=True,
        )
        shapes.append({**shape._asdict(), **times})
    turns.write("convolutions", config.out, {"batch_size": config.batch_size, "shapes": shapes})


if __name__ == "__main__":
    command_line.main(main, Config, keep_compiled=False)
