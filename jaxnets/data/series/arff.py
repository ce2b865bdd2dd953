"""Reads the .arff format of the UCR and UEA archives.

Lines that start with % are comments. Every @attribute of the header is numeric, one per value, and
the last is the class, with its names in braces. In a file of several channels the values are the
attributes of one relational attribute, and a case is its channels in quotes, separated by a
backslash and an n, then its class. A series that ends earlier has question marks at its end.
Source: https://waikato.github.io/weka-wiki/formats_and_processing/arff_stable/.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from jaxnets.data.series.cases import Invalid, Series, assemble, parse_values

NUMERIC = ("numeric", "real", "integer")
ATTRIBUTE = re.compile(r"""@attribute\s+('[^']*'|"[^"]*"|\S+)\s+(.+)""", re.IGNORECASE)


class Header(NamedTuple):
    """The header of a file.

    Attributes:
      length: the number of values of a channel.
      classes: the names of the classes.
      is_relational: whether the channels are in quotes.
    """

    length: int
    classes: tuple[str, ...]
    is_relational: bool


def parse(lines: Iterator[bytes]) -> Series:
    """The series in the lines of an .arff file; raises `Invalid` for anything else."""
    header = _header(lines)
    numbers = {name: number for number, name in enumerate(header.classes)}
    cases, labels = [], []
    for line in lines:
        text = line.strip()
        if text and not text.startswith(b"%"):
            where = f"case {len(cases)}"
            values, _, label = text.rpartition(b",")
            name = _unquoted(label.decode("utf-8", "replace"))
            if name not in numbers:
                raise Invalid(f"{where} has the class {name[:40]!r}, which the header lacks")
            cases.append(_case(values, header, where))
            labels.append(numbers[name])
    return assemble(cases, labels, header.classes)


def _header(lines: Iterator[bytes]) -> Header:
    """The header, up to @data."""
    types, relations, ends = [], 0, 0
    for line in lines:
        text = line.strip().decode("utf-8", "replace")
        if not text or text.startswith("%"):
            continue
        name = text.split()[0].lower()
        if name == "@data":
            return _described(types, relations, ends)
        if name == "@end":
            ends += 1
        elif match := ATTRIBUTE.fullmatch(text):
            kind = match[2].strip()
            is_relation = kind.lower() == "relational"
            relations += is_relation
            types += [] if is_relation else [kind]
        elif name != "@relation":
            raise Invalid(f"it has {text[:40]!r} before @data")
    raise Invalid("it has no @data")


def _described(types: list[str], relations: int, ends: int) -> Header:
    if relations != ends or relations > 1:
        raise Invalid(
            f"it has {relations} relational attributes and {ends} @end; expected 1 of each, or none"
        )
    *values, label = types or [""]
    if not values or any(kind.lower() not in NUMERIC for kind in values):
        raise Invalid("its attributes are not numbers, then the class")
    if not (label.startswith("{") and label.endswith("}")):
        raise Invalid(f"its last attribute is {label[:40]!r}, not class names in braces")
    classes = tuple(_unquoted(name) for name in label[1:-1].split(","))
    if len(set(classes)) < len(classes) or "" in classes:
        raise Invalid("its class names repeat, or one is empty")
    return Header(len(values), classes, bool(relations))


def _case(text: bytes, header: Header, where: str) -> np.ndarray:
    """(length, channels)."""
    channels = [text]
    if header.is_relational:
        quote = text[:1]
        if len(text) < 2 or quote not in (b"'", b'"') or not text.endswith(quote):
            raise Invalid(f"{where} has no quotes around its channels")
        channels = text[1:-1].split(rb"\n")
    values = [_channel(c, header, f"{where}, channel {i},") for i, c in enumerate(channels)]
    lengths = {len(channel) for channel in values}
    if len(lengths) > 1:
        raise Invalid(f"the channels of {where} have {min(lengths)} to {max(lengths)} values")
    return np.stack(values, 1)


def _channel(text: bytes, header: Header, where: str) -> np.ndarray:
    """The values before the question marks at the end."""
    entries = [entry.strip() for entry in text.split(b",")]
    if len(entries) != header.length:
        raise Invalid(f"{where} has {len(entries)} values, but the header has {header.length}")
    while entries and entries[-1] == b"?":
        entries.pop()
    if not entries:
        raise Invalid(f"{where} has no values")
    return parse_values(b",".join(entries), where)


def _unquoted(name: str) -> str:
    name = name.strip()
    return name[1:-1] if len(name) > 1 and name[0] == name[-1] and name[0] in "'\"" else name
