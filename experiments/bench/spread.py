"""A measured number: its median, its quartiles, how often it was measured, whether it is noisy."""

from collections.abc import Sequence
from typing import Any

import numpy as np

NOISY = 0.1  # of the median, between the quartiles


def spread(values: Sequence[float]) -> dict[str, Any]:
    """The median, the lower and the upper quartile, n, and whether these differ by too much."""
    low, median, high = (float(q) for q in np.quantile(values, (0.25, 0.5, 0.75)))
    noisy = high - low > NOISY * abs(median)
    return {"median": median, "low": low, "high": high, "n": len(values), "noisy": noisy}


def ratio(seconds: Sequence[float], ours: Sequence[float]) -> dict[str, Any]:
    """How many times faster ours is, each round's seconds against those of the same round."""
    return spread(np.divide(seconds, ours).tolist())
