"""Reads JSON from files that may be damaged or malicious, within limits and with one-line errors.

All JSON is read here, so that the same checks apply to every file.
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

FILE_LIMIT = 2**26  # bytes per JSON file
LINE_LIMIT = 2**21  # bytes per line of a JSON lines file, which may have any number of lines
DEPTH = 100  # nesting depth; recursion over a value stays far below Python's limit


def read(path: str | Path, *, cure: str) -> dict[str, Any]:
    """The JSON object in a file.

    Args:
      path: the file; its text is UTF-8 without a byte order mark.
      cure: what to do if the file is damaged; the error message ends with it.

    Raises:
      JSONError: it is not a regular file, cannot be read, or does not hold a JSON object.
    """
    try:
        with regular_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > FILE_LIMIT:
                raise ValueError(f"it has {size} bytes, but the limit is {FILE_LIMIT}")
            return _decode_object(file.read(size))
    except (OSError, ValueError) as error:
        raise JSONError(path, _reason(error), cure) from error


def read_lines(path: str | Path, *, cure: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The number of each line, from 1, and its JSON object.

    Raises:
      JSONError: as for `read`; it names the line.
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
                yield number, _decode_object(line.removesuffix(b"\n"))
            if not number:
                raise ValueError("it is empty")
    except (OSError, ValueError) as error:
        raise JSONError(where, _reason(error), cure) from error


def decode(text: str | bytes, *, nonfinite: bool = False) -> Any:
    """The value of a JSON text.

    Stricter than `json.loads`: rejects duplicate names, NaN and infinity, numbers beyond float64
    and deep nesting.

    Args:
      text: a string, or bytes in UTF-8.
      nonfinite: accept NaN and Infinity, which Python writes although JSON does not have them.

    Raises:
      ValueError: the text is not valid.
    """
    try:
        value = json.loads(
            text.decode() if isinstance(text, bytes) else text,
            object_pairs_hook=_object_without_duplicates,
            parse_int=_parse_int,
            parse_float=_parse_float,
            parse_constant=float if nonfinite else _reject_constant,
        )
    except RecursionError:  # raised by the parser, at a far greater depth
        raise ValueError(f"it nests lists and objects deeper than {DEPTH}") from None
    _check_depth(value)
    return value


@contextmanager
def as_json_errors(where: object, cure: str) -> Iterator[None]:
    """Convert errors in the block, such as those of values of the wrong type, to JSONErrors.

    Args:
      where: the file, and the line in it.
      cure: what to do; the error message ends with it.
    """
    try:
        yield
    except JSONError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
        reason = f"it has no entry {error}" if isinstance(error, KeyError) else repr(error)
        raise JSONError(where, error if isinstance(error, ValueError) else reason, cure) from error


def _decode_object(content: bytes) -> dict[str, Any]:
    if not content.strip():
        raise ValueError("it is empty")
    value = decode(content)
    if not isinstance(value, dict):
        raise ValueError(f"expected an object {{...}}, but got a {type(value).__name__}")
    return value


def _reason(error: Exception) -> str:
    """The message of the system or the parser, without the path."""
    if isinstance(error, OSError) and error.strerror:
        return f"it cannot be read ({error.strerror})"
    if isinstance(error, json.JSONDecodeError):
        line = f"line {error.lineno}, " if "\n" in error.doc else ""
        return f"{error.msg} at {line}column {error.colno}"
    return str(error)


def _object_without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for name, part in pairs:
        if name in value:
            raise ValueError(f"two entries are named {name!r}")
        value[name] = part
    return value


def _parse_int(digits: str) -> int:
    _parse_float(digits)  # first, since `int` has another error for thousands of digits
    return int(digits)


def _parse_float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"the number {digits[:20]}... is beyond float64")
    return number


def _reject_constant(name: str) -> float:
    raise ValueError(f"it holds {name}, which is not valid JSON")


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
