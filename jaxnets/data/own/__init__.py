"""A user's own data: pictures in folders, tables, arrays, and datasets of other libraries."""

from jaxnets.data.own.encoder import TableEncoder
from jaxnets.data.own.folder import from_folder
from jaxnets.data.own.in_arrays import from_arrays
from jaxnets.data.own.in_dataset import from_dataset
from jaxnets.data.own.pictures import PictureReader
from jaxnets.data.own.table import from_table

__all__ = [
    "PictureReader",
    "TableEncoder",
    "from_arrays",
    "from_dataset",
    "from_folder",
    "from_table",
]
