"""A search in pictures, each a matplotlib `Figure`: what was tried, and what came of it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxnets.training.search.results import Results
from jaxnets.training.search.space import Distribution

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = "viridis"
LOST = "crimson"  # trials without a score


def scores(results: Results, title: str) -> "Figure":
    """The score against each hyperparameter, a panel each; what diverged stands on the edge."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.5 + 3.2 * len(results.space), 3.8), layout="constrained")
    figure.suptitle(title)
    panels = figure.subplots(1, len(results.space), squeeze=False, sharey=True)[0]
    scored = [trial for trial in results.trials if not np.isnan(trial.score)]
    lost = [trial for trial in results.trials if np.isnan(trial.score)]
    lengths = sorted({trial.epochs for trial in scored})
    shades = colormaps[COLOURS](np.linspace(0.9, 0.0, len(lengths)))
    for axes, (name, distribution) in zip(panels, results.space.items(), strict=True):
        _scale(axes, distribution)
        for epochs, shade in zip(lengths, shades, strict=True):
            trials = [trial for trial in scored if trial.epochs == epochs]
            places = [_place(distribution, trial.setting[name]) for trial in trials]
            heights = [trial.score for trial in trials]
            axes.plot(places, heights, "o", ms=4.5, color=shade, label=f"{epochs}")
        if lost:
            places = [_place(distribution, trial.setting[name]) for trial in lost]
            _on_edge(axes, places, 1.0 if results.smaller_is_better else 0.0)
        axes.set_xlabel(name)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(f"validation {results.objective}")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, title="epochs", loc="outside right center")
    return figure


def parallel_coordinates(results: Results, title: str) -> "Figure":
    """A line a trial through its hyperparameters to its score; the better, the brighter."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    columns = {name: _along(d) for name, d in results.space.items()}
    label = f"validation {results.objective}"
    figure = Figure(figsize=(2.5 + 2.2 * len(columns), 4.4), layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, ylim=(0, 1), xlim=(0, len(columns)), yticks=[])
    axes.set_xticks(range(len(columns) + 1), [*columns, label])
    known = [trial.score for trial in results.trials if not np.isnan(trial.score)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    score = _along(Distribution("uniform", (low, high if high > low else low + 1)))
    for x, along in enumerate([*columns.values(), score]):
        _ruler(axes, x, along)
    for rank, trial in reversed(list(enumerate(results.trials))):  # the best on top
        lost = np.isnan(trial.score)
        heights = [along.height(trial.setting[name]) for name, along in columns.items()]
        heights += [] if lost else [score.height(trial.score)]
        shade = colormaps[COLOURS](1 - rank / len(results.trials))
        axes.plot(heights, color=LOST if lost else shade, alpha=0.4 if lost else 0.8, linewidth=1.2)
    return figure


class _Along(NamedTuple):
    """An upright axis: the height in [0, 1] of a value, and the values that are marked."""

    height: Callable[[Any], float]
    marks: Sequence[Any]


def _along(distribution: Distribution) -> _Along:
    from matplotlib.ticker import MaxNLocator

    if distribution.kind == "choice":
        options = distribution.arguments
        return _Along(lambda value: (options.index(value) + 0.5) / len(options), options)
    low, high = distribution.arguments
    if distribution.kind == "log_uniform":
        decades = np.arange(np.ceil(np.log10(low)), np.floor(np.log10(high)) + 1)
        marks = [low, high] if len(decades) < 2 else (10.0**decades).tolist()
        return _Along(lambda value: float(np.log(value / low) / np.log(high / low)), marks)
    locator = MaxNLocator(6, integer=distribution.kind == "integers")
    ticks = np.asarray(locator.tick_values(low, high))
    marks = ticks[(ticks >= low) & (ticks <= high)].tolist()
    return _Along(lambda value: (value - low) / (high - low), marks)


def _ruler(axes: "Axes", x: int, along: _Along) -> None:
    axes.axvline(x, color="black", linewidth=0.8)
    for value in along.marks:
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        white = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.7}
        at = (x, along.height(value))
        axes.annotate(
            text, at, (3, 0), textcoords="offset points", va="center", fontsize=8, bbox=white
        )


def _on_edge(axes: "Axes", places: list, height: float) -> None:
    """Crosses at the places, on the panel's lower or upper edge, whatever its scale."""
    upright = axes.get_xaxis_transform()  # x as in the data, y from 0 below to 1 above
    crosses = {"color": LOST, "transform": upright, "clip_on": False, "label": "diverged"}
    (drawn,) = axes.plot(places, [height] * len(places), "x", **crosses)
    drawn.set_in_layout(False)  # else the layout makes room for it where it stands in no way


def _scale(axes: "Axes", distribution: Distribution) -> None:
    """The horizontal axis over the distribution's range, on which it is as likely everywhere."""
    if distribution.kind == "choice":
        places = range(len(distribution.arguments))
        axes.set_xticks(places, map(str, distribution.arguments))
        axes.set_xlim(-0.5, len(places) - 0.5)
        return
    if distribution.kind == "log_uniform":
        axes.set_xscale("log")
    axes.set_xlim(*distribution.arguments)


def _place(distribution: Distribution, value: Any) -> Any:
    """Where a value stands on its axis: an option at its number."""
    return distribution.arguments.index(value) if distribution.kind == "choice" else value
