"""The file of a search's results: JSON lines with checksums.

The first line describes the search, and each further line holds one trial. A search rewrites the
file after each bracket, so a file with the first brackets is valid, but one with an incomplete
bracket is not: each trial's line has the number of trials in its bracket.
"""

import hashlib
import json
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxnets.errors import JSONError, RunError
from jaxnets.files import atomic_write
from jaxnets.json_files import as_json_errors, read_lines
from jaxnets.training.report import to_json
from jaxnets.training.search.space import Distribution, choice, integers, log_uniform, uniform

Line = dict[str, Any]
CURE = "restore the file that the search wrote, or pass the path of a new file"
KINDS: dict[str, Callable[..., Distribution]] = {
    "uniform": uniform,
    "log_uniform": log_uniform,
    "integers": integers,
    "choice": choice,
}
HEADER = {"objective": str, "smaller_is_better": bool, "space": dict, "identity": dict}
TRIAL = {
    "number": int,
    "bracket": int,
    "setting": dict,
    "epochs": int,
    "score": float | None,
    "diverged": bool,
    "strategy": str,
    "trials": int,
}


def write(path: str | Path, header: Line, trials: Sequence[Line]) -> None:
    """Write the header and the trials."""
    sizes = Counter(trial["bracket"] for trial in trials)
    lines = [to_json(trial | {"trials": sizes[trial["bracket"]]}) for trial in trials]
    first = _with_checksum(to_json(header), "")
    with atomic_write(path) as file:
        for line in (first, *(_with_checksum(line, first["sha256"]) for line in lines)):
            file.write((json.dumps(line) + "\n").encode())


def read(path: str | Path) -> tuple[Line, list[Line]]:
    """The header, with its space as distributions, and the trials, with NaN for a null score.

    Raises:
      RunError: a line is damaged, repeated or missing.
    """
    header: Line = {}
    search = ""
    trials: dict[int, Line] = {}  # by line number
    try:
        for number, line in read_lines(path, cure=CURE):
            with as_json_errors(f"{path}, line {number},", CURE):
                if not header:
                    header, search = _header(line), line["sha256"]
                else:
                    trials[number] = _trial(line, search, header["space"])
        with as_json_errors(path, CURE):
            _check_brackets(trials)
    except JSONError as error:
        raise RunError(str(error)) from error
    return header, [{n: v for n, v in trial.items() if n != "trials"} for trial in trials.values()]


def _header(line: Line) -> Line:
    header = _verify(line, HEADER, "")
    space = {
        name: KINDS[kind](*_tuple(arguments)) for name, (kind, arguments) in header["space"].items()
    }
    return header | {"space": space}


def _trial(line: Line, search: str, space: dict[str, Distribution]) -> Line:
    trial = _verify(line, TRIAL, search)
    if list(trial["setting"]) != list(space):
        raise ValueError(f"its setting has {list(trial['setting'])}, but the space {list(space)}")
    if trial["strategy"] not in ("vmap", "map"):
        raise ValueError(f"its strategy is {trial['strategy']!r}")
    setting = {name: _tuple(value) for name, value in trial["setting"].items()}
    score = math.nan if trial["score"] is None else trial["score"]
    return trial | {"setting": setting, "score": score}


def _verify(line: Line, entries: dict[str, Any], search: str) -> Line:
    """A line without its checksum, with the checksum and the types of its entries verified."""
    content = {name: value for name, value in line.items() if name != "sha256"}
    if line.get("sha256") != _checksum(content, search):
        raise ValueError("its checksum is missing or wrong")
    if content.keys() != entries.keys():
        raise ValueError(f"it has the entries {list(content)}, but should have {list(entries)}")
    for name, value in content.items():
        is_bool = isinstance(value, bool) and entries[name] is int  # in Python, True is an int
        if not isinstance(value, entries[name]) or is_bool:
            raise ValueError(f"its {name} is {value!r}")
    return content


def _check_brackets(trials: dict[int, Line]) -> None:
    """Refuse repeated or missing trials, which are numbered consecutively by bracket."""
    lines: dict[int, int] = {}
    brackets = defaultdict(list)
    for line, trial in trials.items():
        number = trial["number"]
        if number in lines:
            raise ValueError(f"lines {lines[number]} and {line} both hold trial {number}")
        lines[number] = line
        brackets[trial["bracket"]].append(trial)
    first = 0
    for expected, (bracket, members) in enumerate(sorted(brackets.items())):
        sizes, numbers = {t["trials"] for t in members}, {t["number"] for t in members}
        if bracket != expected:
            raise ValueError(f"bracket {expected} is missing")
        if sizes != {len(members)} or numbers != set(range(first, first + len(members))):
            raise ValueError(
                f"bracket {bracket} should hold {' or '.join(map(str, sizes))} trials from number "
                f"{first} on, but holds {len(members)}: {sorted(numbers)}"
            )
        first += len(members)


def _with_checksum(line: Line, search: str) -> Line:
    return line | {"sha256": _checksum(line, search)}


def _checksum(line: Line, search: str) -> str:
    """The first digits of a line's SHA-256, salted with the header's checksum, `search`.

    The salt makes lines of another search invalid.
    """
    text = json.dumps([search, line], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _tuple(value: Any) -> Any:
    """The value with JSON's lists converted back to tuples."""
    return tuple(_tuple(part) for part in value) if isinstance(value, list) else value
