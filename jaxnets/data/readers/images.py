"""Reads images of any format as pixels of one size, for training and for predictions."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.checks import as_integer
from jaxnets.errors import DataError
from jaxnets.files import regular_file
from jaxnets.messages import printable

ANIMATIONS = ("GIF", "PNG", "WEBP", "TIFF")  # not MPO, in which phones store a photo and a preview


class Unreadable(Exception):
    """An image cannot be read; the message says why, without naming it."""


@dataclass(frozen=True)
class ImageReader:
    """Converts images to pixels, the input of a model that was trained on a folder.

    `reader(images)` reads one image or a list of them: paths, encoded bytes, Pillow's images,
    or uint8 arrays (height, width) or (height, width, channels). It returns uint8 (n, height,
    width, channels), 1 channel if `grey`, else 3. The EXIF orientation is applied; transparent
    pixels are blended with white; 16-bit pixels are rounded to 8 bits. If the size differs, the
    image is scaled to cover `size` and the centre is cut out, so that nothing is stretched.

    Attributes:
      size: the height and the width, in pixels.
      grey: whether colours are converted to brightness (ITU-R BT.601).
      mean: of each channel over the training images, as a fraction of 255, for `scale_pixels`.
      std: the standard deviation of each channel, likewise.
    """

    size: tuple[int, int]
    grey: bool = False
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __call__(self, images: Any) -> np.ndarray:
        """The pixels, uint8 (n, height, width, channels).

        Raises:
          DataError: an image cannot be read; the message names it.
        """
        many = images if isinstance(images, list | tuple) else [images]
        if not many:
            raise DataError("an ImageReader expects at least one image, but got an empty list")
        return np.stack([self._read(image) for image in many])

    def _read(self, image: Any) -> np.ndarray:
        try:
            return read_pixels(image, self.size, self.grey)
        except Unreadable as error:
            raise DataError(
                f"an ImageReader expects images, but {describe(image)} cannot be read: "
                f"{error}; replace it"
            ) from None

    def to_json(self) -> dict[str, Any]:
        """The reader as plain JSON, for `from_json`."""
        return {
            "kind": "pictures",
            "size": list(self.size),
            "grey": self.grey,
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @staticmethod
    def from_json(content: dict[str, Any]) -> "ImageReader":
        """The reader that `to_json` described; raises an error for invalid content."""
        size = as_size("an ImageReader", list(content["size"]))
        mean, std = (tuple(map(float, content[name])) for name in ("mean", "std"))
        grey = content["grey"]
        if size is None or not isinstance(grey, bool) or not np.all(np.array(std) > 0):
            raise ValueError("expected a size, grey as true or false, and positive std")
        if {len(mean), len(std)} - {1, 1 if grey else 3}:
            raise ValueError("expected a mean and a std per channel")
        return ImageReader(size, grey, mean, std)


def as_size(where: str, size: Any) -> tuple[int, int] | None:
    """(height, width) from such a pair or one number; None stays None."""
    if size is None:
        return None
    pair = [size, size] if as_integer(size) is not None else size
    numbers = [as_integer(n) for n in pair] if isinstance(pair, Sequence) else []
    if len(numbers) != 2 or not all(n is not None and n > 0 for n in numbers):
        raise DataError(
            f"{where} expects size as one positive integer or as (height, width), but got "
            f"{size!r}; pass size=64"
        )
    return numbers[0], numbers[1]  # type: ignore[return-value]


def describe(image: Any) -> str:
    """An image's path, or its type."""
    is_path = isinstance(image, str | os.PathLike)
    return printable(image) if is_path else f"an object of type {type(image).__name__}"


def read_pixels(image: Any, size: tuple[int, int] | None, grey: bool) -> np.ndarray:
    """The pixels of one image, uint8 (height, width, channels); `size` None keeps its own.

    Raises:
      Unreadable: it is damaged, animated or not an image.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        if isinstance(image, np.ndarray):
            image = Image.fromarray(_as_pillow_takes_it(image))
        if isinstance(image, Image.Image):
            return _pixels(image, size, grey)
        content = image if isinstance(image, bytes) else read_bytes(image)
        if not content:
            raise Unreadable("it is empty")
        with Image.open(BytesIO(content)) as opened:
            return _pixels(opened, size, grey)
    except UnidentifiedImageError:
        raise Unreadable("it is not an image in a known format") from None
    except OSError as error:
        raise Unreadable(printable(error.strerror or error)) from None
    except Unreadable:
        raise
    except Exception as error:  # of many types, for damaged files and metadata
        raise Unreadable(printable(f"{type(error).__name__}: {error}")) from None


def read_bytes(path: Any) -> bytes:
    """The content of a file; raises `OSError`, also for a pipe or a folder."""
    if not isinstance(path, str | os.PathLike):
        raise Unreadable("it is neither a path, nor bytes, nor an image, nor an array")
    with regular_file(Path(path)) as file:
        return file.read()


def _pixels(image: Any, size: tuple[int, int] | None, grey: bool) -> np.ndarray:
    from PIL import Image, ImageOps

    if image.format in ANIMATIONS and (frames := getattr(image, "n_frames", 1)) > 1:
        raise Unreadable(f"it has {frames} frames; save one of them as PNG")
    image = ImageOps.exif_transpose(image)
    image = _on_white(_eight_bits(image)).convert("L" if grey else "RGB")
    if size is not None and image.size != (size[1], size[0]):
        image = ImageOps.fit(image, (size[1], size[0]), Image.Resampling.BICUBIC)
    return np.array(image, np.uint8).reshape(image.height, image.width, -1)


def _eight_bits(image: Any) -> Any:
    """The image with 16-bit pixels rounded to 8 bits; Pillow would clip them at 255."""
    from PIL import Image

    if not image.mode.startswith(("I", "F")):
        return image
    pixels = np.asarray(image)
    if image.mode == "F" or pixels.min() < 0 or pixels.max() > 65535:
        raise Unreadable("its pixels are not integers of 8 or 16 bits; save it as 8-bit PNG")
    return Image.fromarray(((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8))


def _on_white(image: Any) -> Any:
    """The image blended with white, if any pixel may be transparent."""
    from PIL import Image

    if image.mode not in ("LA", "PA", "RGBA", "La", "RGBa") and "transparency" not in image.info:
        return image
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _as_pillow_takes_it(array: np.ndarray) -> np.ndarray:
    array = array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
    channels = array.shape[2:]
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or channels not in ((), (3,), (4,)):
        raise Unreadable(
            f"it is {array.dtype}{list(array.shape)}, not uint8 [height, width] or [height, width, "
            "channels] with 1, 3 or 4 channels"
        )
    return array
