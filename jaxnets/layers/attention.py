"""Attention: each position averages the values that the mask allows, weighted by similarity.

In every mask of this library, True means "may attend".
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer

from jaxnets.checks import as_integers
from jaxnets.dtypes import as_float, wide_dtype
from jaxnets.errors import LayerError
from jaxnets.layer import Array, Key, Layer, Params, State
from jaxnets.layers.channels import add_bias
from jaxnets.layers.checks import get_array
from jaxnets.layers.defaults import LECUN_NORMAL, ZEROS
from jaxnets.lowering.attention import causal_attention
from jaxnets.lowering.matmul import rows_matmul

_PROJECTIONS = ("query", "key", "value")


def dot_product_attention(
    query: Array, key: Array, value: Array, mask: Array | None = None
) -> Array:
    """The mean of the values, weighted by softmax(q . k / sqrt(d)) (Vaswani et al. 2017, eq. 1).

    Args:
      query: (batch, to, heads, d).
      key: (batch, from, heads, d).
      value: (batch, from, heads, d).
      mask: bool, of a shape that broadcasts to (batch, heads, to, from): True where position `to`
        may attend to position `from`; None allows all. A position that may attend to nothing
        gets 0, with finite gradients.

    Returns:
      (batch, to, heads, d); computed in float32 or wider, and rounded once.
    """
    query, key, value = map(as_float, (query, key, value))
    wide = wide_dtype(query.dtype)
    logits = jnp.einsum("bqhd,bkhd->bhqk", query, key, preferred_element_type=wide)
    logits *= query.shape[-1] ** -0.5
    if mask is not None:
        logits = jnp.where(mask, logits, -jnp.inf)
    largest = jax.lax.stop_gradient(logits.max(-1, keepdims=True, initial=-jnp.inf))
    weights = jnp.exp(logits - jnp.where(jnp.isneginf(largest), 0, largest))
    total = weights.sum(-1, keepdims=True)
    weights /= jnp.where(total == 0, 1, total)
    return jnp.einsum("bhqk,bkhd->bqhd", weights, value.astype(wide)).astype(value.dtype)


def attention(
    heads: int,
    *,
    causal: bool = False,
    cache: int | None = None,
    kernel_init: Initializer = LECUN_NORMAL,
    bias_init: Initializer = ZEROS,
) -> Layer:
    """Multi-head self-attention, from (batch, time, features) to the same shape.

    Params, as in Flax's `MultiHeadDotProductAttention`: `query`, `key` and `value`, each with
    `kernel` (features, heads, d) and `bias` (heads, d), where d = features / heads; `out` with
    `kernel` (heads, d, features) and `bias` (features,). Source: Vaswani et al. 2017, section
    3.2.2.

    With a `cache`, `apply` takes the next steps of a sequence, one or more at a time, and each
    attends to all steps so far; the params are the same. State: `key` and `value` (batch, cache,
    heads, d), and `index`, the number of steps so far. Steps beyond the cache give NaN.

    Args:
      heads: the number of heads, which must divide the features.
      causal: each step attends to itself and earlier steps only.
      cache: the greatest number of steps, for generation; it implies `causal`.
      kernel_init: initialises each kernel, as a matrix (features, features).
      bias_init: initialises the biases.

    Raises:
      LayerError: heads that do not divide the features, more steps than the cache has, or training
        with a cache.
    """
    name = f"attention({heads})"
    [heads] = as_integers(name, error=LayerError, heads=heads)
    if cache is not None:
        [cache] = as_integers(name, error=LayerError, cache=cache)

    def init_projection(key: Key, shape: tuple[int, ...], bias_shape: tuple[int, ...]) -> Params:
        kernel_key, bias_key = jax.random.split(key)
        features = math.prod(bias_shape)
        kernel = kernel_init(kernel_key, (features, features), jnp.float32)
        bias = bias_init(bias_key, (features,), jnp.float32)
        return {"kernel": kernel.reshape(shape), "bias": bias.reshape(bias_shape)}

    def init(key: Key, x: Any) -> tuple[Params, State]:
        features, _, d = _sizes(name, x, heads)
        *keys, out_key = jax.random.split(key, 4)
        params = {
            part: init_projection(part_key, (features, heads, d), (heads, d))
            for part, part_key in zip(_PROJECTIONS, keys, strict=True)
        }
        params["out"] = init_projection(out_key, (heads, d, features), (features,))
        return params, {} if cache is None else _empty_cache((x.shape[0], cache, heads, d))

    def apply(
        params: Params, state: State, x: Array, *, key: Key | None = None, train: bool = False
    ) -> tuple[Array, State]:
        del key
        x = as_float(x)
        q, k, v = _project(name, params, x, _sizes(name, x, heads))
        if cache is not None:
            read, state = _attend_to_cache(name, state, q, k, v, train)
        elif causal:
            read = causal_attention(dot_product_attention, q, k, v)
        else:
            read = dot_product_attention(q, k, v)
        y = rows_matmul(read.reshape(x.shape), params["out"]["kernel"].reshape(x.shape[-1], -1))
        return add_bias(y, params["out"]["bias"]), state

    return Layer(init, apply)


def _sizes(name: str, x: Any, heads: int) -> tuple[int, int, int]:
    """Features, heads and the features of a head."""
    if len(x.shape) != 3 or x.shape[-1] % heads or not x.shape[-1]:
        raise LayerError(
            f"{name} expects (batch, time, features) with features divisible by {heads} heads, "
            f"but got {x.shape}; add an axis, or choose another number of heads"
        )
    return x.shape[-1], heads, x.shape[-1] // heads


def _project(name: str, params: Params, x: Array, sizes: tuple[int, int, int]) -> list[Array]:
    """Queries, keys and values of all heads, each (batch, time, heads, d), by one matmul."""
    parts = [params[part] for part in _PROJECTIONS]
    features, heads, d = parts[0]["kernel"].shape
    if (features, heads, d) != sizes:
        raise LayerError(
            f"{name} expects {features} features for {heads} heads, but got {x.shape} for "
            f"{sizes[1]}; call init with this input"
        )
    kernel = jnp.concatenate([part["kernel"].reshape(features, -1) for part in parts], axis=1)
    bias = jnp.concatenate([part["bias"].reshape(-1) for part in parts])
    y = add_bias(rows_matmul(x.astype(kernel.dtype), kernel), bias)
    return jnp.split(y.reshape(*x.shape[:2], 3 * heads, d), 3, axis=2)


def _empty_cache(shape: tuple[int, ...]) -> State:
    """A cache of this shape, (batch, steps, heads, d), before its first step."""
    return {"key": jnp.zeros(shape), "value": jnp.zeros(shape), "index": jnp.int32(0)}


def _attend_to_cache(
    name: str, state: State, q: Array, k: Array, v: Array, train: bool
) -> tuple[Array, State]:
    """Attention of new steps to all steps so far, and the state with the new steps."""
    start = get_array(name, state, "index", "state")
    steps, size = q.shape[1], state["key"].shape[1]
    if train:
        raise LayerError(
            f"{name} with a cache cannot be trained; train the model without one, which has the "
            "same params"
        )
    if steps > size or len(q) != len(state["key"]):
        raise LayerError(
            f"{name} has a cache of {size} steps for a batch of {len(state['key'])}, but got "
            f"{steps} steps for {len(q)}; call init with this batch, and a larger cache"
        )
    keys, values = (
        jax.lax.dynamic_update_slice(state[part], new.astype(state[part].dtype), (0, start, 0, 0))
        for part, new in (("key", k), ("value", v))
    )
    mask = jnp.arange(size)[None] <= start + jnp.arange(steps)[:, None]
    y = dot_product_attention(q, keys.astype(q.dtype), values.astype(q.dtype), mask[None, None])
    y = jnp.where(start + steps <= size, y, jnp.nan)
    return y, {"key": keys, "value": values, "index": start + steps}
