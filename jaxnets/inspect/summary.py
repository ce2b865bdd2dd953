"""A table of a model's layers: output shapes, parameters, FLOPs and memory."""

import math
from collections import Counter
from typing import Any, NamedTuple

import jax

from jaxnets.jaxpr.activations import numbered
from jaxnets.jaxpr.flops import each_operation, operation_flops
from jaxnets.jaxpr.walk import Operation
from jaxnets.layer import Layer, check_layer
from jaxnets.trees import flatten_names

HEADER = ("layer", "output", "parameters", "FLOPs", "parameter bytes", "output bytes")


class Row(NamedTuple):
    """One call of a layer, without the named layers inside it, which have their own rows.

    Attributes:
      path: as in "block1/conv", or "block1/conv#2" for a repeated call. The first row is "input",
        and the last is "output", which includes everything outside named layers.
      shape: the shape of its output.
      parameters: the number of parameters; those of a shared layer are counted at its first call.
      flops: the floating-point operations of the forward pass, as `flops` counts them.
      parameter_bytes: the memory of the parameters.
      output_bytes: the memory of the output.
    """

    path: str
    shape: tuple[int, ...]
    parameters: int
    flops: int
    parameter_bytes: int
    output_bytes: int


class Summary(NamedTuple):
    """A model's layers in the order in which they are computed; `str()` formats a table.

    Attributes:
      rows: from the input to the output.
      state: the number of values in the model's state, such as batch norm's statistics.
    """

    rows: tuple[Row, ...]
    state: int

    @property
    def parameters(self) -> int:
        """The number of parameters in all rows."""
        return sum(row.parameters for row in self.rows)

    @property
    def flops(self) -> int:
        """The floating-point operations of all rows."""
        return sum(row.flops for row in self.rows)

    @property
    def parameter_bytes(self) -> int:
        """The memory of the parameters of all rows."""
        return sum(row.parameter_bytes for row in self.rows)

    def __str__(self) -> str:
        """A header, one line per row, and the totals."""
        total = ("total", "", self.parameters, self.flops, self.parameter_bytes, "")
        cells = [[_text(cell) for cell in row] for row in (HEADER, *self.rows, total)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        rule = "-" * (sum(widths) + 2 * len(widths) - 2)
        lines = [_line(row, widths) for row in cells]
        state = [f"and {self.state:,} state values"] if self.state else []
        return "\n".join([lines[0], rule, *lines[1:-1], rule, lines[-1], *state])


def summary(model: Layer, x: Any) -> Summary:
    """A table of a model's named layers for an example batch.

    Only traces the model, without allocating arrays, so `x` may be a `jax.ShapeDtypeStruct` of any
    size. FLOPs and outputs are for the whole batch; pass a batch of 1 for those of one example. In
    a loop over time, outputs are for one step and FLOPs for all steps.

    Args:
      model: any layer.
      x: an example batch or a `jax.ShapeDtypeStruct`; only its shape and dtype matter.

    Raises:
      LayerError: as for `flops`, or for what is not a layer.
    """
    check_layer("summary", model)
    params, state = jax.eval_shape(model.init, jax.random.key(0), x)
    program = jax.make_jaxpr(lambda *arguments: model.apply(*arguments)[0])(params, state, x)
    outputs, cost = _read(program)
    sizes, param_bytes = Counter(), Counter()
    for path, leaf in flatten_names(params).items():
        owner = _owner(path, outputs)
        sizes[owner] += math.prod(leaf.shape)
        param_bytes[owner] += _bytes([leaf])
    outputs = {"input": jax.tree.leaves(x), **outputs, "output": program.out_avals}
    rows = (
        Row(path, arrays[0].shape, sizes[path], cost[path], param_bytes[path], _bytes(arrays))
        for path, arrays in outputs.items()
    )
    return Summary(tuple(rows), sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state)))


def _read(program: Any) -> tuple[dict[str, list[Any]], Counter]:
    """The arrays and the FLOPs of each row, by path."""
    outputs, cost, number = {}, Counter(), numbered()
    pending = Counter()  # FLOPs by path since the last output of the layer at this path

    def visit(operation: Operation, times: int) -> None:
        if operation.tagged:
            row = number(operation.path)
            outputs[row] = [operation.eqn.outvars[0].aval]
            for path in [path for path in pending if f"{path}/".startswith(f"{operation.path}/")]:
                cost[row] += pending.pop(path)
        elif count := operation_flops(operation):
            pending[operation.path] += times * count

    each_operation(program, visit, keep=lambda operation: operation.tagged)
    cost["output"] += pending.total()
    return outputs, cost


def _owner(path: str, outputs: dict[str, Any]) -> str:
    """The row of a parameter: the innermost named layer that contains it."""
    while path and path not in outputs:
        path = path.rpartition("/")[0]
    return path or "output"


def _bytes(arrays: list[Any]) -> int:
    return sum(math.prod(a.shape) * a.dtype.itemsize for a in arrays)


def _text(cell: Any) -> str:
    """The text of a table cell; empty for 0."""
    return f"{cell:,}" if isinstance(cell, int) and cell else str(cell or "")


def _line(cells: list[str], widths: list[int]) -> str:
    left, *right = zip(cells, widths, strict=True)
    columns = [f"{left[0]:{left[1]}}", *(f"{cell:>{width}}" for cell, width in right)]
    return "  ".join(columns).rstrip()
