"""Models as ONNX, by jax2onnx."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from jaxnets.errors import LayerError
from jaxnets.export.stablehlo import as_output, batch_specs
from jaxnets.files import atomic_write
from jaxnets.jaxpr.walk import Operation, Walk, compute
from jaxnets.layer import Layer, Params, State
from jaxnets.lowering import plain_operations
from jaxnets.messages import printable


def onnx(path: str | Path, model: Layer, params: Params, state: State, example: Any) -> None:
    """Write the forward pass with `train=False` as ONNX, for any number of rows.

        export.onnx("digits.onnx", model, params, state, x)
        onnxruntime.InferenceSession("digits.onnx").run(None, {"x": x})

    The input is named "x", or by its path if there are several ("x/series"); the output "y". Images
    stay (n, height, width, channels). Needs the extra `export`: `pip install jaxnets[export]`.

    Args:
      path: the file; an existing one is replaced. It is written atomically.
      model: the layer.
      params: its params, which are stored in the file.
      state: its state.
      example: an input (n, ...), or a `jax.ShapeDtypeStruct`; only the shape and dtype matter.

    Raises:
      ImportError: jax2onnx is not installed.
      LayerError: jax2onnx cannot convert the model.
      OSError: as the system raises it, for example for a full disk.
    """
    try:
        from jax2onnx import to_onnx  # type: ignore[import-not-found]
    except ImportError as error:
        raise ImportError(
            "export.onnx needs jax2onnx, which is not installed; pip install jaxnets[export]"
        ) from error
    specs = [
        jax.ShapeDtypeStruct(("batch", *spec.shape[1:]), spec.dtype)
        for spec in batch_specs("export.onnx", example)
    ]

    def forward(*leaves: Any) -> Any:
        x = jax.tree.unflatten(jax.tree.structure(example), leaves)
        return as_output(model.apply(params, state, x)[0])

    outputs = jax.tree.leaves(jax.eval_shape(lambda x: model.apply(params, state, x)[0], example))
    names: Any = {"input_names": _names("x", example), "output_names": _numbered("y", len(outputs))}
    try:
        with plain_operations():
            converted = to_onnx(_for_jax2onnx(forward), specs, **names)
        content = converted.SerializeToString()
    except (LayerError, MemoryError):
        raise
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise LayerError(
            f"export.onnx expects a model that jax2onnx converts, but got: {printable(reason):.200}"
            "; export.stablehlo and save_model do not need jax2onnx"
        ) from error
    with atomic_write(path) as file:
        file.write(content)


def _names(name: str, tree: Any) -> list[str]:
    paths = [where for where, _ in jax.tree_util.tree_flatten_with_path(tree)[0]]
    steps = (jax.tree_util.keystr(where, simple=True, separator="/") for where in paths)
    return [f"{name}/{step}" if step else name for step in steps]


def _numbered(name: str, count: int) -> list[str]:
    return [name] if count == 1 else [f"{name}{number}" for number in range(count)]


def _for_jax2onnx(f: Callable[..., Any]) -> Callable[..., Any]:
    """`f` with max pools and convolutions rewritten into forms that jax2onnx supports.

    jax2onnx turns all axes of a pool into ONNX's spatial axes, of which onnxruntime supports three,
    so max pools of images are applied to (n * channels, *space). It supports only kernels (*space,
    inputs, outputs), but those of a transposed convolution have another order.
    """

    def visit(operation: Operation, operands: Sequence[Any]) -> list[Any]:
        options = operation.eqn.params
        if operation.name == "reduce_window_max" and options["window_dimensions"][-1] == 1:
            return [_pooled(operands[0], options)]
        if operation.name == "conv_general_dilated":
            return [_convolved(operands[0], operands[1], options)]
        return compute(operation, operands)

    def g(*arguments: Any) -> Any:
        jaxpr, shapes = jax.make_jaxpr(f, return_shape=True)(*arguments)
        return jax.tree.unflatten(jax.tree.structure(shapes), Walk(visit)(jaxpr, arguments))

    return g


def _pooled(x: Any, options: dict[str, Any]) -> Any:
    """The max pool of (n, *space, channels)."""
    x = jnp.moveaxis(x, -1, 1)
    sizes = (options[name][:-1] for name in ("window_dimensions", "window_strides", "padding"))
    y = lax.reduce_window(x.reshape(-1, *x.shape[2:]), -jnp.inf, lax.max, *sizes)
    return jnp.moveaxis(y.reshape(*x.shape[:2], *y.shape[1:]), 1, -1)


def _convolved(x: Any, kernel: Any, options: dict[str, Any]) -> Any:
    """The convolution, with its kernel as (*space, inputs, outputs)."""
    numbers = options["dimension_numbers"]
    outputs, inputs, *space = numbers.rhs_spec
    rank = len(space)
    standard = numbers._replace(rhs_spec=(rank + 1, rank, *range(rank)))
    kernel = jnp.transpose(kernel, (*space, inputs, outputs))
    return lax.conv_general_dilated_p.bind(x, kernel, **options | {"dimension_numbers": standard})
