"""Windows of a long series, to forecast its future from its past."""

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from jaxnets.arrays import as_rows
from jaxnets.checks import as_integers
from jaxnets.data.dataset import Split
from jaxnets.errors import DataError


def windows(series: Any, past: int, future: int, stride: int = 1) -> Split:
    """Every window of a series in time, as its `past` values and the `future` values after them.

    The windows are views of the series and take no memory. Divide the series in time first, since
    windows overlap, and scale it by its training part:

    >>> from jaxnets.data import fit_standard, windows
    >>> series = np.sin(np.arange(100.0))
    >>> scaling = fit_standard(series[:70])
    >>> train = windows(scaling.apply(series[:70]), past=24, future=6)
    >>> test = windows(scaling.apply(series[70:]), past=24, future=6)
    >>> train.x.shape, train.y.shape, test.x.shape
    ((41, 24), (41, 6), (1, 24))

    Args:
      series: (time, ...), such as (time, channels).
      past: the number of values that a forecast is made from.
      future: the number of values to forecast.
      stride: the distance in time from one window to the next.

    Returns:
      x, (n, past, ...), and y, (n, future, ...), read-only; n is
      (time - past - future) // stride + 1.

    Raises:
      DataError: sizes that are not positive integers, or a series that is shorter than a window.
    """
    values = np.asarray(as_rows("windows", "the series", series, DataError, wide=True))
    past, future, stride = as_integers(
        "windows", error=DataError, past=past, future=future, stride=stride
    )
    if len(values) < past + future:
        raise DataError(
            f"windows expects a series of at least past + future = {past + future} values in time, "
            f"but got {len(values)}; pass a longer series (time, ...), or smaller windows"
        )
    views = np.moveaxis(sliding_window_view(values, past + future, axis=0)[::stride], -1, 1)
    return Split(views[:, :past], views[:, past:])
