"""JSON from files that may be damaged or hostile: read within limits, refused in one line.

Everything that reads JSON reads it here, so that every file meets the same guards.
"""

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jaxnets.errors import JSONError
from jaxnets.files import regular_file

FILE_LIMIT = 2**26  # bytes of a file of one value
LINE_LIMIT = 2**21  # bytes of one line of JSON lines, of which a file may hold any number
DEPTH = 100  # of lists and objects: code that recurses over a value stays far from Python's limit


def read(path: str | Path, *, cure: str) -> dict[str, Any]:
    """The object that a file holds.

    Args:
      path: the file; its text is UTF-8 without a byte order mark.
      cure: what to do if it is damaged, which ends the error.

    Raises:
      JSONError: it is no regular file, cannot be read, or holds something else.
    """
    try:
        with regular_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > FILE_LIMIT:
                raise ValueError(f"it has {size} bytes, and no more than {FILE_LIMIT} are read")
            return _object(file.read(size))
    except (OSError, ValueError) as error:
        raise JSONError(path, _reason(error), cure) from error


def read_lines(path: str | Path, *, cure: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Each line's number, from 1, and the object that it holds.

    Raises:
      JSONError: as for `read`; names the line.
    """
    where = str(path)
    try:
        with regular_file(path) as file:
            number = 0
            while line := file.readline(LINE_LIMIT + 1):
                number += 1
                where = f"{path}, line {number},"
                if len(line) > LINE_LIMIT:
                    raise ValueError(f"it has more than {LINE_LIMIT} bytes")
                yield number, _object(line.removesuffix(b"\n"))
            if not number:
                raise ValueError("it is empty")
    except (OSError, ValueError) as error:
        raise JSONError(where, _reason(error), cure) from error


def decode(text: str | bytes, *, nonfinite: bool = False) -> Any:
    """The value of a JSON text.

    Refuses what `json.loads` lets pass or fails on in other ways: two entries of one name, which
    would hide each other; NaN and infinity; numbers that no float64 holds; deep nesting.

    Args:
      text: if bytes, they are UTF-8.
      nonfinite: whether NaN and Infinity, which Python writes and JSON does not have, are read.

    Raises:
      ValueError: it is no such text.
    """
    try:
        value = json.loads(
            text.decode() if isinstance(text, bytes) else text,
            object_pairs_hook=_unique,
            parse_int=_integer,
            parse_float=_real,
            parse_constant=float if nonfinite else _no_constant,
        )
    except RecursionError:  # the parser's own, far deeper
        raise ValueError(f"it nests lists and objects deeper than {DEPTH}") from None
    _check_depth(value)
    return value


@contextmanager
def damaged(where: object, cure: str) -> Iterator[None]:
    """Whatever the use of a file's values raises, since they are of other kinds, as a JSONError.

    Args:
      where: the file, and the line in it.
      cure: what to do, which ends the error.
    """
    try:
        yield
    except JSONError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        reason = f"it has no entry {error}" if isinstance(error, KeyError) else repr(error)
        raise JSONError(where, error if isinstance(error, ValueError) else reason, cure) from error


def _object(content: bytes) -> dict[str, Any]:
    if not content.strip():
        raise ValueError("it is empty")
    value = decode(content)
    if not isinstance(value, dict):
        raise ValueError(f"an object {{...}} is expected, but it holds a {type(value).__name__}")
    return value


def _reason(error: Exception) -> str:
    """The system's or the parser's words, without the path that stands before them already."""
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be read ({error.strerror})"
    if isinstance(error, json.JSONDecodeError):
        line = f"line {error.lineno}, " if "\n" in error.doc else ""
        return f"{error.msg} at {line}column {error.colno}"
    return str(error)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for name, part in pairs:
        if name in value:
            raise ValueError(f"two entries are named {name!r}")
        value[name] = part
    return value


def _integer(digits: str) -> int:
    _real(digits)  # first, for Python refuses to parse thousands of digits in words of its own
    return int(digits)


def _real(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"the number {digits[:20]}... is beyond float64")
    return number


def _no_constant(name: str) -> float:
    raise ValueError(f"it holds {name}, which is no JSON")


def _check_depth(value: Any) -> None:
    level, depth = [value], 0
    while level := [part for part in level if isinstance(part, dict | list)]:
        depth += 1
        if depth > DEPTH:
            raise ValueError(f"it nests lists and objects deeper than {DEPTH}")
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
