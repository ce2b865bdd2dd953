"""Seeing inside a run and a model."""

from jaxnets.inspect.activations import activations
from jaxnets.inspect.gradient_check import GradientError, check_function, check_gradient
from jaxnets.inspect.graph import Graph, Node, computation_graph
from jaxnets.inspect.nonfinite import Culprit, first_nonfinite
from jaxnets.inspect.norms import layer_norms

__all__ = [
    "Culprit",
    "GradientError",
    "Graph",
    "Node",
    "activations",
    "check_function",
    "check_gradient",
    "computation_graph",
    "first_nonfinite",
    "layer_norms",
]
