"""A table of vectors, looked up by integer."""

from typing import Any

import jax.numpy as jnp
from jax.nn.initializers import Initializer, variance_scaling

from jaxnets.layer import Array, Key, Layer, LayerError, Params, State
from jaxnets.layers.checks import own, positive


def embedding(
    vocabulary: int,
    features: int,
    *,
    embedding_init: Initializer = variance_scaling(1.0, "fan_in", "normal", out_axis=0),
) -> Layer:
    """Row x of a learned table: from integers (...) to (..., features).

    Params: `embedding` (vocabulary, features). An index outside the table gives NaN, never the
    row of a neighbour.

    Raises:
      LayerError: a size that is no positive integer, or an input that is not of integers.
    """
    name = f"embedding({vocabulary}, {features})"
    positive(name, vocabulary=vocabulary, features=features)

    def init(key: Key, x: Any) -> tuple[Params, State]:
        _expect_integers(x)
        return {"embedding": embedding_init(key, (vocabulary, features), jnp.float32)}, {}

    def apply(
        params: Params, state: State, x: Array, *, key: Key | None = None, train: bool = False
    ) -> tuple[Array, State]:
        del key, train
        _expect_integers(x)
        x = jnp.asarray(x, jnp.int32)  # a byte can neither be compared with 256 nor become it
        inside = (x >= 0) & (x < vocabulary)
        rows = jnp.where(inside, x, vocabulary)  # past the end, where mode="fill" gives NaN
        return own(name, params, "embedding").at[rows].get(mode="fill", fill_value=jnp.nan), state

    def _expect_integers(x: Any) -> None:
        if not jnp.issubdtype(x.dtype, jnp.integer):
            raise LayerError(
                f"{name} expects integers but got {x.dtype}; "
                f"pass token indices, as in x.astype(jnp.int32)"
            )

    return Layer(init, apply)
