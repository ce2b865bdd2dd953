"""Data sets: loading, reading your own, splitting, scaling, augmenting and streaming."""

from jaxnets.data.buckets import Bucketed, bucketed
from jaxnets.data.dataset import Dataset, Split
from jaxnets.data.readers import (
    ImageReader,
    TableEncoder,
    from_arrays,
    from_dataset,
    from_folder,
    from_table,
)
from jaxnets.data.scaling import Scaling, fit_range, fit_standard, one_hot
from jaxnets.data.series import Series, load_series, read_series, windows
from jaxnets.data.sources import load
from jaxnets.data.splits import split_by_class, train_test_split
from jaxnets.data.stream import Stream
from jaxnets.data.toy import circle, gauss, points, spiral, xor
from jaxnets.errors import DataError

__all__ = [
    "Bucketed",
    "DataError",
    "Dataset",
    "ImageReader",
    "Scaling",
    "Series",
    "Split",
    "Stream",
    "TableEncoder",
    "bucketed",
    "circle",
    "fit_range",
    "fit_standard",
    "from_arrays",
    "from_dataset",
    "from_folder",
    "from_table",
    "gauss",
    "load",
    "load_series",
    "one_hot",
    "points",
    "read_series",
    "spiral",
    "split_by_class",
    "train_test_split",
    "windows",
    "xor",
]
