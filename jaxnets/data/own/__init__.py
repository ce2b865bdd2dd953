"""A user's own data: pictures in folders."""

from jaxnets.data.own.folder import from_folder
from jaxnets.data.own.pictures import PictureReader

__all__ = ["PictureReader", "from_folder"]
