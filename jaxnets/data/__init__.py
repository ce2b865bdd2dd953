"""Data sets as NumPy arrays in memory: where they come from, and how to split them."""

from jaxnets.data.dataset import DataError, Dataset, Split
from jaxnets.data.sources import load
from jaxnets.data.splits import holdout

__all__ = ["DataError", "Dataset", "Split", "holdout", "load"]
