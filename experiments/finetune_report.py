"""What `finetune` found, in words and as a figure: accuracy against how few images there are."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

COLOURS = {"from scratch": "#D55E00", "fine-tuned": "#0072B2"}  # told apart by the colour-blind too


def draw(results: dict[str, dict[str, Any]], seeds: int) -> Figure:
    """Test accuracy against images a class, a panel a direction and a line a way."""
    figure = Figure(figsize=(14, 5.6), layout="constrained")
    figure.suptitle("Few images: fine-tuned after other pictures, or from scratch", fontsize=18)
    panels = np.atleast_1d(figure.subplots(1, len(results)))
    for axes, (direction, by_count) in zip(panels, results.items(), strict=True):
        counts = [int(count) for count in by_count]
        for way, colour in COLOURS.items():
            means = [100 * found[way]["mean"] for found in by_count.values()]
            low, high = np.array([found[way]["interval"] for found in by_count.values()]).T * 100
            axes.plot(counts, means, "o-", color=colour, lw=2.5, ms=7, label=way)
            axes.fill_between(counts, low, high, color=colour, alpha=0.25, lw=0)
        for count, found in zip(counts, by_count.values(), strict=True):
            top = max(found[way]["mean"] for way in COLOURS)
            text, place = f"{100 * found['difference']['mean']:+.1f}", (count, 100 * top)
            axes.annotate(text, place, (0, 10), textcoords="offset points", ha="center", size=13)
        axes.set_title(direction, fontsize=14)
        axes.set(xscale="log", xlabel="images a class")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.margins(x=0.12, y=0.15)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("test accuracy (%)", fontsize=13)
    panels[0].legend(fontsize=12, loc="lower right")
    figure.supxlabel(
        f"bands: 95 % intervals of the mean over {seeds} seeds; numbers: mean paired difference, "
        "points",
        fontsize=11,
    )
    return figure


def tell(what: str, found: dict[str, Any]) -> None:
    """Print a comparison."""
    scratch, finetuned, gap = (
        100 * found[name]["mean"] for name in ("from scratch", "fine-tuned", "difference")
    )
    low, high = (100 * end for end in found["difference"]["interval"])
    print(
        f"{what}: from scratch {scratch:.2f} %, fine-tuned {finetuned:.2f} %, difference "
        f"{gap:+.2f} points, 95 % interval {low:+.2f} to {high:+.2f}",
        flush=True,
    )
