"""Ways to convolve on a CPU beside each other, by taps and channels: what the choice rests on.

python -m experiments.bench.convolutions --out experiments/results/convolutions.json

Each way makes the output and both gradients of a batch of images, many times in one compiled loop,
as training does. The ways take turns; the first round is not counted. The table that chooses is
`jaxnets.lowering.dispatch`: its `FEWEST_CHANNELS` is where Cook and Toom begin to win.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments import common
from experiments.bench.spread import ratio, spread
from experiments.bench.ways import in_turn, told, write
from jaxnets import lowering
from jaxnets.lowering import cook_toom, hwnc


@dataclass(frozen=True)
class Config:
    """Ways to convolve, timed."""

    batch_size: int = 128
    """Images."""
    rounds: int = 5
    """Rounds that are counted, of every way in turn."""
    out: Path | None = None
    """The JSON file to write, if any."""


class Shape(NamedTuple):
    """A convolution of square images, padded as "SAME"."""

    taps: int
    extent: int
    channels: int
    features: int


TIMES = 10  # a round
# The layers of small networks, from few channels to many.
SHAPES = [
    Shape(taps, extent, channels, 2 * max(channels, 8))
    for taps in (3, 5)
    for extent, channels in ((28, 1), (28, 3), (28, 4), (14, 8), (14, 16), (14, 32), (7, 64))
]


def outside(x: jax.Array, kernel: jax.Array, padding: Any) -> jax.Array:
    """As a layer by itself convolves, (batch, height, width, channels)."""
    return lowering.conv(x, kernel, (1, 1), padding, (1, 1), 1)


WAYS: dict[str, tuple[Callable[..., jax.Array], bool]] = {  # and whether the batch is inside
    "Cook and Toom": (cook_toom.cook_toom_conv, True),
    "patches": (hwnc.hwnc_patches_conv, True),
    "patches, batch outside": (outside, False),
}


def loop(way: str, shape: Shape, batch_size: int) -> Callable[[], Any]:
    """A compiled loop of `TIMES` outputs and gradients."""
    convolve, is_inside = WAYS[way]
    side = shape.taps // 2
    padding = ((side, side),) * 2
    extents = (shape.extent, shape.extent)
    images = (*extents, batch_size) if is_inside else (batch_size, *extents)
    first, second = jax.random.split(jax.random.key(0))
    x = jax.random.normal(first, (*images, shape.channels))
    kernel = jax.random.normal(second, (shape.taps, shape.taps, shape.channels, shape.features))
    needs_dx = shape.channels > 3  # the gradient for the images themselves is nobody's

    @jax.jit
    def run(x: jax.Array, kernel: jax.Array) -> Any:
        def step(_: int, carry: Any) -> Any:
            x, kernel = carry
            y, back = jax.vjp(partial(convolve, padding=padding), x, kernel)
            dx, dkernel = back(jnp.tanh(y))
            # other images in every step, lest what is made of them be made once for all steps
            x = x - 1e-6 * (dx if needs_dx else y[0, 0, 0, 0])
            return x, kernel - 1e-6 * dkernel

        return jax.lax.fori_loop(0, TIMES, step, (x, kernel))

    return lambda: jax.block_until_ready(run(x, kernel))


def compared(shape: Shape, config: Config) -> dict[str, Any]:
    """Milliseconds of each way, the ways in turn."""
    loops = {way: loop(way, shape, config.batch_size) for way in WAYS}
    taken = in_turn(loops, rounds=config.rounds, times=TIMES)
    return {
        "milliseconds": {way: spread(values) for way, values in taken.items()},
        "Cook and Toom times faster than patches": ratio(taken["patches"], taken["Cook and Toom"]),
    }


def main(config: Config) -> None:
    """Time all shapes, print a line each, and write them where `out` says."""
    found = []
    for shape in SHAPES:
        one = compared(shape, config)
        size = f"{shape.taps} x {shape.taps}, {shape.channels} to {shape.features} channels"
        print(f"{size} at {shape.extent} x {shape.extent}: {told(one['milliseconds'])}", flush=True)
        found.append({**shape._asdict(), **one})
    write(config.out, {"batch_size": config.batch_size, "shapes": found})


if __name__ == "__main__":
    common.main(main, Config, keep_compiled=False)
