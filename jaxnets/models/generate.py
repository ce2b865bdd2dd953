"""Generation: samples the continuation of a prompt from a causal model with a cache."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.checks import as_integers, check_not_negative, check_range
from jaxnets.errors import LayerError
from jaxnets.keys import stream
from jaxnets.layer import Array, Key, Layer, Params

_CACHES = {"key", "value", "index"}


def generate(
    model: Layer,
    params: Params,
    prompt: Any,
    steps: int,
    *,
    key: Key,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float = 1.0,
) -> Array:
    """Sample the next tokens of each prompt, in one compiled program.

        model = models.gpt(vocabulary, 256)  # train this one
        decoder = models.gpt(vocabulary, 256, cache=256)  # the same params
        tokens = models.generate(decoder, params, prompt, 100, key=jax.random.key(0))

    Args:
      model: from token indices (batch, time) to logits (batch, time, vocabulary), with a cache that
        has room for the prompt and the steps.
      params: its params.
      prompt: token indices (batch, time), at least one.
      steps: tokens to sample.
      key: a random key.
      temperature: divides the logits; 0 takes the most probable token.
      top_k: sample from the k most probable tokens only.
      top_p: sample from the fewest most probable tokens that together have at least this
        probability (Holtzman et al. 2020, "The curious case of neural text degeneration").

    Returns:
      The sampled tokens, int32 (batch, steps).

    Raises:
      LayerError: a model without a cache or with other state, an empty prompt, or an argument out
        of its range.
    """
    [steps] = as_integers("generate", error=LayerError, steps=steps)
    if top_k is not None:
        [top_k] = as_integers("generate", error=LayerError, top_k=top_k)
    check_not_negative("generate", error=LayerError, temperature=temperature)
    check_range("generate", 0, 1, error=LayerError, top_p=top_p)
    prompt = jnp.asarray(prompt)
    if prompt.ndim != 2 or not prompt.shape[1]:
        raise LayerError(
            f"generate expects a prompt (batch, time) of at least one token, but got {prompt.shape}"
        )
    return _generate(model, params, prompt, steps, key, temperature, top_k, top_p)


@partial(jax.jit, static_argnums=(0, 3, 6))
def _generate(
    model: Layer,
    params: Params,
    prompt: Array,
    steps: int,
    key: Key,
    temperature: Array,
    top_k: int | None,
    top_p: Array,
) -> Array:
    logits, caches = model.apply(params, _empty_caches(model, prompt), prompt)

    def step(carry: tuple[Array, Any], t: Array) -> tuple[tuple[Array, Any], Array]:
        logits, caches = carry
        token = sample(stream(key, "token", t), logits, temperature, top_k, top_p)
        logits, caches = model.apply(params, caches, token[:, None])
        return (logits[:, -1], caches), token

    _, tokens = jax.lax.scan(step, (logits[:, -1], caches), jnp.arange(steps))
    return tokens.T


def sample(key: Key, logits: Array, temperature: Any, top_k: int | None, top_p: Any) -> Array:
    """One token for each row of logits (batch, vocabulary), int32 (batch,); see `generate`."""
    scaled = logits / jnp.where(temperature == 0, 1, temperature)
    ordered = -jnp.sort(-scaled, axis=-1)
    if top_k is not None:
        smallest = ordered[:, min(top_k, logits.shape[-1]) - 1, None]
        scaled = jnp.where(scaled < smallest, -jnp.inf, scaled)
        ordered = jnp.where(ordered < smallest, -jnp.inf, ordered)
    probability = jax.nn.softmax(ordered)
    before = jnp.cumsum(probability, axis=-1) - probability  # that of all more probable tokens
    least = jnp.where((before < top_p) | (before == 0), ordered, jnp.inf).min(-1, keepdims=True)
    drawn = jax.random.categorical(key, jnp.where(scaled < least, -jnp.inf, scaled))
    return jnp.where(temperature == 0, logits.argmax(-1), drawn).astype(jnp.int32)


def _empty_caches(model: Layer, prompt: Array) -> Any:
    """The model's initial state, which is 0 in caches, without drawing its params."""
    _, state = jax.eval_shape(model.init, jax.random.key(0), prompt)
    names = {path[-1].key for path, _ in jax.tree.leaves_with_path(state)}
    if not names or names - _CACHES:
        raise LayerError(
            f"generate expects a model whose only state is a cache, but got {sorted(names)}; make "
            "it with a cache, as in models.gpt(..., cache=256)"
        )
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state)
