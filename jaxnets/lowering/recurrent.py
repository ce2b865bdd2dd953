"""LSTM and GRU, each with a forward and a backward pass of its own on CPU.

`lax.platform_dependent` chooses when the program is lowered, as for convolution; if the default
backend is not a CPU, the plain functions are called, whose backward pass needs no recomputation.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.layer import Array
from jaxnets.lowering.cpu_gru import gru_backward, gru_forward
from jaxnets.lowering.cpu_lstm import lstm_backward, lstm_forward
from jaxnets.lowering.plain_context import needs_plain
from jaxnets.lowering.plain_recurrent import Arrays, plain_gru, plain_lstm

# With fewer units, the plain scan is as fast or faster (experiments.bench.recurrent).
FEWEST_UNITS, FEWEST_GRU_UNITS = 64, 256


def with_cpu_passes(plain: Callable, forward: Callable, backward: Callable) -> Callable:
    """The function `plain(x, weights, carry, mask)`, with other passes on CPU.

    Args:
      plain: for other platforms, for derivatives of the backward pass, and for tools that read a
        program.
      forward: `forward(x, weights, carry, mask)` returns the result and what `backward` needs.
      backward: `backward(weights, mask, saved, cotangents)` returns the gradients for x, the
        weights and the carry.
    """
    gradients = _gradients(plain, backward)

    def default(x: Any, weights: Arrays, carry: Arrays, mask: Any) -> Any:
        saved = jax.eval_shape(forward, x, weights, carry, mask)[1]  # not used
        return plain(x, weights, carry, mask), jax.tree.map(_zeros, saved)

    @jax.custom_vjp
    def with_saved(inputs: Any, mask: Any) -> Any:
        return lax.platform_dependent(*inputs, mask, cpu=forward, default=default)

    def with_saved_forward(inputs: Any, mask: Any) -> Any:
        y, saved = with_saved(inputs, mask)
        return (y, saved), (inputs, mask, saved)

    def with_saved_backward(kept: tuple, cotangents: tuple) -> Any:
        return gradients(*kept, cotangents[0]), None  # `saved` follows from the inputs

    with_saved.defvjp(with_saved_forward, with_saved_backward)
    return lambda x, weights, carry, mask: with_saved((x, weights, carry), mask)[0]


def _gradients(plain: Callable, backward: Callable) -> Callable:
    """`gradients(inputs, mask, saved, cotangents)`, with inputs (x, weights, carry)."""

    def plain_gradients(inputs: Any, mask: Any, cotangents: Any) -> Any:
        return jax.vjp(lambda *inputs: plain(*inputs, mask), *inputs)[1](cotangents)

    def on_cpu(inputs: Any, mask: Any, saved: Any, cotangents: Any) -> Any:
        return backward(inputs[1], mask, saved, cotangents)

    def default(inputs: Any, mask: Any, saved: Any, cotangents: Any) -> Any:
        del saved
        return plain_gradients(inputs, mask, cotangents)

    @jax.custom_vjp
    def gradients(*arguments: Any) -> Any:
        return lax.platform_dependent(*arguments, cpu=on_cpu, default=default)

    def gradients_backward(kept: tuple, second: Any) -> Any:
        inputs, mask, saved, cotangents = kept
        _, pull = jax.vjp(lambda i, c: plain_gradients(i, mask, c), inputs, cotangents)
        by_inputs, by_cotangents = pull(second)
        return by_inputs, None, jax.tree.map(jnp.zeros_like, saved), by_cotangents

    gradients.defvjp(lambda *arguments: (gradients(*arguments), arguments), gradients_backward)
    return gradients


def _zeros(spec: Any) -> Array:
    return jnp.zeros(spec.shape, spec.dtype)


_lstm = with_cpu_passes(plain_lstm, lstm_forward, lstm_backward)
_gru = with_cpu_passes(plain_gru, gru_forward, gru_backward)


def lstm(
    x: Array, weights: Arrays, carry: Arrays, mask: Array | None = None, kept: Array | None = None
) -> tuple[Arrays, Array]:
    """`plain_lstm`, by the fastest implementation."""
    if _is_plain(x, carry, kept, FEWEST_UNITS):
        return plain_lstm(x, weights, carry, mask, kept)
    return _lstm(x, weights, carry, mask)


def gru(
    x: Array, weights: Arrays, carry: Arrays, mask: Array | None = None, kept: Array | None = None
) -> tuple[Arrays, Array]:
    """`plain_gru`, by the fastest implementation."""
    if _is_plain(x, carry, kept, FEWEST_GRU_UNITS):
        return plain_gru(x, weights, carry, mask, kept)
    return _gru(x, weights, carry, mask)


def _is_plain(x: Array, carry: Arrays, kept: Array | None, fewest: int) -> bool:
    few = needs_plain(x) or carry[0].shape[-1] < fewest or 0 in x.shape
    return kept is not None or few or jax.default_backend() != "cpu"
