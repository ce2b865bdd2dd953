"""Whole models, each a function that returns a `Layer`."""

from jaxnets.models.linear import linear, logistic, perceptron
from jaxnets.models.mlp import autoencoder, mlp

__all__ = ["autoencoder", "linear", "logistic", "mlp", "perceptron"]
