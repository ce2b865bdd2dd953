"""Layers along time: recurrent ones, and functions that collapse time."""

from jaxnets.layers.recurrent.bidirectional import bidirectional
from jaxnets.layers.recurrent.each_step import each_step
from jaxnets.layers.recurrent.gated import gru, lstm, simple_rnn
from jaxnets.layers.recurrent.over_time import last_step, max_over_time, mean_over_time

__all__ = [
    "bidirectional",
    "each_step",
    "gru",
    "last_step",
    "lstm",
    "max_over_time",
    "mean_over_time",
    "simple_rnn",
]
