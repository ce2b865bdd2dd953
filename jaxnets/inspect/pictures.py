"""Figures of filters, feature maps, attributions and embeddings, with matplotlib."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxnets.errors import LayerError
from jaxnets.plot_style import COLOURS, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


SHAPES = "osD^v<>P*X"  # of classes on a map


class Filtered(NamedTuple):
    """A filtered image.

    Attributes:
      image: (height, width).
      written: the filter as text.
      signed: whether the colour scale is centred at 0 and ends at the 99th percentile of the
        magnitude, for a filter whose weights sum to 0. Otherwise values are brightness in 0..1.
    """

    image: Any
    written: str
    signed: bool


@styled
def filters(kernel: Any, title: str) -> "Figure":
    """The filters of a first layer, kernel (height, width, 1 or 3, features), on a common scale.

    With one channel, positive weights are red and negative ones blue. With three, filters are
    shown as colours: a weight of 0 is middle grey, and the largest magnitude is full colour.

    Raises:
      LayerError: the number of channels is not 1 or 3.
    """
    tiles = np.moveaxis(np.asarray(kernel, np.float32), -1, 0)
    if tiles.ndim != 4 or tiles.shape[-1] not in (1, 3):
        raise LayerError(
            f"filters expects a kernel (height, width, 1 or 3, features), but got "
            f"{np.shape(kernel)}; use feature_maps for deeper layers"
        )
    largest = float(np.abs(tiles).max()) or 1.0
    if tiles.shape[-1] == 3:
        return _grid((tiles / largest + 1) / 2, title, "filter")
    limits = {"cmap": "RdBu_r", "vmin": -largest, "vmax": largest}
    return _grid(tiles[..., 0], title, "filter", bar="weight", **limits)


@styled
def feature_maps(maps: Any, title: str, most: int = 64, *, image: Any = None) -> "Figure":
    """The first `most` feature maps (height, width, features) of an image, on a common scale.

    With `image` (height, width, 1 or 3), it is drawn beside them, min-max scaled to 0..1.
    """
    tiles = np.moveaxis(np.asarray(maps, np.float32), -1, 0)[:most]
    signed = tiles.min() < 0
    largest = float(np.abs(tiles).max()) or 1.0
    limits = {"vmin": -largest if signed else 0, "vmax": largest}
    colours = "RdBu_r" if signed else "magma"
    return _grid(tiles, title, "map", "activation", image, cmap=colours, **limits)


@styled
def evidence(images: Any, rows: dict[str, Any], titles: Sequence[str], title: str) -> "Figure":
    """Images (n, height, width, 1 or 3) in 0..1, and below each its maps, one row per kind of map.

    Args:
      images: the images that the maps belong to.
      rows: maps (n, h, w) at any resolution, by name; each is divided by its largest value.
      titles: one per image.
      title: the title of the figure.
    """
    from matplotlib.figure import Figure

    images = np.asarray(images)
    figure = Figure(
        figsize=(1.2 + 2.1 * len(images), 2.1 * (1 + len(rows)) + 1), layout="constrained"
    )
    figure.suptitle(title, fontsize=22)
    panels = figure.subplots(1 + len(rows), len(images), squeeze=False)
    height, width = images.shape[1:3]
    extent = (-0.5, width - 0.5, height - 0.5, -0.5)  # a coarse map covers the whole image
    for axes, image, name in zip(panels[0], images, titles, strict=True):
        _show(axes, image)
        axes.set_title(name.replace(" classified", "\nclassified"), fontsize=16)
    for row, (name, maps) in zip(panels[1:], rows.items(), strict=True):
        row[0].set_ylabel(name, fontsize=16)
        for axes, image, heatmap in zip(row, images, np.asarray(maps), strict=True):
            _show(axes, image.mean(-1, keepdims=True))
            heatmap = heatmap / (heatmap.max() or 1)
            style = {"cmap": "inferno", "vmin": 0, "vmax": 1, "alpha": 0.75}
            drawn = axes.imshow(heatmap, extent=extent, interpolation="bilinear", **style)
    bar = figure.colorbar(drawn, ax=panels[1:], shrink=0.7)
    bar.set_label("fraction of the image's maximum", fontsize=14)
    return figure


@styled
def embedding(points: Any, share: Any, labels: Any, classes: Sequence[str], title: str) -> "Figure":
    """Points (n, 2) of two principal components; axes show their share.

    A class has a colour and, since colours repeat after seven, a marker: its name if every
    name is one letter or digit, else a shape.
    """
    from matplotlib.figure import Figure

    points, labels = np.asarray(points), np.asarray(labels)
    figure = Figure(figsize=(8, 6.5), layout="constrained")
    axes = figure.subplots()
    named = all(len(name) == 1 and name.isalnum() for name in classes)
    for number, name in enumerate(classes):
        members = points[labels == number]
        marker = f"${name}$" if named else SHAPES[number % len(SHAPES)]
        look = {"marker": marker, "s": 36 if named else 16, "lw": 0.3 if named else 0}
        axes.scatter(*members.T, color=COLOURS[number % len(COLOURS)], label=name, **look)
    first, second = (
        f"component {i} ({part:.0%} of the variance)" for i, part in enumerate(share, 1)
    )
    axes.set(xlabel=first, ylabel=second, title=title)
    axes.grid(alpha=0.3)
    axes.legend(title="class", markerscale=1.5, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


@styled
def gallery(original: Any, results: dict[str, Filtered], title: str, columns: int = 4) -> "Figure":
    """An image (height, width, 1 or 3) in 0..1 and filtered versions of it, by name."""
    from matplotlib.figure import Figure

    rows = -(-(1 + len(results)) // columns)
    height, width = np.shape(original)[:2]
    size = (3.6 * columns, rows * (2.8 * height / width + 1.2) + 0.5)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title)
    first, *others = figure.subplots(rows, columns, squeeze=False).flat
    _show(first, original)
    first.set_title("original")
    for axes, (name, result) in zip(others, results.items(), strict=False):
        image = np.asarray(result.image)
        largest = float(np.percentile(np.abs(image), 99)) or 1.0
        bounds = {"vmin": -largest, "vmax": largest} if result.signed else {"vmin": 0, "vmax": 1}
        drawn = axes.imshow(image, cmap="RdBu_r" if result.signed else "gray", **bounds)
        axes.set_title(name)
        axes.set_xlabel(result.written, family="monospace")
        axes.set(xticks=[], yticks=[])
        label = "response" if result.signed else "brightness"
        figure.colorbar(drawn, ax=axes, label=label, shrink=0.8, extend="both")
    for axes in others[len(results) :]:
        axes.remove()
    return figure


def _grid(
    tiles: np.ndarray, title: str, noun: str, bar: str = "", image: Any = None, **colours: Any
) -> "Figure":
    """Tiles (n, height, width) or (n, height, width, 3) in a grid, with numbers on the left."""
    from matplotlib.figure import Figure

    columns = int(np.ceil(np.sqrt(len(tiles))))
    figure = Figure(figsize=(8 if image is None else 10.4, 7.5), layout="constrained")
    if image is None:
        axes = figure.subplots()
    else:
        left, axes = figure.subplots(1, 2, width_ratios=(1, 3.6))
        low, high = np.min(image), np.max(image)
        _show(left, (np.asarray(image) - low) / ((high - low) or 1))
        left.set_title("the image")
    drawn = axes.imshow(_mosaic(tiles, columns), interpolation="nearest", **colours)
    step = tiles.shape[1] + _gap(tiles)
    rows = range(0, len(tiles), columns)
    ends = [min(first + columns, len(tiles)) - 1 for first in rows]
    names = [f"{a}" if a == b else f"{a} to {b}" for a, b in zip(rows, ends, strict=True)]
    middles = [row * step + (tiles.shape[1] - 1) / 2 for row in range(len(rows))]
    axes.set_yticks(middles, names)
    axes.set(xticks=[], xlabel=f"{noun}s in rows, from left to right", title=title)
    axes.spines[:].set_visible(False)
    if bar:
        figure.colorbar(drawn, ax=axes, label=bar, shrink=0.8)
    return figure


def _mosaic(tiles: np.ndarray, columns: int) -> np.ndarray:
    """One image of all tiles in a grid, white between them."""
    gap, rows = _gap(tiles), -(-len(tiles) // columns)
    height, width = (side + gap for side in tiles.shape[1:3])
    empty = 1.0 if tiles.ndim == 4 else np.nan
    mosaic = np.full((rows * height - gap, columns * width - gap, *tiles.shape[3:]), empty)
    for i, tile in enumerate(tiles):
        top, left = i // columns * height, i % columns * width
        mosaic[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return mosaic


def _gap(tiles: np.ndarray) -> int:
    return max(1, tiles.shape[1] // 12)


def _show(axes: "Axes", image: Any) -> None:
    image = np.clip(np.asarray(image), 0, 1)
    image = image[..., 0] if image.shape[-1] == 1 else image
    axes.imshow(image, cmap="gray", vmin=0, vmax=1)
    axes.set(xticks=[], yticks=[])
