"""Every layer's output for a batch, read from the program that the model is."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxnets.jaxpr.walk import Operation, Walk, compute
from jaxnets.layer import Array, Key, Layer, Params, State


def activations(
    layer: Layer,
    params: Params,
    state: State,
    x: Any,
    *,
    key: Key | None = None,
    train: bool = False,
) -> dict[str, Array]:
    """Every named output by its path, in the order in which they are computed.

    The arguments are those of `layer.apply`. A layer that is called again, or that returns
    several arrays, has its further ones under "block/fc1#2", "#3", ... A loop is one operation:
    what it computes inside is not seen. It is compiled at each call; for many batches put it into
    a `jax.jit` of your own, out of which the names come sorted.
    """
    names = []

    def collect(arguments: tuple, key: Key | None) -> list[Array]:
        seen, number = {}, numbered()

        def visit(operation: Operation, operands: list[Any]) -> Sequence[Any]:
            if not operation.tagged:
                return compute(operation, operands)
            seen[number(operation.path)] = operands[0]
            return operands

        program = jax.make_jaxpr(lambda *given: layer.apply(*given, key=key, train=train))
        Walk(visit)(program(*arguments), jax.tree.leaves(arguments))
        names[:] = seen
        return [*seen.values()]

    values = jax.jit(collect)((params, state, x), key)
    return dict(zip(names, values, strict=True))


def numbered() -> Callable[[str], str]:
    """A function that gives a name back, and when it comes again with its number: "fc#2"."""
    count = Counter()

    def number(name: str) -> str:
        count[name] += 1
        return name if count[name] == 1 else f"{name}#{count[name]}"

    return number
