"""Seeing inside a run and a model."""

from jaxnets.inspect.gradient_check import GradientError, check_function, check_gradient
from jaxnets.inspect.graph import Graph, Node, computation_graph
from jaxnets.inspect.norms import layer_norms

__all__ = [
    "GradientError",
    "Graph",
    "Node",
    "check_function",
    "check_gradient",
    "computation_graph",
    "layer_norms",
]
