"""Compiles functions that draw initial values: keys are derived first, the rest is one program.

On a CPU, a key that is derived inside a program takes nine kernels, and the random bits of an array
ten. ResNet-50 would have 1,403 kernels, and compiling them takes many times longer than the rest.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer

from jaxnets.jaxpr.walk import Operation, Walk, compute
from jaxnets.layer import Array, Key

# It runs once, for milliseconds: to optimize it in full would take longer than it saves.
OPTIONS = {"xla_backend_optimization_level": 1}
UNKNOWN = object()  # while keys are derived: what depends on more than keys and constants
DERIVED = object()  # in the program: a key that has been derived before


class KeysFirst:
    """`jax.jit(function)` that compiles faster, for random initial values; bit for bit the same.

    The operations that derive keys from the keys of the arguments run one at a time, each compiled
    once for all keys. The others are one program. The arguments must not be traced.
    """

    def __init__(self, function: Callable[..., Any]):
        self._jitted = jax.jit(function)
        self._program = cache(_program)  # per jaxpr, which `jax.jit` caches

    def eval_shape(self, *arguments: Any) -> Any:
        """The shapes and dtypes of the results."""
        return self._jitted.eval_shape(*arguments)

    def __call__(self, *arguments: Any) -> Any:
        """The results of the function."""
        traced = self._jitted.trace(*arguments)
        inputs, keys = jax.tree.leaves(arguments), []

        def derive(operation: Operation, operands: list[Any]) -> Sequence[Any]:
            if _derives_keys(operation, operands):
                return compute(operation, operands)
            keys.extend(filter(_is_key, operands))
            return [UNKNOWN] * len(operation.eqn.outvars)

        outputs = Walk(derive)(traced.jaxpr, [x if _is_key(x) else UNKNOWN for x in inputs])
        values = iter(self._program(traced.jaxpr)(keys, inputs))
        outputs = [x if _is_key(x) else next(values) for x in outputs]
        return jax.tree.unflatten(jax.tree.structure(traced.out_info), outputs)


def _program(jaxpr: Any) -> Callable[[list[Key], list[Any]], list[Array]]:
    """The program of all but the derivation of keys: from the keys it needs, and the inputs."""

    def initial_values(keys: list[Key], inputs: list[Any]) -> list[Array]:
        derived = iter(keys)

        def visit(operation: Operation, operands: list[Any]) -> Sequence[Any]:
            if _derives_keys(operation, operands):
                return [DERIVED] * len(operation.eqn.outvars)
            values = [next(derived) if x is DERIVED else x for x in operands]
            if operation.name == "random_bits" and operands[0] is DERIVED:
                return [_random_bits(operation, values[0])]
            return compute(operation, values)

        walk = Walk(visit, constant=lambda value, aval: DERIVED if _is_key(aval) else value)
        outputs = walk(jaxpr, [DERIVED if _is_key(x) else x for x in inputs])
        return [x for x in outputs if x is not DERIVED]

    return jax.jit(initial_values, compiler_options=OPTIONS)


def _is_key(x: Any) -> bool:
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _derives_keys(operation: Operation, operands: list[Any]) -> bool:
    """Whether it only derives keys, from keys that are known and from constants."""
    known = not any(x is UNKNOWN or isinstance(x, Tracer) for x in operands)
    return known and all(_is_key(var.aval) for var in operation.eqn.outvars)


def _random_bits(operation: Operation, key: Key) -> Array:
    """The operation's bits, without a loop where that compiles faster; GPUs have a kernel."""
    bit_width, shape = (operation.eqn.params[name] for name in ("bit_width", "shape"))
    config: Any = jax.config
    is_threefry = jax.random.key_impl(key) == "threefry2x32"
    is_threefry = is_threefry and config.jax_threefry_partitionable
    fits = key.shape == () and bit_width == 32 and math.prod(shape) < 2**32
    if jax.default_backend() == "cpu" and is_threefry and fits:
        return threefry_bits(key, shape)
    return compute(operation, [key])[0]


def threefry_bits(key: Key, shape: tuple[int, ...]) -> Array:
    """`jax.random.bits(key, shape)` without a loop: one kernel, which compiles faster.

    Encrypts each position with the key, by 20 rounds of Threefry-2x32, and combines both halves of
    the result by xor. Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3".
    """
    first, second = jax.random.key_data(key)
    schedule = (first, second, first ^ second ^ jnp.uint32(0x1BD11BDA))
    position = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    a, b = jnp.broadcast_to(first, shape), position + second
    for group in range(5):
        for rotation in ((13, 15, 26, 6), (17, 29, 16, 24))[group % 2]:
            a = a + b
            b = a ^ (b << jnp.uint32(rotation) | b >> jnp.uint32(32 - rotation))
        a = a + schedule[(group + 1) % 3]
        b = b + schedule[(group + 2) % 3] + jnp.uint32(group + 1)
    return a ^ b
