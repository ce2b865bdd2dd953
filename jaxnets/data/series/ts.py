"""Reads the .ts format of the UCR and UEA archives.

Lines that start with # are comments. The header has lines of @name and values; after @data every
line is a case: its channels separated by colons, the values of a channel by commas, and its class
at the end. Source: https://www.timeseriesclassification.com, Bagnall et al. 2018, arXiv:1811.00075.
"""

from collections.abc import Iterator

import numpy as np

from jaxnets.data.series.cases import Invalid, Series, assemble, parse_values

Header = dict[str, list[str]]


def parse(lines: Iterator[bytes]) -> Series:
    """The series in the lines of a .ts file; raises `Invalid` for anything else."""
    header = _header(lines)
    for flag in ("timestamps", "missing"):
        if _flag(header, flag):
            raise Invalid(f"@{flag} is true, and such series are not read")
    classes = _classes(header)
    numbers = {name: number for number, name in enumerate(classes)}
    cases, labels = [], []
    for line in lines:
        if text := line.strip():
            *channels, label = text.split(b":")
            cases.append(_case(channels, f"case {len(cases)}"))
            labels.append(_number(numbers, label, f"case {len(labels)}"))
    series = assemble(cases, labels, classes)
    _check(header, series)
    return series


def _header(lines: Iterator[bytes]) -> Header:
    """The entries before @data by their lower-case names."""
    header: Header = {}
    for line in lines:
        text = line.strip()
        if not text or text.startswith(b"#"):
            continue
        name, *values = text.decode("utf-8", "replace").split()
        if not name.startswith("@"):
            raise Invalid(f"it has {text[:40].decode('utf-8', 'replace')!r} before @data")
        name = name[1:].lower()
        if name == "data":
            return header
        if name in header:
            raise Invalid(f"it has @{name[:40]} twice")
        header[name] = values
    raise Invalid("it has no @data")


def _classes(header: Header) -> tuple[str, ...]:
    """The names of the classes, in the header's order."""
    flag, *names = header.get("classlabel", ["false"])
    if flag.lower() != "true" or not names:
        raise Invalid("it has no @classLabel true with the names of the classes")
    if len(set(names)) < len(names):
        raise Invalid("its @classLabel repeats a class")
    return tuple(names)


def _case(channels: list[bytes], where: str) -> np.ndarray:
    """(length, channels)."""
    if not channels:
        raise Invalid(f"{where} has no colon, which separates its values from its class")
    values = [parse_values(text, f"{where}, channel {i},") for i, text in enumerate(channels)]
    lengths = {len(channel) for channel in values}
    if len(lengths) > 1:
        raise Invalid(f"the channels of {where} have {min(lengths)} to {max(lengths)} values")
    return np.stack(values, 1)


def _number(numbers: dict[str, int], label: bytes, where: str) -> int:
    name = label.strip().decode("utf-8", "replace")
    if name not in numbers:
        raise Invalid(f"{where} has the class {name[:40]!r}, which @classLabel lacks")
    return numbers[name]


def _check(header: Header, series: Series) -> None:
    """Compare the numbers in the header, where there are any, with those of the cases."""
    _, longest, channels = series.values.shape
    has_one_length = bool((series.lengths == longest).all())
    for name, actual in (("dimensions", channels), ("serieslength", longest)):
        if name in header and header[name] != [str(actual)]:
            raise Invalid(f"its header says @{name} {_shown(header, name)}, but it has {actual}")
    if _flag(header, "univariate") and channels > 1:
        raise Invalid(f"its header says @univariate true, but it has {channels} channels")
    if _flag(header, "equallength") and not has_one_length:
        raise Invalid("its header says @equalLength true, but the lengths differ")


def _flag(header: Header, name: str) -> bool:
    """The value of an entry that is true or false; false where it is missing."""
    values = [value.lower() for value in header.get(name, ["false"])]
    if values not in (["true"], ["false"]):
        raise Invalid(f"@{name} expects true or false, but got {_shown(header, name)!r}")
    return values == ["true"]


def _shown(header: Header, name: str) -> str:
    return " ".join(header[name])[:40]
