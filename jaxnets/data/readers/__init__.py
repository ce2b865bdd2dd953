"""A user's own data: images in folders, tables, arrays, and datasets of other libraries."""

from jaxnets.data.readers.encoder import TableEncoder
from jaxnets.data.readers.folder import from_folder
from jaxnets.data.readers.images import ImageReader
from jaxnets.data.readers.in_arrays import from_arrays
from jaxnets.data.readers.in_dataset import from_dataset
from jaxnets.data.readers.table import from_table

__all__ = [
    "ImageReader",
    "TableEncoder",
    "from_arrays",
    "from_dataset",
    "from_folder",
    "from_table",
]
