"""Figures of several networks: metrics with bands over the seeds, and sheets of images."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from jaxnets.plot_style import COLOURS
from jaxnets.training import Progress
from jaxnets.training.population import spread

__all__ = ["COLOURS", "Name", "band", "curves", "legend", "place_names", "sheet"]


def curves(
    history: Sequence[Progress], title: str, names: Sequence[str] = ("loss", "accuracy")
) -> Figure:
    """Metrics by epoch, in training and validation, with bands over the members."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    figure.suptitle(title)
    epochs = [progress.passes for progress in history]
    for axes, name in zip(figure.subplots(1, len(names)), names, strict=True):
        band(axes, epochs, [p.train[name] for p in history], "training", COLOURS[0])
        evaluated = [p for p in history if p.validation is not None]
        values = [p.validation[name] for p in evaluated if p.validation is not None]
        band(axes, [p.passes for p in evaluated], values, "validation", COLOURS[1])
        unit = " (nats)" if name == "loss" and "accuracy" in names else ""
        axes.set(xlabel="epoch", ylabel=name.replace("_", " ") + unit)
        axes.xaxis.set_major_locator(MaxNLocator(integer=history[-1].epoch_done, min_n_ticks=1))
        axes.grid(alpha=0.3)
        legend(axes)
    return figure


def band(
    axes: Axes, x: Sequence[float], values: Any, label: str, colour: str, *, ranges: bool = True
) -> None:
    """The mean over the members of `values` (points, N), its 95 % interval, and their range.

    Where many bands share the axes, `ranges=False` leaves out the ranges.
    """
    if not len(x):
        return
    spreads = [spread(row) for row in np.asarray(values)]
    mean, low, high, best, worst = np.transpose([[*s[1:2], *s[3:7]] for s in spreads])
    if ranges:
        axes.fill_between(x, worst, best, color=colour, alpha=0.15, lw=0)
    axes.fill_between(x, low, high, color=colour, alpha=0.35, lw=0)
    axes.plot(x, mean, ".-", color=colour, lw=2, ms=7, label=label)


def legend(axes: Axes, *, ranges: bool = True, **options: Any) -> None:
    """A legend with the names of the lines and the meaning of the bands."""
    handles, _ = axes.get_legend_handles_labels()
    bands = {"95 % interval of the mean": 0.35} | ({"all networks": 0.15} if ranges else {})
    handles += [Patch(color="gray", alpha=a, lw=0, label=text) for text, a in bands.items()]
    axes.legend(handles=handles, **options)


def sheet(images: np.ndarray, title: str) -> Figure:
    """Gray images (rows, columns, height, width) side by side, 0 black and 1 white."""
    rows, columns, height, width = images.shape
    figure = Figure(figsize=(0.8 * columns, 0.8 * rows + 0.6), layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots()
    axes.set_axis_off()
    whole = images.transpose(0, 2, 1, 3).reshape(rows * height, columns * width)
    axes.imshow(whole, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    return figure


class Name(NamedTuple):
    """A name beside a point (x, y) of a map, and options of its text."""

    text: str
    point: Any
    options: dict[str, Any]


def place_names(axes: Axes, names: Sequence[Name]) -> list[str]:
    """Write names beside their points without overlap; earlier names have priority.

    A name is placed at the nearest free offset; if it is far away, a thin line leads to it.

    Returns:
      The names for which there was no room.
    """
    figure: Any = axes.figure
    figure.draw_without_rendering()  # computes the layout
    points = axes.transData.transform([name.point for name in names])
    taken = [Bbox.from_bounds(x - 4, y - 4, 8, 8) for x, y in points]
    left_out = []
    for name, point in zip(names, points, strict=True):
        size = _size(axes, name)
        for offset in OFFSETS:
            box = _box(point + offset * figure.dpi / 72, size, offset)
            if _contains(axes.bbox, box) and not box.count_overlaps(taken):
                taken.append(box)
                _write(axes, name, offset)
                break
        else:
            left_out.append(name.text)
    return left_out


# From a point to a name, in points: near first, and above and to the right first.
ANGLES = np.radians((45, 0, -45, 90, -90, 135, 180, -135))
DIRECTIONS = np.round(np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1), 6)
OFFSETS = np.concatenate([distance * DIRECTIONS for distance in (6, 16, 30, 48)])


def _size(axes: Axes, name: Name) -> np.ndarray:
    """The width and the height of a name, in pixels."""
    text = axes.text(0, 0, name.text, **name.options)
    size = text.get_window_extent().size
    text.remove()
    return size


def _box(place: np.ndarray, size: np.ndarray, offset: np.ndarray) -> Bbox:
    """The name's bounding box, on the side of `place` to which the offset points."""
    corner = place + size * (np.sign(offset) - 1) / 2
    return Bbox([corner, corner + size])


def _contains(outer: Any, inner: Bbox) -> bool:
    shown = Bbox.intersection(outer, inner)
    return shown is not None and np.allclose(shown.extents, inner.extents)


def _write(axes: Axes, name: Name, offset: np.ndarray) -> None:
    """Write the name; if it is not near its point, with a line to it."""
    line = {"arrowstyle": "-", "lw": 0.6, "shrinkA": 0, "color": name.options.get("color")}
    axes.annotate(
        name.text,
        name.point,
        tuple(offset),
        textcoords="offset points",
        ha=("right", "center", "left")[1 + int(np.sign(offset[0]))],
        va=("top", "center", "bottom")[1 + int(np.sign(offset[1]))],
        arrowprops=line if np.hypot(*offset) > 10 else None,
        in_layout=False,
        **name.options,
    )
