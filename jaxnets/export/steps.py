"""A network as a list of steps on vectors, read from its jaxpr."""

import base64
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import LayerError
from jaxnets.jaxpr.walk import Operation, Walk, compute
from jaxnets.layer import Layer, Params, State
from jaxnets.lowering import plain_operations

SAME = {"reshape", "squeeze", "name", "stop_gradient", "copy"}
ONE = {"exp", "exp2", "expm1", "log", "log1p", "tanh", "logistic", "neg", "abs", "sign"}
ONE |= {"sqrt", "rsqrt", "square", "sin", "cos", "floor", "ceil"}
TWO = {"add", "add_any", "sub", "mul", "div", "max", "min", "pow", "gt", "lt", "ge", "le"}
TWO |= {"eq", "ne"}
POOLS = {"reduce_window_max": "max", "reduce_window_sum": "sum"}
REDUCTIONS = {"reduce_max": "max", "reduce_sum": "sum"}


class Vector(NamedTuple):
    """The result of a step; 0 is the network's input."""

    step: int


def steps_of(model: Layer, params: Params, state: State, example: Any) -> list[dict[str, Any]]:
    """The steps that compute the outputs of one example, each {"op": ..., "of": [...]}.

    An entry of `of` is the number of an earlier step, 0 for the input, or an array {"half" or
    "float": base64 of its values in row-major order}. Step "matmul" is the product of a vector and
    a matrix, "conv" a convolution of images (height, width, channels) and "pool" the maximum or
    sum of each of their windows; the others are elementwise, in which entry i of a shorter operand
    is entry i modulo its length.

    Raises:
      LayerError: the network has an operation that is none of these, such as attention.
    """
    x = jax.ShapeDtypeStruct((1, *example.shape[1:]), example.dtype)
    with plain_operations():
        jaxpr = jax.make_jaxpr(lambda x: model.apply(params, state, x)[0])(x)
    steps: list[dict[str, Any]] = []

    def visit(operation: Operation, operands: Sequence[Any]) -> Sequence[Any]:
        if not any(isinstance(operand, Vector) for operand in operands):
            return compute(operation, operands)
        if _is_same(operation):
            return [operands[0]]
        step = _step(operation, operands)
        if step is None:
            raise LayerError(
                "export.html expects a network of convolutions, pools, dense layers and "
                f"elementwise functions, but got {operation.name} in "
                f"{operation.path or 'the model'}; use export.onnx with a runtime for browsers, "
                "such as onnxruntime-web"
            )
        of = step.pop("of", operands)
        of = [part.step if isinstance(part, Vector) else _encoded(part) for part in of]
        steps.append({"op": operation.name, "of": of, **step})
        return [Vector(len(steps))]

    [output] = Walk(visit)(jaxpr, [Vector(0)])
    if not isinstance(output, Vector) or not steps:
        raise LayerError("export.html expects a network that depends on its input; add a layer")
    return steps


def _is_same(operation: Operation) -> bool:
    """Whether the result has the operand's values in the same order, or repeats all of them."""
    [old, *_], [new] = operation.eqn.invars, operation.eqn.outvars
    if operation.name == "broadcast_in_dim":
        shape = np.ones(new.aval.ndim, int)
        shape[list(operation.eqn.params["broadcast_dimensions"])] = old.aval.shape
        return _is_repeated(tuple(shape), new.aval.shape)
    if operation.name == "convert_element_type":
        is_float = jnp.issubdtype(new.aval.dtype, jnp.floating)
        return is_float or np.can_cast(old.aval.dtype, new.aval.dtype)
    return operation.name in SAME


def _step(operation: Operation, operands: Sequence[Any]) -> dict[str, Any] | None:
    """The entries that describe an operation as a step; None if the page cannot compute it."""
    name, options = operation.name, operation.eqn.params
    shapes = [atom.aval.shape for atom in operation.eqn.invars]
    [out] = operation.eqn.outvars
    is_one = shapes[0][:1] == (1,)  # not several rows or images
    is_first = isinstance(operands[0], Vector) and not isinstance(operands[-1], Vector)
    if name == "dot_general" and is_one and is_first:
        if options["dimension_numbers"] == (((1,), (0,)), ((), ())):
            return {"op": "matmul", "inputs": shapes[1][0], "outputs": shapes[1][1]}
    elif name == "conv_general_dilated" and is_one and is_first:
        return _conv(options, shapes[0], shapes[1], out.aval.shape)
    elif name in POOLS and is_one:
        return _pool(POOLS[name], options, shapes[0], out.aval.shape)
    elif name in REDUCTIONS and is_one:
        return _global_pool(REDUCTIONS[name], options, shapes[0])
    elif name in ONE or name in TWO or name == "select_n" or name == "integer_pow":
        is_integer = jnp.issubdtype(out.aval.dtype, jnp.integer)  # which wraps around
        if (
            is_integer
            or len(shapes) > 3
            or not all(_is_repeated(s, out.aval.shape) for s in shapes)
        ):
            return None
        if name == "integer_pow":
            return {"op": "pow", "of": [operands[0], np.float32(options["y"])]}
        return {}
    return None


def _conv(options: Any, x: Any, kernel: Any, out: Any) -> dict[str, Any] | None:
    numbers = options["dimension_numbers"]
    layout = numbers.lhs_spec, numbers.rhs_spec, numbers.out_spec
    if layout != ((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2)):  # channels last
        return None
    if options["lhs_dilation"] != (1, 1) or options["batch_group_count"] != 1:
        return None
    return {
        "op": "conv",
        **_windows(x[1:], out[1:], kernel[:2], options["window_strides"], options["padding"]),
        "dilation": options["rhs_dilation"],
        "groups": options["feature_group_count"],
    }


def _pool(kind: str, options: Any, x: Any, out: Any) -> dict[str, Any] | None:
    window, strides = options["window_dimensions"], options["window_strides"]
    dilated = {*options["base_dilation"], *options["window_dilation"]} != {1}
    if len(x) != 4 or dilated or (window[0], window[3], strides[3]) != (1, 1, 1):
        return None
    padding = options["padding"]
    return {
        "op": "pool",
        "kind": kind,
        **_windows(x[1:], out[1:], window[1:3], strides[1:3], padding[1:3]),
    }


def _global_pool(kind: str, options: Any, x: Any) -> dict[str, Any] | None:
    """The maximum or sum of each channel."""
    if len(x) != 4 or tuple(options["axes"]) != (1, 2):
        return None
    out = (1, 1, x[3])
    return {"op": "pool", "kind": kind, **_windows(x[1:], out, x[1:3], (1, 1), ((0, 0), (0, 0)))}


def _windows(x: Any, out: Any, window: Any, strides: Any, padding: Any) -> dict[str, Any]:
    """Sizes (height, width, channels) before and after, and the windows on them."""
    pad = [before for before, _ in padding]
    return {"in": x, "out": out, "window": window, "strides": strides, "pad": pad}


def _is_repeated(shape: tuple[int, ...], out: tuple[int, ...]) -> bool:
    """Whether broadcasting repeats the whole vector, along leading axes."""
    same = len(shape) - next((n for n, size in enumerate(shape) if size != 1), len(shape))
    return same == 0 or shape[-same:] == out[-same:]


def _encoded(array: Any) -> dict[str, str]:
    array = np.asarray(array, np.float32)
    with np.errstate(over="ignore"):
        half = array.astype(np.float16)
    is_exact = np.array_equal(half.astype(np.float32), array, equal_nan=True)
    content, name = (half, "half") if is_exact else (array, "float")
    little = content.astype(content.dtype.newbyteorder("<"))
    return {name: base64.b64encode(little.tobytes()).decode()}
