"""The series of `experiments.forecast`, and forecasts without a network to compare with."""

import hashlib
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxnets.data import DataError, Dataset, Split, fit_standard, windows
from jaxnets.files import regular_file
from jaxnets.messages import printable

ECG_FILE = "ecg_mitbih208.npz"
ECG_SHA256 = "f20ad3365fb9b7f845d0e5c48b6fe67081377ee466c3a220b7f69f35c8958baf"
ECG_BYTES = 119_035
ECG_RATE = 360  # values per second
ECG_STEP = 3  # of which this many are averaged: 120 values per second remain
DELAY = 17  # of the synthetic series


class Parts(NamedTuple):
    """The windows of three parts of a series, one after another in time, scaled by the first.

    Attributes:
      train: windows to train on.
      validation: windows to monitor the training on.
      test: windows to evaluate once.
    """

    train: Split
    validation: Split
    test: Split


def synthetic(n: int) -> np.ndarray:
    """(n,): the delay equation x' = 0.2 x(t - 17) / (1 + x(t - 17)**10) - 0.1 x, every second.

    It is chaotic. It is solved by Euler's method with steps of 0.1; the first 300 seconds are
    dropped. Source: Mackey & Glass 1977, "Oscillation and chaos in physiological control systems".
    """
    fine, delay = 10, 10 * DELAY
    x = np.full(delay + 1 + (n + 300) * fine, 1.2)
    for t in range(delay, len(x) - 1):
        late = x[t - delay]
        x[t + 1] = x[t] + (0.2 * late / (1 + late**10) - 0.1 * x[t]) / fine
    return x[-n * fine :: fine].copy()


def ecg(folder: Path | None) -> np.ndarray:
    """(time,): an electrocardiogram in millivolts, 120 values per second, 5 minutes.

    A lead of record 208 of the MIT-BIH Arrhythmia Database: Moody & Mark 2001; Goldberger et al.
    2000. It has many premature beats. SciPy has the file as `scipy.datasets.electrocardiogram`.

    Raises:
      DataError: no folder is given, the file is missing, or its checksum is wrong.
    """
    if folder is None:
        raise DataError(f"--series ecg expects a folder with {ECG_FILE}; pass it with --data-dir")
    path = folder / ECG_FILE
    try:
        with regular_file(path) as file:
            content = file.read(ECG_BYTES + 1)
    except OSError as error:
        raise DataError(f"{printable(path)} cannot be read: {printable(error)}") from error
    if hashlib.sha256(content).hexdigest() != ECG_SHA256:
        raise DataError(f"{printable(path)} does not have the SHA-256 {ECG_SHA256}; copy it again")
    raw = np.load(BytesIO(content), allow_pickle=False)["ecg"].astype(np.float64)
    raw = raw[: len(raw) // ECG_STEP * ECG_STEP]
    return ((raw - 1024) / 200).reshape(-1, ECG_STEP).mean(1)


def as_dataset(name: str, series: np.ndarray) -> Dataset:
    """A data set without examples: the name and the checksum of a series, for a run's files."""
    checksums = {"series": hashlib.sha256(series.tobytes()).hexdigest()}
    empty = Split(series[:0], series[:0])
    return Dataset(empty, empty, name, f"{len(series)} values", checksums, ())


def divide(series: np.ndarray, past: int, future: int, validation: int) -> Parts:
    """The first 70 % to train on, without the last `validation` of them; the other 30 % to test.

    No window reaches from one part into the next. Raises `DataError` where a part is too short.
    """
    test_start = len(series) * 7 // 10
    train_end = max(0, test_start - validation)
    scaling = fit_standard(series[:train_end, None])
    scaled = scaling.apply(series[:, None]).astype(np.float32)
    parts = scaled[:train_end], scaled[train_end:test_start], scaled[test_start:]
    train, validate, test = (windows(part, past, future) for part in parts)
    return Parts(train, validate, test)


def persistence(x: np.ndarray, future: int) -> np.ndarray:
    """(n, future, 1): the last value, repeated."""
    return np.repeat(x[:, -1:], future, axis=1)


def autoregression(train: Split, x: np.ndarray) -> np.ndarray:
    """(n, future, 1): each future value as a linear function of the past, by least squares."""
    weights, *_ = np.linalg.lstsq(_design(train.x), train.y[..., 0], rcond=None)
    return (_design(x) @ weights)[..., None]


def _design(x: np.ndarray) -> np.ndarray:
    """(n, past + 1): the past, and a one."""
    return np.concatenate([x[..., 0], np.ones((len(x), 1), x.dtype)], axis=1)
