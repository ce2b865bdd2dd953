"""Every layer's output for a batch, collected by interpreting the model's jaxpr."""

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

    The arguments are those of `layer.apply`. The outputs of repeated calls of a layer, and the
    further outputs of a layer that returns several arrays, are under "block/fc1#2", "#3", ... The
    outputs inside a loop are not included. Each call compiles; for many batches wrap it in
    `jax.jit`, which sorts the names.
    """
    names = []

    def collect(arguments: tuple, key: Key | None) -> list[Array]:
        outputs, number = {}, numbered()

        def visit(operation: Operation, operands: list[Any]) -> Sequence[Any]:
            if not operation.tagged:
                return compute(operation, operands)
            outputs[number(operation.path)] = operands[0]
            return operands

        program = jax.make_jaxpr(lambda *args: layer.apply(*args, key=key, train=train))
        Walk(visit)(program(*arguments), jax.tree.leaves(arguments))
        names[:] = outputs
        return [*outputs.values()]

    values = jax.jit(collect)((params, state, x), key)
    return dict(zip(names, values, strict=True))


def numbered() -> Callable[[str], str]:
    """A function that returns its argument, with a number from the second time on: "fc#2"."""
    count = Counter()

    def number(name: str) -> str:
        count[name] += 1
        return name if count[name] == 1 else f"{name}#{count[name]}"

    return number
