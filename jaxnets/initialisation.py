"""Compiles functions that draw initial values: one kernel draws for all arrays of a model.

Compiled as it stands, ResNet-50's `init` has 1,403 kernels for its random numbers, and compiling
them takes many times longer than running them: on CPU, deriving a key inside a program compiles to
nine kernels, and drawing an array's random bits to ten.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr
from jax.interpreters.partial_eval import dce_jaxpr

from jaxnets.draws import Cut, Formula, Size, draw, finish, formula_of, size_of
from jaxnets.jaxpr.walk import CALLS, Operation, Walk, compute
from jaxnets.layer import Array, Key

UNKNOWN = object()  # in the first pass: a placeholder for anything but keys and constants
DERIVED = object()  # in the last pass: a placeholder for a key that the first pass derived
INLINED = tuple(name for name in CALLS if name != "jit")  # a jitted call may be a draw


class KeysFirst:
    """`jax.jit(function)` that compiles faster, for random initial values; draws the same bits.

    First, the operations that derive keys from the keys of the arguments run one at a time, each
    compiled once for all keys. Then what `jax.random` draws by the same formula, such as the
    kernels of a model, is drawn together, by a program for all models. The rest is one program. The
    arguments must not be traced.
    """

    def __init__(self, function: Callable[..., Any]):
        self._jitted = jax.jit(function)
        self._program = cache(_Program)  # per jaxpr, which `jax.jit` caches

    def eval_shape(self, *arguments: Any) -> Any:
        """The shapes and dtypes of the results."""
        return self._jitted.eval_shape(*arguments)

    def __call__(self, *arguments: Any) -> Any:
        """The results of the function."""
        traced = self._jitted.trace(*arguments)
        outputs = self._program(traced.jaxpr)(jax.tree.leaves(arguments))
        return jax.tree.unflatten(jax.tree.structure(traced.out_info), outputs)


class _Program:
    """Evaluates a jaxpr without its dead code: first the keys, then the draws, then the rest."""

    def __init__(self, jaxpr: ClosedJaxpr):
        needed, self._used = dce_jaxpr(jaxpr.jaxpr, [True] * len(jaxpr.jaxpr.outvars))
        self._jaxpr = ClosedJaxpr(needed, jaxpr.consts)
        self._rest = jax.jit(self._evaluate_rest)

    def __call__(self, inputs: Sequence[Any]) -> list[Any]:
        inputs = [x for x, used in zip(inputs, self._used, strict=True) if used]
        keys: list[Key] = []  # those that the rest needs
        draws: dict[Formula, list[tuple[Key, Size]]] = defaultdict(list)

        def derive(operation: Operation, operands: list[Any]) -> Sequence[Any]:
            if _derives_keys(operation, operands):
                return compute(operation, operands)
            if formula := _formula(operation, operands):
                draws[formula].append((operands[0], size_of(operation)))
            elif operation.name == "jit":
                return walk(operation.eqn.params["jaxpr"], operands, operation.stack, operation)
            else:
                keys.extend(filter(_is_key, operands))
            return [UNKNOWN] * len(operation.eqn.outvars)

        walk = Walk(derive, inline=INLINED)
        outputs = walk(self._jaxpr, [x if _is_key(x) else UNKNOWN for x in inputs])
        drawn = [draw(formula, sizes) for formula, sizes in draws.items()]
        values = iter(self._rest(keys, drawn, inputs))
        return [x if _is_key(x) else next(values) for x in outputs]

    def _evaluate_rest(self, keys: list[Key], drawn: list[Array], inputs: list[Any]) -> list[Array]:
        """The results except keys; `drawn` has an array per formula, in order of first use."""
        unused_keys, uncut = iter(keys), iter(drawn)
        cuts: dict[Formula, Cut] = {}

        def visit(operation: Operation, operands: list[Any]) -> Sequence[Any]:
            if _derives_keys(operation, operands):
                return [DERIVED] * len(operation.eqn.outvars)
            if formula := _formula(operation, operands):
                if formula not in cuts:
                    cuts[formula] = Cut(next(uncut))
                return [finish(formula, cuts[formula].next(operation))]
            if operation.name == "jit":
                return walk(operation.eqn.params["jaxpr"], operands, operation.stack, operation)
            return compute(operation, [next(unused_keys) if x is DERIVED else x for x in operands])

        walk = Walk(visit, lambda x, aval: DERIVED if _is_key(aval) else x, inline=INLINED)
        outputs = walk(self._jaxpr, [DERIVED if _is_key(x) else x for x in inputs])
        return [x for x in outputs if x is not DERIVED]


def _is_key(x: Any) -> bool:
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _known(operands: Sequence[Any]) -> bool:
    """Whether all operands are keys or constants, in both passes."""
    return not any(x is UNKNOWN or isinstance(x, Tracer) for x in operands)


def _derives_keys(operation: Operation, operands: list[Any]) -> bool:
    return _known(operands) and all(_is_key(var.aval) for var in operation.eqn.outvars)


def _formula(operation: Operation, operands: list[Any]) -> Formula | None:
    return formula_of(operation, operands) if _known(operands) else None
