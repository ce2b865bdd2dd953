"""Data sets as NumPy arrays in memory: loading, splitting, scaling and streaming."""

from jaxnets.data.dataset import Dataset, Split
from jaxnets.data.scaling import Scaling, fit_range, fit_standard, one_hot
from jaxnets.data.sources import load
from jaxnets.data.splits import train_test_split
from jaxnets.data.stream import Stream
from jaxnets.data.toy import circle, gauss, points, spiral, xor
from jaxnets.errors import DataError

__all__ = [
    "DataError",
    "Dataset",
    "Scaling",
    "Split",
    "Stream",
    "circle",
    "fit_range",
    "fit_standard",
    "gauss",
    "load",
    "one_hot",
    "points",
    "spiral",
    "train_test_split",
    "xor",
]
