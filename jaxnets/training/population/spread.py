"""How much the members of a population differ: what a single number would hide."""

from typing import NamedTuple

import numpy as np


class Spread(NamedTuple):
    """What is known of a figure from several runs.

    Attributes:
      n: the runs it is known from; those that diverged are not among them.
      mean: their mean.
      std: their standard deviation, of the n - 1 kind; NaN for a single run.
      low: the lower end of the 95 % interval of the mean, by Student's t; NaN for a single run.
      high: its upper end.
      best: the best run's.
      worst: the worst run's.
      diverged: how many runs have no figure, since they diverged.
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
    """The `Spread` of one figure (N,); a NaN stands for a run that diverged.

    Raises:
      ValueError: `values` is not one-dimensional, or empty.
    """
    from scipy.stats import t

    values = np.asarray(values, float)
    if values.ndim != 1 or not values.size:
        raise ValueError(f"spread expects figures (N,), N at least 1, but got {values.shape}")
    known = values[np.isfinite(values)]
    n, diverged = len(known), len(values) - len(known)
    if n == 0:
        return Spread(0, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, diverged)
    mean = float(known.mean())
    std = float(known.std(ddof=1)) if n > 1 else np.nan
    half = float(t.ppf(0.975, n - 1)) * std / n**0.5 if n > 1 else np.nan
    ends = (float(known.min()), float(known.max()))
    best, worst = ends if smaller_is_better else ends[::-1]
    return Spread(n, mean, std, mean - half, mean + half, best, worst, diverged)
