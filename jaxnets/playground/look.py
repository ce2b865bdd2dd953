"""What the page shows of networks: losses, accuracies, and maps of their outputs."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnets.layer import Array
from jaxnets.playground.network import Model, logits, loss
from jaxnets.playground.options import CLASSES, POINTS, Structure
from jaxnets.training import TrainState


class Maps(NamedTuple):
    """Where the networks are evaluated.

    Attributes:
      x: the points, (500, 8).
      y: their labels, (500, 1).
      small: the inputs of the small maps.
      large: the inputs of the large map.
      counts: the points for training, and all of them, int32 (2,).
    """

    x: Any
    y: Any
    small: Any
    large: Any
    counts: Any


def look(
    structure: Structure, states: TrainState, hparams: Any, inputs: Maps, chosen: Array
) -> dict[str, Any]:
    """What a frame shows; maps are bytes, see `to_bytes` and `to_class`.

    Args:
      structure: what is compiled.
      states: of each seed.
      hparams: of all seeds.
      inputs: where they are evaluated.
      chosen: the number of the network on view.
    """
    model, cells = Model(structure, hparams), len(inputs.small)

    def outputs(variables: Any, x: Array) -> tuple[Array, Array]:
        params, model_state = variables
        outputs, hidden, _ = model.forward(params, model_state, x)
        return outputs, hidden

    variables = (states.params, states.model_state)
    places = jnp.concatenate([inputs.x, inputs.small])
    every, _ = jax.vmap(outputs, (0, None))(variables, places)
    one = jax.tree.map(lambda leaf: leaf[chosen], variables)
    both, hidden = outputs(one, jnp.concatenate([inputs.small, inputs.large]))
    features = jnp.where(hparams["features"], inputs.small, 0).T
    units = jnp.concatenate([features[None], hidden[:, :cells].swapaxes(1, 2)])
    values = _values(hparams, every[:, POINTS:])  # (seeds, cells, 10)
    return {
        "scores": jax.vmap(lambda out: _score(hparams, inputs, out))(every[:, :POINTS]).T,
        "units": to_bytes(jnp.tanh(units)),
        "outputs": to_bytes(jnp.roll(values[chosen], -_first(hparams), 1).T),
        "params": one[0],
    } | _maps(hparams, values, _values(hparams, both[cells:]))


def _maps(hparams: Any, values: Array, large: Array) -> dict[str, Array]:
    """The maps of outputs, which are coloured together, so that less is compiled."""
    several, sizes = hparams["outputs"].sum() > 1, [values[..., 0].size, values.shape[1]]
    cells = jnp.concatenate([values.reshape(-1, CLASSES), values.mean(0), large])
    shown = to_bytes(jnp.take(cells, _first(hparams), 1))
    shown = jnp.where(several, to_class(cells, hparams["outputs"]), shown)
    seeds, mean, large = jnp.split(shown, [sizes[0], sum(sizes)])
    # Of two classes, sqrt(sum of variances / 2) is the standard deviation of the value of one.
    variances = jnp.where(hparams["outputs"], values.var(0), 0).sum(1)
    spread = jnp.sqrt(jnp.where(several, variances / 2, variances))
    disagreement = to_bytes(2 * spread - 1)
    return {"seeds": seeds, "mean": mean, "large": large, "disagreement": disagreement}


def _values(hparams: Any, outputs: Array) -> Array:
    """Values to show: 2 p - 1 for each class probability p; in a regression, the outputs."""
    probabilities = jax.nn.softmax(logits(hparams, outputs))
    return jnp.where(hparams["regression"], outputs, 2 * probabilities - 1)


def _first(hparams: Any) -> Array:
    """The column of `_values` to show: 1 for two classes, the probability of class 1; else 0."""
    return jnp.where(hparams["regression"] | (hparams["outputs"].sum() > 1), 0, 1)


def _score(hparams: Any, inputs: Maps, outputs: Array) -> Array:
    """The losses of the training and the test part, then the accuracies, (4,)."""
    right = logits(hparams, outputs).argmax(1) == inputs.y[:, 0]
    measured = jnp.stack([loss(hparams, outputs, inputs.y), right.astype(jnp.float32)])
    rows, (count, total) = jnp.arange(POINTS), inputs.counts
    parts = jnp.stack([rows < count, (rows >= count) & (rows < total)])
    return (jnp.where(parts, measured[:, None], 0).sum(2) / parts.sum(1)[None]).reshape(4)


def to_class(values: Array, used: Array) -> Array:
    """The most probable class, and its margin over chance (0 to 24), as 25 * class + margin."""
    best = values.argmax(-1)
    chance = 2 / used.sum() - 1
    lead = jnp.clip((values.max(-1) - chance) / (1 - chance), 0, 1)
    return (25 * best + jnp.where(jnp.isnan(lead), 0, 24 * lead)).astype(jnp.uint8)


def to_bytes(values: Array) -> Array:
    """Numbers from -1 to 1 as 0 to 255; NaN as 127."""
    scaled = jnp.clip(127.5 * (1 + values), 0, 255)
    return jnp.where(jnp.isnan(values), 127, scaled).astype(jnp.uint8)
