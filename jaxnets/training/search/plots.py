"""Plots of a search, each as a matplotlib `Figure`."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxnets.plot_style import styled
from jaxnets.training.search.results import Results
from jaxnets.training.search.space import Distribution

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = "viridis"
DIVERGED = "crimson"  # trials without a score


@styled
def scores(results: Results, title: str) -> "Figure":
    """The score against each hyperparameter, one panel per name; diverged trials at the edge."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.5 + 3.2 * len(results.space), 3.8), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(1, len(results.space), squeeze=False, sharey=True)[0]
    scored = [trial for trial in results.trials if not np.isnan(trial.score)]
    diverged = [trial for trial in results.trials if np.isnan(trial.score)]
    lengths = sorted({trial.epochs for trial in scored})
    shades = colormaps[COLOURS](np.linspace(0.0, 0.9, len(lengths)))[::-1]  # the longest darkest
    for axes, (name, distribution) in zip(panels, results.space.items(), strict=True):
        _scale(axes, distribution)
        for epochs, shade in zip(lengths, shades, strict=True):
            trials = [trial for trial in scored if trial.epochs == epochs]
            places = [_place(distribution, trial.setting[name]) for trial in trials]
            heights = [trial.score for trial in trials]
            axes.plot(places, heights, "o", ms=4.5, color=shade, label=f"{epochs}")
        if diverged:
            places = [_place(distribution, trial.setting[name]) for trial in diverged]
            _mark_edge(axes, places, 1.0 if results.smaller_is_better else 0.0)
        axes.set_xlabel(name.replace("_", " "))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(f"validation {results.objective}")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, title="epochs", loc="outside right center")
    return figure


@styled
def parallel_coordinates(results: Results, title: str) -> "Figure":
    """One line per trial through its hyperparameters to its score; better trials are darker."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    columns = {name: _axis(d) for name, d in results.space.items()}
    label = f"validation {results.objective}"
    figure = Figure(figsize=(2.5 + 2.2 * len(columns), 4.4), layout="constrained")
    axes = figure.subplots()
    title = f"{title}\none line per trial, the darker the better"
    axes.set(title=title, ylim=(0, 1), xlim=(0, len(columns)), yticks=[])
    names = [name.replace("_", " ") for name in columns]
    axes.set_xticks(range(len(columns) + 1), [*names, label])
    finite = [trial.score for trial in results.trials if not np.isnan(trial.score)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    score = _axis(Distribution("uniform", (low, high if high > low else low + 1)))
    for x, axis in enumerate([*columns.values(), score]):
        _draw_axis(axes, x, axis)
    for rank, trial in reversed(list(enumerate(results.trials))):  # the best on top
        diverged = np.isnan(trial.score)
        heights = [axis.height(trial.setting[name]) for name, axis in columns.items()]
        heights += [] if diverged else [score.height(trial.score)]
        colour = DIVERGED if diverged else colormaps[COLOURS](0.9 * rank / len(results.trials))
        alpha = 0.4 if diverged else 0.8
        axes.plot(heights, "-", color=colour, alpha=alpha, linewidth=1.2)
    return figure


class _Axis(NamedTuple):
    """A vertical axis: a function from a value to its height in [0, 1], and the tick values."""

    height: Callable[[Any], float]
    ticks: Sequence[Any]


def _axis(distribution: Distribution) -> _Axis:
    from matplotlib.ticker import MaxNLocator

    if distribution.kind == "choice":
        options = distribution.arguments
        return _Axis(lambda value: (options.index(value) + 0.5) / len(options), options)
    low, high = distribution.arguments
    if distribution.kind == "log_uniform":
        decades = np.arange(np.ceil(np.log10(low)), np.floor(np.log10(high)) + 1)
        ticks = [low, high] if len(decades) < 2 else (10.0**decades).tolist()
        return _Axis(lambda value: float(np.log(value / low) / np.log(high / low)), ticks)
    locator = MaxNLocator(6, integer=distribution.kind == "integers")
    values = np.asarray(locator.tick_values(low, high))
    ticks = values[(values >= low) & (values <= high)].tolist()
    return _Axis(lambda value: (value - low) / (high - low), ticks)


def _draw_axis(axes: "Axes", x: int, axis: _Axis) -> None:
    axes.axvline(x, color="black", linewidth=0.8)
    for value in axis.ticks:
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        white = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.7}
        point = (x, axis.height(value))
        axes.annotate(
            text, point, (3, 0), textcoords="offset points", va="center", fontsize=10, bbox=white
        )


def _mark_edge(axes: "Axes", places: list, height: float) -> None:
    """Draw crosses on the panel's lower or upper edge, independent of its vertical scale."""
    transform = axes.get_xaxis_transform()  # x in data coordinates, y from 0 at the bottom to 1
    crosses = {"color": DIVERGED, "transform": transform, "clip_on": False, "label": "diverged"}
    (line,) = axes.plot(places, [height] * len(places), "x", **crosses)
    line.set_in_layout(False)  # or the layout would make room for it


def _scale(axes: "Axes", distribution: Distribution) -> None:
    """Scale the horizontal axis so that the distribution is uniform over it."""
    if distribution.kind == "choice":
        places = range(len(distribution.arguments))
        axes.set_xticks(places, map(str, distribution.arguments))
        axes.set_xlim(-0.5, len(places) - 0.5)
        return
    if distribution.kind == "log_uniform":
        axes.set_xscale("log")
    axes.set_xlim(*distribution.arguments)


def _place(distribution: Distribution, value: Any) -> Any:
    """The position of a value on its axis; that of an option is its index."""
    return distribution.arguments.index(value) if distribution.kind == "choice" else value
