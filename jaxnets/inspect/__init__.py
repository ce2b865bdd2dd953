"""Tools to inspect models: summaries, activations, gradients, attribution and plots."""

from jaxnets.inspect.attribution import class_activation, saliency
from jaxnets.inspect.components import Components, principal_components
from jaxnets.inspect.gradient_check import GradientError, check_function, check_gradient
from jaxnets.inspect.graph import Graph, Node, computation_graph
from jaxnets.inspect.norms import layer_norms
from jaxnets.inspect.over_time import gradient_over_time, plot_gradient_over_time
from jaxnets.inspect.summary import Row, Summary, summary
from jaxnets.jaxpr.activations import activations
from jaxnets.jaxpr.dead_units import dead_units
from jaxnets.jaxpr.flops import flops
from jaxnets.jaxpr.nonfinite import Culprit, first_nonfinite
from jaxnets.jaxpr.receptive_field import ReceptiveField, receptive_field

__all__ = [
    "Components",
    "Culprit",
    "GradientError",
    "Graph",
    "Node",
    "ReceptiveField",
    "Row",
    "Summary",
    "activations",
    "check_function",
    "check_gradient",
    "class_activation",
    "computation_graph",
    "dead_units",
    "first_nonfinite",
    "flops",
    "gradient_over_time",
    "layer_norms",
    "plot_gradient_over_time",
    "principal_components",
    "receptive_field",
    "saliency",
    "summary",
]
