"""A model as a table: what each layer gives, holds and costs."""

import math
from collections import Counter
from typing import Any, NamedTuple

import jax

from jaxnets.jaxpr.activations import numbered
from jaxnets.jaxpr.flops import each_operation, operation_flops
from jaxnets.jaxpr.walk import Operation
from jaxnets.layer import Layer
from jaxnets.trees import flatten_names

HEADER = ("layer", "output", "parameters", "FLOPs", "parameter bytes", "output bytes")


class Row(NamedTuple):
    """One layer, or one call of it.

    What is its own is counted here, and what its parts have, in their rows.

    Attributes:
      path: as in "block1/conv", "block1/conv#2" when called again; "input"; "output", which
        holds what belongs to no named layer.
      shape: that of its output.
      parameters: how many numbers are trained; those of a shared layer, at its first call.
      flops: of the forward pass, as `flops` counts.
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
    """A model's layers in the order in which they are computed; `str()` draws a table.

    Attributes:
      rows: from the input to the output.
      state: how many numbers the model remembers, such as batch norm's statistics.
    """

    rows: tuple[Row, ...]
    state: int

    @property
    def parameters(self) -> int:
        """Of all rows."""
        return sum(row.parameters for row in self.rows)

    @property
    def flops(self) -> int:
        """Of all rows."""
        return sum(row.flops for row in self.rows)

    @property
    def parameter_bytes(self) -> int:
        """Of all rows."""
        return sum(row.parameter_bytes for row in self.rows)

    def __str__(self) -> str:
        """A line a row under a heading, then the totals."""
        total = ("total", "", self.parameters, self.flops, self.parameter_bytes, "")
        lines = [[_text(cell) for cell in row] for row in (HEADER, *self.rows, total)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        rule = "-" * (sum(widths) + 2 * len(widths) - 2)
        text = [_line(cells, widths) for cells in lines]
        state = [f"and {self.state:,} numbers of state"] if self.state else []
        return "\n".join([text[0], rule, *text[1:-1], rule, text[-1], *state])


def summary(model: Layer, x: Any) -> Summary:
    """The table of a model on an example batch.

    Everything named is a row. Nothing is computed and no memory is taken, so that a
    `jax.ShapeDtypeStruct` of any size will do. FLOPs and outputs are those of the whole batch, so
    give a batch of 1 for those of one example. In a loop over time, an output is one step's, and
    the FLOPs are all steps'.

    Args:
      model: any layer.
      x: an example batch or a `jax.ShapeDtypeStruct`; only its shape and dtype matter.

    Raises:
      LayerError: as `flops`.
    """
    params, state = jax.eval_shape(model.init, jax.random.key(0), x)
    program = jax.make_jaxpr(lambda *arguments: model.apply(*arguments)[0])(params, state, x)
    outputs, cost = _read(program)
    held, held_bytes = Counter(), Counter()
    for path, leaf in flatten_names(params).items():
        owner = _owner(path, outputs)
        held[owner] += math.prod(leaf.shape)
        held_bytes[owner] += _bytes([leaf])
    outputs = {"input": jax.tree.leaves(x), **outputs, "output": program.out_avals}
    rows = (
        Row(path, arrays[0].shape, held[path], cost[path], held_bytes[path], _bytes(arrays))
        for path, arrays in outputs.items()
    )
    return Summary(tuple(rows), sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state)))


def _read(program: Any) -> tuple[dict[str, list[Any]], Counter]:
    """The arrays and the FLOPs of each row, by path."""
    outputs, cost, number = {}, Counter(), numbered()
    pending = Counter()  # FLOPs since the last time that a layer of this path gave its output

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
    """The row of a parameter: the innermost named layer that it is in."""
    while path and path not in outputs:
        path = path.rpartition("/")[0]
    return path or "output"


def _bytes(arrays: list[Any]) -> int:
    return sum(math.prod(a.shape) * a.dtype.itemsize for a in arrays)


def _text(cell: Any) -> str:
    """What is written in the table; nothing for a zero."""
    return f"{cell:,}" if isinstance(cell, int) and cell else str(cell or "")


def _line(cells: list[str], widths: list[int]) -> str:
    left, *right = zip(cells, widths, strict=True)
    text = [f"{left[0]:{left[1]}}", *(f"{cell:>{width}}" for cell, width in right)]
    return "  ".join(text).rstrip()
