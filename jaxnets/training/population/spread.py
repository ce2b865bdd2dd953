"""The mean and the spread of a metric over several runs."""

from typing import NamedTuple

import numpy as np


class Spread(NamedTuple):
    """Summary statistics of a metric over several runs.

    Attributes:
      n: the number of runs, without those that diverged.
      mean: the mean.
      std: the standard deviation, with ddof=1; NaN for a single run.
      low: the lower end of the 95 % confidence interval of the mean, by Student's t; NaN for a
        single run.
      high: its upper end.
      best: the best value.
      worst: the worst value.
      diverged: the number of runs that diverged.
    """

    n: int
    mean: float
    std: float
    low: float
    high: float
    best: float
    worst: float
    diverged: int

    def __str__(self) -> str:
        text = f"mean {self.mean:.4f}"
        if self.n > 1:
            text += f" ± {self.std:.4f}, 95 % interval {self.low:.4f} to {self.high:.4f}"
        text += f", best {self.best:.4f}, worst {self.worst:.4f}, n = {self.n}"
        return text + (f", {self.diverged} diverged" if self.diverged else "")


def spread(values: np.ndarray, *, smaller_is_better: bool = False) -> Spread:
    """The `Spread` of a metric's values (N,); values that are not finite count as diverged.

    Raises:
      ValueError: `values` is not one-dimensional, or empty.
    """
    from scipy.stats import t

    values = np.asarray(values, float)
    if values.ndim != 1 or not values.size:
        raise ValueError(
            f"spread expects values (N,), N at least 1, but got the shape {values.shape}; pass one "
            "number per run"
        )
    finite = values[np.isfinite(values)]
    n, diverged = len(finite), len(values) - len(finite)
    if n == 0:
        return Spread(0, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, diverged)
    mean = float(finite.mean())
    std = float(finite.std(ddof=1)) if n > 1 else np.nan
    half_width = float(t.ppf(0.975, n - 1)) * std / n**0.5 if n > 1 else np.nan
    extremes = (float(finite.min()), float(finite.max()))
    best, worst = extremes if smaller_is_better else extremes[::-1]
    return Spread(n, mean, std, mean - half_width, mean + half_width, best, worst, diverged)
