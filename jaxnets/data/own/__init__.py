"""A user's own data: pictures in folders, and tables."""

from jaxnets.data.own.encoder import TableEncoder
from jaxnets.data.own.folder import from_folder
from jaxnets.data.own.pictures import PictureReader
from jaxnets.data.own.table import from_table

__all__ = ["PictureReader", "TableEncoder", "from_folder", "from_table"]
