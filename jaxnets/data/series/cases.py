"""Labelled time series, and their assembly from the cases of a file that may be malicious."""

from dataclasses import dataclass

import numpy as np

from jaxnets.data.dataset import read_only

LARGEST = float(np.finfo(np.float32).max)
DIGITS = frozenset(b"0123456789+-.eE \t,")  # what a list of numbers consists of
MOST_PADDING = 100  # padded values per value of the file: one long case would fill the memory


@dataclass(frozen=True)
class Series:
    """Labelled time series, padded at their end with zeros to one length; read-only.

    `fit` does not take it as a pair, since a network without the lengths also trains on the
    padding. If all series have one length, pass `(series.values, series.y)`.

    Attributes:
      values: float32 (n, time, channels).
      lengths: int32 (n,), the number of values of each series along time.
      y: int32 (n,), an index into `classes`.
      classes: the names of the classes.
    """

    values: np.ndarray
    lengths: np.ndarray
    y: np.ndarray
    classes: tuple[str, ...]


class Invalid(Exception):
    """What is wrong with a file's content; the reader adds the name of the file and the cure."""


def parse_values(text: bytes, where: str) -> np.ndarray:
    """Numbers that are separated by commas, as float64; raises `Invalid` for anything else."""
    if not DIGITS.issuperset(text):
        raise Invalid(f"{where} expects finite numbers, but got {_first_wrong(text)!r}")
    try:
        values = np.array([float(number) for number in text.split(b",")])
    except ValueError:
        raise Invalid(f"{where} expects finite numbers, but got {_first_wrong(text)!r}") from None
    if np.abs(values).max() > LARGEST:
        raise Invalid(f"{where} has a number beyond float32")
    return values


def assemble(cases: list[np.ndarray], labels: list[int], classes: tuple[str, ...]) -> Series:
    """The series of the cases, each (length, channels); raises `Invalid` unless they fit."""
    if not cases:
        raise Invalid("it has no case after @data")
    channels = cases[0].shape[1]
    for row, case in enumerate(cases):
        if case.shape[1] != channels:
            raise Invalid(f"case {row} has {case.shape[1]} channels, but case 0 has {channels}")
    lengths = np.array([len(case) for case in cases], np.int32)
    longest, values = int(lengths.max()), int(lengths.sum())
    if len(cases) * longest > MOST_PADDING * values:
        raise Invalid(
            f"padding {len(cases)} cases to {longest} steps multiplies the number of values by "
            f"more than {MOST_PADDING}"
        )
    padded = np.zeros((len(cases), longest, channels), np.float32)
    for row, case in enumerate(cases):
        padded[row, : len(case)] = case
    y = np.array(labels, np.int32)
    return Series(read_only(padded), read_only(lengths), read_only(y), classes)


def _first_wrong(text: bytes) -> str:
    """The first entry that is not a finite number, shortened."""
    for entry in text.split(b","):
        try:
            if DIGITS.issuperset(entry) and np.isfinite(float(entry)):
                continue
        except ValueError:
            pass
        return entry[:40].decode("utf-8", "replace")
    return ""
