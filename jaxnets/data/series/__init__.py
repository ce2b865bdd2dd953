"""Time series: files of the UCR and UEA archives, and windows to forecast from."""

from jaxnets.data.series.cases import Series
from jaxnets.data.series.files import read_series
from jaxnets.data.series.sources import load_series
from jaxnets.data.series.window import windows

__all__ = ["Series", "load_series", "read_series", "windows"]
