"""Line charts as SVG text, whose colours follow the page's dark or light style."""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

import numpy as np

WIDTH, HEIGHT = 480, 270
LEFT, RIGHT, TOP, BOTTOM = 58, 22, 12, 44
MOST_POINTS = 240  # of a line
MOST_OF_ALL = 4800  # of all lines of a chart


class Line(NamedTuple):
    """One line of a chart.

    Attributes:
      label: its name in the legend.
      x: the positions.
      y: the values, (points,); or (points, members): the mean is drawn, in a band from the smallest
        to the largest, and each member as a thin line.
      dashed: whether the line is dashed, so that it also differs without colours.
    """

    label: str
    x: np.ndarray
    y: np.ndarray
    dashed: bool = False


def chart(
    lines: Sequence[Line], title: str, x_label: str, y_label: str, *, square: bool = False
) -> str:
    """A chart with axes, a legend and a description in words for those who do not see it.

    NaN and infinite values are left out. With `square`, both axes run from 0 to 1.
    """
    most = min(MOST_POINTS, max(2, MOST_OF_ALL // max(1, len(lines))))
    lines = [_thinned(line, most) for line in lines]
    xs, ys = (_finite(np.concatenate([np.ravel(line[i]) for line in lines])) for i in (1, 2))
    if not len(xs) or not len(ys):
        return f"<p>{escape(title)}: no finite value.</p>"
    x_ticks, y_ticks = (ticks(0, 1) if square else ticks(v.min(), v.max()) for v in (xs, ys))
    axes = _Axes(x_ticks, y_ticks)
    drawn = "".join(_line(axes, number, line) for number, line in enumerate(lines))
    description = "; ".join(f"{line.label}: {_words(line)}" for line in lines)
    return (
        f'<figure class="chart"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(f"{title}. {description}")}">'
        f"{axes.grid()}{drawn}{axes.labels(x_label, y_label)}</svg>"
        f"<figcaption><b>{escape(title)}</b> {_legend(lines)}</figcaption></figure>"
    )


def ticks(low: float, high: float) -> np.ndarray:
    """From at most `low` to at least `high`, in steps of 1, 2 or 5 times a power of ten."""
    span = high - low or abs(high) or 1.0
    exponent = 10.0 ** math.floor(math.log10(span / 4))
    step = next(m * exponent for m in (1, 2, 5, 10) if m * exponent >= span / 4.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return np.arange(first, max(last, first + 1) + 1) * step


def number(value: float) -> str:
    """A number with four digits, or with thousands separators."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "not finite"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


class _Axes(NamedTuple):
    x_ticks: np.ndarray
    y_ticks: np.ndarray

    def x(self, values: np.ndarray) -> np.ndarray:
        first, last = self.x_ticks[[0, -1]]
        return LEFT + (values - first) / (last - first) * (WIDTH - LEFT - RIGHT)

    def y(self, values: np.ndarray) -> np.ndarray:
        first, last = self.y_ticks[[0, -1]]
        return HEIGHT - BOTTOM - (values - first) / (last - first) * (HEIGHT - TOP - BOTTOM)

    def grid(self) -> str:
        rows, columns = self.y(self.y_ticks), self.x(self.x_ticks)
        bottom = HEIGHT - BOTTOM
        lines = [f"M{LEFT} {y:.1f}H{WIDTH - RIGHT}" for y in rows]
        lines += [f"M{x:.1f} {TOP}V{bottom}" for x in columns]
        texts = [
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{number(v)}</text>'
            for y, v in zip(rows, self.y_ticks, strict=True)
        ]
        texts += [
            f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{number(v)}</text>'
            for x, v in zip(columns, self.x_ticks, strict=True)
        ]
        return f'<path class="grid" d="{"".join(lines)}"/>' + "".join(texts)

    def labels(self, x_label: str, y_label: str) -> str:
        middle, half = (LEFT + WIDTH - RIGHT) / 2, (HEIGHT - BOTTOM + TOP) / 2
        return (
            f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_label)}</text>'
            f'<text transform="translate(12 {half})rotate(-90)" text-anchor="middle">'
            f"{escape(y_label)}</text>"
        )


def _line(axes: _Axes, index: int, line: Line) -> str:
    """The band, the members and the line itself."""
    kind = f"s{index % 7}" + " dashed" * line.dashed
    if line.y.ndim == 1:
        return f'<path class="line {kind}" d="{_path(axes, line.x, line.y)}"/>'
    finite = np.isfinite(line.y).any(1)
    x, y = line.x[finite], line.y[finite]
    if not len(x):
        return ""
    outline = np.concatenate([np.nanmin(y, 1), np.nanmax(y, 1)[::-1]])
    band = _path(axes, np.concatenate([x, x[::-1]]), outline)
    members = "".join(_path(axes, x, member) for member in y.T[:64])
    return (
        f'<path class="band {kind}" d="{band}Z"/><path class="member {kind}" d="{members}"/>'
        f'<path class="line {kind}" d="{_path(axes, x, np.nanmean(y, 1))}"/>'
    )


def _path(axes: _Axes, x: np.ndarray, y: np.ndarray) -> str:
    """The path through the finite points, interrupted where a value is not finite."""
    steps, pen = [], "M"
    for left, top in zip(axes.x(x), axes.y(y), strict=True):
        if math.isfinite(left) and math.isfinite(top):
            steps.append(f"{pen}{left:.1f} {top:.1f}")
            pen = "L"
        else:
            pen = "M"
    if len(steps) == 1:
        steps.append("m-4 0h8")  # one point, drawn as a dash
    return "".join(steps)


def _legend(lines: Sequence[Line]) -> str:
    return " ".join(
        f'<span class="key"><svg viewBox="0 0 28 8" aria-hidden="true"><path class="line '
        f's{index % 7}{" dashed" * line.dashed}" d="M2 4H26"/></svg>{escape(line.label)}</span>'
        for index, line in enumerate(lines)
    )


def _words(line: Line) -> str:
    """The first and the last finite value."""
    means = [_mean(row) for row in line.y]
    means = [mean for mean in means if math.isfinite(mean)]
    return f"from {number(means[0])} to {number(means[-1])}" if means else "no finite value"


def _mean(values: np.ndarray) -> float:
    finite = _finite(np.atleast_1d(values))
    return float(finite.mean()) if len(finite) else math.nan


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]


def _thinned(line: Line, most: int) -> Line:
    """The line with at most `most` points, each the mean of as many neighbours."""
    x, y = np.asarray(line.x, np.float64), np.asarray(line.y, np.float64)
    y = np.where(np.isfinite(y), y, np.nan)
    each = -(-len(x) // most)
    if each > 1:
        starts = np.arange(0, len(x), each)
        counts = np.diff(np.append(starts, len(x)))
        x = np.add.reduceat(x, starts) / counts
        y = np.add.reduceat(y, starts) / counts.reshape(-1, *[1] * (y.ndim - 1))
    return line._replace(x=x, y=y)
