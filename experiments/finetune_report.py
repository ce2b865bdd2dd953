"""The results of `finetune` as text and as a figure: accuracy against the number of images."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

COLOURS = {
    "from scratch": "#D55E00",
    "fine-tuned": "#0072B2",
}  # distinct for colour-blind readers too


def draw(results: dict[str, dict[str, Any]], seeds: int) -> Figure:
    """Test accuracy against images per class, a panel per direction and a line per method."""
    figure = Figure(figsize=(14, 5.6), layout="constrained")
    figure.suptitle("Training on few images: fine-tuning and from scratch")
    panels = np.atleast_1d(figure.subplots(1, len(results), sharey=True))
    rows = [row for by_count in results.values() for row in by_count.values()]
    least = min(100 * row[method]["mean"] for row in rows for method in COLOURS)
    # an interval over few seeds may end outside of it
    panels[0].set_ylim(max(0, 10 * (least // 10) - 10), 103)
    for axes, (direction, by_count) in zip(panels, results.items(), strict=True):
        counts = [int(count) for count in by_count]
        for method, colour in COLOURS.items():
            rows = [comparison[method] for comparison in by_count.values()]
            means = [100 * row["mean"] for row in rows]
            low, high = np.array([row["interval"] for row in rows]).T * 100
            axes.plot(counts, means, "o-", color=colour, lw=2.5, ms=7, label=method)
            axes.fill_between(counts, low, high, color=colour, alpha=0.25, lw=0)
        for count, comparison in zip(counts, by_count.values(), strict=True):
            top = max(comparison[method]["mean"] for method in COLOURS)
            text = f"{100 * comparison['difference']['mean']:+.1f}"
            options = {"textcoords": "offset points", "ha": "center", "size": 13}
            axes.annotate(text, (count, 100 * top), (0, 10), **options)
        axes.set_title(direction)
        axes.set(xscale="log", xlabel="images per class")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.margins(x=0.12)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("test accuracy (%)", fontsize=13)
    panels[0].legend(fontsize=12, loc="lower right")
    figure.supxlabel(
        f"bands: 95 % intervals of the mean over {seeds} seeds; numbers: mean paired difference, "
        "points",
        fontsize=11,
    )
    return figure


def describe(comparison: dict[str, Any]) -> str:
    """A comparison in one line."""
    scratch, finetuned, difference = (
        100 * comparison[name]["mean"] for name in ("from scratch", "fine-tuned", "difference")
    )
    low, high = (100 * end for end in comparison["difference"]["interval"])
    return (
        f"from scratch {scratch:.2f} %, fine-tuned {finetuned:.2f} %, difference "
        f"{difference:+.2f} points, 95 % interval {low:+.2f} to {high:+.2f}"
    )
