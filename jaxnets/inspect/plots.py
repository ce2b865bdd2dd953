"""Plots of training curves and confusion matrices, as matplotlib figures; need no display."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxnets.plot_style import styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from jaxnets.training.report import Progress


@styled
def curves(history: Sequence["Progress"], title: str) -> "Figure":
    """Every scalar metric by epoch, in training and validation, with one panel per metric.

    The metrics of an unfinished epoch are plotted where it stopped: at 0.5 after half an epoch.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    names = [name for name, value in history[0].train.items() if isinstance(value, float)]
    figure = Figure(figsize=(5 * len(names), 4), layout="constrained")
    figure.suptitle(title)
    epochs = [progress.passes for progress in history]
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        validation = {p.passes: p.validation[name] for p in history if p.validation is not None}
        axes.plot(
            epochs,
            [p.train[name] for p in history],
            "o-",
            label="training" if validation else "training (nothing held out)",
        )
        if validation:
            axes.plot(list(validation), list(validation.values()), "s-", label="validation")
        unit = " (nats)" if name == "loss" and "accuracy" in names else ""
        axes.set(xlabel="epoch", ylabel=name.replace("_", " ") + unit)
        axes.xaxis.set_major_locator(MaxNLocator(integer=history[-1].epoch_done, min_n_ticks=1))
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


@styled
def confusion(matrix: np.ndarray, classes: Sequence[str], title: str) -> "Figure":
    """A confusion matrix of counts, true classes in rows; colours show the fraction of the row."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 6.5), layout="constrained")
    axes = figure.subplots()
    fractions = matrix / np.maximum(matrix.sum(1, keepdims=True), 1)
    image = axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(matrix):
        if count:
            colour = "white" if fractions[row, column] > 0.5 else "black"
            axes.text(column, row, f"{count}", ha="center", va="center", color=colour, fontsize=8)
    ticks = range(len(classes))
    axes.set_xticks(ticks, classes, rotation=45 if max(map(len, classes)) > 2 else 0)
    axes.set_yticks(ticks, classes)
    axes.set(xlabel="predicted class", ylabel="true class", title=title)
    figure.colorbar(image, ax=axes, label="fraction of the true class", shrink=0.8)
    return figure
