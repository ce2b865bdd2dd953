"""What is done to inputs before the model, as an object that JSON can describe."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from jaxnets.arrays import as_rows
from jaxnets.checks import as_integers
from jaxnets.data.readers import ImageReader, TableEncoder
from jaxnets.data.scaling import Scaling
from jaxnets.errors import ModelFileError
from jaxnets.messages import printable


class Preprocess(Protocol):
    """What `save_model` takes as `preprocess`, and `load_model` gives back.

    An object of your own needs these two methods and, in both processes, one call of
    `register_preprocess("my_kind", from_json)`. If it also has `decode(outputs)` and a `scaling`
    that is not None, `predict` returns what `decode` does: a regression in its own units.
    """

    def __call__(self, x: Any, /) -> Any:
        """The model's input (n, ...), from what the caller of `predict` passes."""
        ...

    def to_json(self) -> dict[str, Any]:
        """A JSON object with an entry "kind", from which `from_json` makes an equal object."""
        ...


@dataclass(frozen=True)
class Pixels:
    """Images (n, height, width) or (n, height, width, channels) as `x * scale + shift`.

    `Pixels(size=(28, 28), scale=1 / 255)` takes 8-bit images. Without channels, one is added.

    Attributes:
      size: the height and width that the model expects; 8-bit images of another size are resized
        by Pillow's bilinear filter, others are refused. None takes any size.
      scale: a factor, or one per channel.
      shift: added after scaling; a number, or one per channel.
      dtype: of the result; for an integer dtype, values are rounded and clipped to its range.
    """

    size: tuple[int, int] | None = None
    scale: float | tuple[float, ...] = 1.0
    shift: float | tuple[float, ...] = 0.0
    dtype: str = "float32"

    def __post_init__(self) -> None:
        for name in ("scale", "shift"):
            value = _numbers(name, getattr(self, name))
            object.__setattr__(self, name, value)
        if self.size is not None:
            size = self.size if isinstance(self.size, tuple | list) else ()
            height, width = (*size, None, None)[:2]
            integers = as_integers("Pixels", error=ModelFileError, height=height, width=width)
            object.__setattr__(self, "size", tuple(integers))
        if self.dtype not in ("float32", "float16", "uint8", "int32"):
            raise ModelFileError(
                f"Pixels expects dtype as float32, float16, uint8 or int32, but got "
                f"{printable(self.dtype)}; the model casts to its own"
            )

    def __call__(self, x: Any) -> np.ndarray:
        """The images (n, height, width, channels) in `dtype`.

        Raises:
          ModelFileError: not images, or of another size and not of 8 bits.
        """
        images = np.asarray(as_rows("Pixels", "the images", x, ModelFileError))
        images = images[..., None] if images.ndim == 3 else images
        if images.ndim != 4 or 0 in images.shape[1:]:
            raise ModelFileError(
                f"Pixels expects images (n, height, width, channels), but got {images.shape}; "
                "pass image[None] for one"
            )
        if self.size is not None and images.shape[1:3] != self.size:
            images = _resized(images, self.size)
        y = images.astype(np.float32) * self._per_channel("scale", images)
        y += self._per_channel("shift", images)
        if np.issubdtype(self.dtype, np.integer):
            limits = np.iinfo(self.dtype)
            y = np.clip(np.round(y), limits.min, limits.max)
        return y.astype(self.dtype)

    def to_json(self) -> dict[str, Any]:
        """The attributes as plain JSON."""
        plain = {name: _plain(getattr(self, name)) for name in ("size", "scale", "shift", "dtype")}
        return {"kind": "pixels", **plain}

    @staticmethod
    def from_json(content: dict[str, Any]) -> "Pixels":
        """The object that `to_json` described."""
        names = ("size", "scale", "shift", "dtype")
        return Pixels(**{name: _as_tuple(content[name]) for name in names})

    def _per_channel(self, name: str, images: np.ndarray) -> np.ndarray:
        value = np.asarray(getattr(self, name), np.float32)
        if value.ndim and len(value) != images.shape[-1]:
            raise ModelFileError(
                f"Pixels expects images of {len(value)} channels, the number of its {name}, but "
                f"got {images.shape}; convert their colours"
            )
        return value


@dataclass(frozen=True, eq=False)
class Scaled:
    """A `data.Scaling` as a `Preprocess`; `save_model` wraps the scaling in it."""

    scaling: Scaling

    def __call__(self, x: Any) -> np.ndarray:
        """`scaling.apply(x)`, as float32."""
        return self.scaling.apply(x).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """The center and the scale of each column."""
        center, scale = (np.asarray(part, np.float64).tolist() for part in self.scaling)
        return {"kind": "scaling", "center": center, "scale": scale}

    @staticmethod
    def from_json(content: dict[str, Any]) -> "Scaled":
        """The object that `to_json` described."""
        center, scale = (np.array(content[name], np.float64) for name in ("center", "scale"))
        if center.shape != scale.shape or not (np.isfinite(center).all() and scale.all()):
            raise ValueError("its scaling has no finite center and scale of one shape")
        return Scaled(Scaling(center, scale))


# Constructors from JSON, by kind; a file cannot refer to any other code.
KINDS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "pixels": Pixels.from_json,
    "scaling": Scaled.from_json,
    "pictures": ImageReader.from_json,
    "table": TableEncoder.from_json,
}


def register_preprocess(kind: str, from_json: Callable[[dict[str, Any]], Any]) -> None:
    """Make `load_model` read a kind of `Preprocess` by `from_json(content) -> preprocess`.

    Raises:
      ModelFileError: the kind is taken by another function.
    """
    if KINDS.setdefault(kind, from_json) is not from_json:
        raise ModelFileError(f"the kind {printable(kind)} is registered already; rename yours")


def to_json(preprocess: Any) -> dict[str, Any] | None:
    """The JSON of a `Preprocess`, a `data.Scaling` or None, from which it can be made again.

    Raises:
      ModelFileError: it is neither, or is of a kind that is not registered.
    """
    if preprocess is None:
        return None
    preprocess = Scaled(preprocess) if isinstance(preprocess, Scaling) else preprocess
    content = preprocess.to_json() if hasattr(preprocess, "to_json") else None
    if (
        not callable(preprocess)
        or not isinstance(content, dict)
        or content.get("kind") not in KINDS
    ):
        raise ModelFileError(
            "save_model expects preprocess as Pixels(...), a data.Scaling, or a callable with "
            f"to_json() of a registered kind, but got a {type(preprocess).__name__}"
            f"{'' if content is None else f' of {printable(content):.80}'}; see register_preprocess"
        )
    return content


def from_json(content: dict[str, Any] | None) -> Any:
    """The `Preprocess` of a file; None for none.

    Raises:
      ModelFileError: its kind is not registered.
      ValueError, LookupError, TypeError: the content is not that of its kind.
    """
    if content is None:
        return None
    if (kind := content["kind"]) not in KINDS:
        raise ModelFileError(
            f"the file's preprocess is of the kind {printable(kind)!r}, but registered are "
            f"{', '.join(KINDS)}; import the module that calls register_preprocess first"
        )
    return KINDS[kind](content)


def _resized(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    from PIL import Image

    if images.dtype != np.uint8 or images.shape[-1] not in (1, 3):
        raise ModelFileError(
            f"Pixels expects images of {size} pixels, or 8-bit images of 1 or 3 channels to "
            f"resize, but got {images.dtype} {images.shape}; resize them first"
        )
    squeezed = images[..., 0] if images.shape[-1] == 1 else images
    height, width = size
    resized = [
        np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR))
        for image in squeezed
    ]
    return np.stack(resized).reshape(-1, height, width, images.shape[-1])


def _numbers(name: str, value: Any) -> float | tuple[float, ...]:
    values = value if isinstance(value, tuple | list) else [value]
    valid = [isinstance(v, int | float | np.number) and math.isfinite(v) for v in values]
    if not values or not all(valid):
        raise ModelFileError(
            f"Pixels expects {name} as a finite number, or one per channel, but got "
            f"{printable(value)}; write {name}=1.0"
        )
    return tuple(map(float, values)) if isinstance(value, tuple | list) else float(value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
