"""Position embeddings: attention itself does not depend on the order of the steps."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax.nn.initializers import Initializer, normal

from jaxnets.checks import as_integers
from jaxnets.dtypes import as_float, wide_dtype
from jaxnets.errors import LayerError
from jaxnets.layer import Array, Key, Layer, Params, State
from jaxnets.layers.checks import get_array
from jaxnets.named import Named

NORMAL = Named("normal(0.02)", normal(0.02))


def learned_positions(
    length: int, *, cache: bool = False, embedding_init: Initializer = NORMAL
) -> Layer:
    """Adds a learned vector per step to (batch, time, features).

    Params: `embedding` (length, features), whose dtype the output has. With a `cache`, the steps
    continue those of the last call, as for `attention`; state: `index`, the number of steps so far.
    A step beyond the length gives NaN.

    Raises:
      LayerError: `length` is not a positive integer, or the input has more steps.
    """
    name = f"learned_positions({length})"
    [length] = as_integers(name, error=LayerError, length=length)

    def expect_steps(x: Any) -> None:
        _expect_sequence(name, x)
        if x.shape[1] > length:
            raise LayerError(f"{name} expects at most {length} steps, but got {x.shape}; cut it")

    def init(key: Key, x: Any) -> Params:
        expect_steps(x)
        return {"embedding": embedding_init(key, (length, x.shape[-1]), jnp.float32)}

    def vectors(params: Params, x: Array, steps: Array) -> Array:
        expect_steps(x)
        table = get_array(name, params, "embedding")
        wide = table.astype(wide_dtype(table.dtype))
        return wide.at[steps].get(mode="fill", fill_value=jnp.nan)

    return _positions(init, vectors, cache)


def sinusoidal_positions(*, cache: bool = False, period: float = 10_000.0) -> Layer:
    """Adds sines and cosines of the step to (batch, time, features).

    Feature 2i is sin(t / period^(2i / features)), and feature 2i + 1 the cosine of the same.
    Source: Vaswani et al. 2017, section 3.5. With a `cache`, as for `learned_positions`.
    """

    def init(key: Key, x: Any) -> Params:
        del key
        _expect_sequence("sinusoidal_positions", x)
        return {}

    def vectors(params: Params, x: Array, steps: Array) -> Array:
        del params
        _expect_sequence("sinusoidal_positions", x)
        feature = jnp.arange(x.shape[-1])
        angle = steps[:, None] / period ** (feature // 2 * 2 / x.shape[-1])[None]
        return jnp.where(feature[None] % 2, jnp.cos(angle), jnp.sin(angle))

    return _positions(init, vectors, cache)


def _positions(
    init_params: Callable[[Key, Any], Params],
    vectors: Callable[[Params, Array, Array], Array],
    cache: bool,
) -> Layer:
    """A layer that adds the vectors of the input's steps, (time, features)."""

    def init(key: Key, x: Any) -> tuple[Params, State]:
        return init_params(key, x), ({"index": jnp.int32(0)} if cache else {})

    def apply(
        params: Params, state: State, x: Array, *, key: Key | None = None, train: bool = False
    ) -> tuple[Array, State]:
        del key, train
        x = as_float(x)
        steps = jnp.arange(x.shape[1]) + (
            get_array("positions", state, "index", "state") if cache else 0
        )
        y = x + vectors(params, x, steps)[None]
        y = y.astype(params["embedding"].dtype if params else x.dtype)
        return y, ({"index": state["index"] + x.shape[1]} if cache else state)

    return Layer(init, apply)


def _expect_sequence(name: str, x: Any) -> None:
    if len(x.shape) != 3:
        raise LayerError(f"{name} expects (batch, time, features), but got {x.shape}")
