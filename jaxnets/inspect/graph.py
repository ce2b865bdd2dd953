"""The computation graph of a model, as text and in the DOT language."""

import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxnets.errors import LayerError
from jaxnets.jaxpr.walk import Operation, Walk
from jaxnets.layer import Layer

PARAMETERS = ("axes", "permutation", "y")  # of operations; they are shown in the graph


class Node(NamedTuple):
    """An operation and its results, an input, or a constant.

    Attributes:
      name: "n0", "n1", ...; used in `operands`.
      operation: the JAX primitive, "input" or "constant".
      operands: the names of its operands, in order; scalar constants are written as numbers.
      shape: dtype and shape, as in "float32[4,2]".
      where: the path of its layer, or of the input; "" outside any layer.
      backward: whether it is in the backward pass.
    """

    name: str
    operation: str
    operands: tuple[str, ...]
    shape: str
    where: str
    backward: bool


class Graph(NamedTuple):
    """A computation graph.

    Attributes:
      nodes: in topological order; the same for the same model.
      outputs: the names of the nodes that are returned.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[str, ...]

    def text(self) -> str:
        """One line per node, such as `n4 = add(n2, n3)  float32[4,1]  fc1`, then the outputs."""
        rows = [(_formula(node), node.shape, _place(node)) for node in self.nodes]
        left, middle = (max((len(row[i]) for row in rows), default=0) for i in (0, 1))
        lines = [f"{a:{left}}  {b:{middle}}  {c}".rstrip() for a, b, c in rows]
        return "\n".join([*lines, f"return {', '.join(self.outputs)}"]) + "\n"

    def dot(self) -> str:
        """A digraph in the DOT language, with one cluster per layer."""
        boxes: dict[str, list[str]] = {"": []}
        for node in self.nodes:
            box = "" if node.operation == "input" else _place(node)
            boxes.setdefault(box, []).append(_dot_node(node, node.name in self.outputs))
        lines = boxes.pop("")
        for i, (box, members) in enumerate(boxes.items()):
            lines += [f"subgraph cluster_{i} {{", f"label={json.dumps(box)};", *members, "}"]
        names = {node.name for node in self.nodes}
        for node in self.nodes:
            lines += [f"{source} -> {node.name};" for source in node.operands if source in names]
        return "\n".join(["digraph {", "node [shape=box];", *lines, "}"]) + "\n"


def computation_graph(f: Layer | Callable[..., Any], *examples: Any) -> Graph:
    """The graph of the operations of a layer or a function.

    For a layer it is the graph of `apply` in evaluation on an example batch; the parameters are
    inputs. The graph of a gradient includes the backward pass: `computation_graph(jax.grad(f), w,
    x)`. If the implementation depends on the platform, the default one is shown.

    Args:
      f: a layer or a function.
      examples: one per argument; only shapes and dtypes matter.

    Raises:
      LayerError: a layer with any number of examples other than one.
    """
    if isinstance(f, Layer):
        layer = f
        if len(examples) != 1:
            raise LayerError(
                f"computation_graph expects one example batch for a layer, but got "
                f"{len(examples)}; pass computation_graph(layer, x)"
            )
        params, state = jax.eval_shape(layer.init, jax.random.key(0), *examples)
        arguments = {"params": params, "state": state, "x": examples[0]}
        return _trace(lambda params, state, x: layer.apply(params, state, x)[0], arguments)
    names = [*inspect.signature(f).bind(*examples).arguments]
    if len(names) < len(examples):  # f takes *arguments
        names = [f"arguments[{i}]" for i in range(len(examples))]
    return _trace(f, dict(zip(names, examples, strict=True)))


def _trace(f: Callable[..., Any], arguments: dict[str, Any]) -> Graph:
    leaves, structure = jax.tree.flatten(tuple(arguments.values()))
    paths = [
        "/".join(filter(None, (name, jax.tree_util.keystr(path, simple=True, separator="/"))))
        for name, argument in arguments.items()
        for path, _ in jax.tree.leaves_with_path(argument)
    ]
    closed = jax.make_jaxpr(lambda *leaves: f(*jax.tree.unflatten(structure, leaves)))(*leaves)
    builder = _Builder()
    inputs = [
        builder.add("input", (), [var.aval], path)
        for path, var in zip(paths, closed.jaxpr.invars, strict=True)
    ]
    outputs = Walk(builder.visit, builder.constant)(closed, inputs)
    return Graph(tuple(builder.nodes), tuple(outputs))


class _Builder:
    """Collects nodes in the order of a jaxpr."""

    def __init__(self):
        self.nodes: list[Node] = []

    def add(
        self,
        operation: str,
        operands: Sequence[str],
        avals: list[Any],
        where: str = "",
        backward: bool = False,
    ) -> str:
        """Append a node and return its name."""
        name, shape = f"n{len(self.nodes)}", ", ".join(aval.str_short() for aval in avals)
        self.nodes.append(Node(name, operation, tuple(operands), shape, where, backward))
        return name

    def visit(self, operation: Operation, operands: list[str]) -> Sequence[str]:
        """Append one operation; return the name of each of its outputs."""
        if operation.name == "name":  # the tag of a layer's output
            return operands
        params = operation.eqn.params
        shown = [f"{key}={params[key]}" for key in PARAMETERS if key in params]
        label = f"{operation.name}[{' '.join(shown)}]" if shown else operation.name
        avals = [var.aval for var in operation.eqn.outvars]
        name = self.add(label, operands, avals, operation.path, operation.backward)
        return [name] * len(avals)

    def constant(self, value: Any, aval: Any) -> str:
        """A scalar as a number, an array as a node."""
        if aval.shape == () and isinstance(np.asarray(value).item(), int | float):
            return f"{np.asarray(value).item():g}"
        return self.add("constant", (), [aval])


def _formula(node: Node) -> str:
    operands = f"({', '.join(node.operands)})" if node.operands else ""
    return f"{node.name} = {node.operation}{operands}"


def _place(node: Node) -> str:
    return " ".join(filter(None, (node.where, "backward" if node.backward else "")))


def _dot_node(node: Node, is_output: bool) -> str:
    formula = f"{node.name} = {node.where}" if node.operation == "input" else _formula(node)
    style = ", shape=ellipse" if node.operation == "input" else ""
    style += ", peripheries=2" if is_output else ""
    label = json.dumps(f"{formula}\n{node.shape}")
    return f"{node.name} [label={label}{style}];"
