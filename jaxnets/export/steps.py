"""A dense network as a list of steps on vectors, read from its jaxpr."""

import base64
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnets.errors import LayerError
from jaxnets.jaxpr.walk import Operation, Walk, compute
from jaxnets.layer import Layer, Params, State
from jaxnets.lowering import plain_operations

SAME = {"reshape", "squeeze", "convert_element_type", "name", "stop_gradient", "copy"}
ONE = {"exp", "exp2", "expm1", "log", "log1p", "tanh", "logistic", "neg", "abs", "sign"}
ONE |= {"sqrt", "rsqrt", "square", "sin", "cos", "floor", "ceil"}
TWO = {"add", "add_any", "sub", "mul", "div", "max", "min", "pow", "gt", "lt", "ge", "le"}
TWO |= {"eq", "ne"}


class Vector(NamedTuple):
    """The result of a step; 0 is the network's input."""

    step: int


def steps_of(model: Layer, params: Params, state: State, example: Any) -> list[dict[str, Any]]:
    """The steps that compute the outputs of one example, each {"op": ..., "of": [...]}.

    A step of `of` is the number of an earlier one, 0 for the input, or an array {"half" or "float":
    base64 of its values in row-major order}. Step "matmul" is the product of a vector and a matrix;
    the others are elementwise, in which entry i of a shorter operand is entry i modulo its length.

    Raises:
      LayerError: the network has an operation that is none of these, such as a convolution.
    """
    x = jax.ShapeDtypeStruct((1, *example.shape[1:]), example.dtype)
    with plain_operations():
        jaxpr = jax.make_jaxpr(lambda x: model.apply(params, state, x)[0])(x)
    steps: list[dict[str, Any]] = []

    def add(name: str, operands: Sequence[Any], **options: Any) -> list[Vector]:
        of = [o.step if isinstance(o, Vector) else _encoded(o) for o in operands]
        steps.append({"op": name, "of": of, **options})
        return [Vector(len(steps))]

    def visit(operation: Operation, operands: Sequence[Any]) -> Sequence[Any]:
        name, options = operation.name, operation.eqn.params
        if not any(isinstance(operand, Vector) for operand in operands):
            return compute(operation, operands)
        shapes = [atom.aval.shape for atom in operation.eqn.invars]
        out = operation.eqn.outvars[0].aval.shape
        if name in SAME or (name == "broadcast_in_dim" and _is_repeated(shapes[0], out)):
            return [operands[0]]
        if name in ONE or name in TWO or name == "select_n":
            return add(name, operands)
        if name == "integer_pow":
            return add("pow", [operands[0], np.float32(options["y"])])
        is_matmul = name == "dot_general" and isinstance(operands[0], Vector)
        if is_matmul and options["dimension_numbers"] == (((1,), (0,)), ((), ())):
            return add("matmul", operands, inputs=shapes[1][0], outputs=shapes[1][1])
        raise LayerError(
            f"export.html expects a network of dense layers and elementwise functions, but got "
            f"{name} in {operation.path or 'the model'}; use export.onnx with a runtime for "
            "browsers, such as onnxruntime-web"
        )

    [output] = Walk(visit)(jaxpr, [Vector(0)])
    if not isinstance(output, Vector) or not steps:
        raise LayerError("export.html expects a network that depends on its input; add a layer")
    return steps


def _is_repeated(shape: tuple[int, ...], out: tuple[int, ...]) -> bool:
    """Whether broadcasting repeats the whole vector, along leading axes."""
    trailing = tuple(n for n in shape if n != 1)
    return not trailing or tuple(n for n in out if n != 1)[-len(trailing) :] == trailing


def _encoded(array: Any) -> dict[str, str]:
    array = np.asarray(array, np.float32)
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    is_matrix = array.ndim == 2 and min(array.shape) > 1 and np.isfinite(half).all()
    content, name = (half, "half") if is_matrix else (array, "float")
    little = content.astype(content.dtype.newbyteorder("<"))
    return {name: base64.b64encode(little.tobytes()).decode()}
