"""The style of all plots: sizes to be read on a slide, and colours for the colour-blind."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

# Okabe & Ito 2008, without yellow, which is too light for lines on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# From the eighth line on, colours repeat with another dash.
DASHES = ("-", "--", ":")

STYLE: dict[str, Any] = {
    "font.size": 12,
    "axes.titlesize": 13,
    "axes.labelsize": 12,
    "figure.titlesize": 16,
    "legend.fontsize": 11,
    "legend.frameon": False,
    "xtick.labelsize": 11,
    "ytick.labelsize": 11,
    "lines.linewidth": 2,
    "lines.markersize": 5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "image.interpolation": "nearest",
    "savefig.dpi": 120,
}


def style() -> dict[str, Any]:
    """The settings for `matplotlib.rc_context` or `matplotlib.rcParams.update`."""
    from matplotlib.rcsetup import cycler

    return STYLE | {"axes.prop_cycle": cycler(linestyle=DASHES) * cycler(color=COLOURS)}


def styled(draw: Callable[P, R]) -> Callable[P, R]:
    """A function that draws a figure, in the style of all plots."""

    @wraps(draw)
    def with_style(*arguments: P.args, **options: P.kwargs) -> R:
        import matplotlib

        settings: Any = style()
        with matplotlib.rc_context(settings):
            return draw(*arguments, **options)

    return with_style
