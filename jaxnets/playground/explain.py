"""Finds the operation that first gave an infinite number or NaN."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.inspect import first_nonfinite
from jaxnets.playground.network import make_step
from jaxnets.playground.options import Options
from jaxnets.playground.points import Points
from jaxnets.playground.programs import batch_at, order


def explain(
    options: Options, points: Points, hparams: Any, states: Any, seed: int, step: int
) -> str:
    """A sentence on that operation, found by repeating the step from the last finite state."""
    structure, size = options.structure, options.batch
    state = jax.tree.map(lambda leaf: leaf[seed], states)
    epoch, index = divmod(step, points.count // size)
    rows = order(jax.random.clone(state.key), jnp.int32(epoch), jnp.int32(points.count))
    x, y, hparams = jax.tree.map(jnp.asarray, (points.x, points.y, hparams))
    batch = batch_at(structure, rows, jnp.int32(index), x, y, jnp.int32(size))
    culprit = first_nonfinite(make_step(structure, hparams, len(options.hidden)), state, batch)
    where = "an operation that does not fail when the step is repeated alone"
    if culprit is not None:
        where = f"the operation {culprit.operation}"
        where += f" of layer {culprit.path}" if culprit.path else " outside the layers"
        where += ", in the backward pass" if culprit.backward else ""
    return (
        f"At step {step}, a value of seed {seed + options.seed} became infinite or NaN, first in "
        f"{where}. Its last finite state is shown. Lower the learning rate or the penalty."
    )
