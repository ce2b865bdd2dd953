"""The files of a run's folder, and its results and configuration as HTML tables."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from jaxnets import json_files
from jaxnets.errors import RunError
from jaxnets.json_files import decode
from jaxnets.messages import printable

CURE = "pass the folder of a run"
LONG = 40  # members of a list that are shown
PERCENT = ("accuracy",)


class Facts(NamedTuple):
    """What the files of a run's folder say.

    Attributes:
      folder: the folder.
      run: run.json: the experiment, its configuration, the versions and the device.
      result: result.json; None if the run has not ended.
      log: the lines of metrics.jsonl.
    """

    folder: Path
    run: dict[str, Any]
    result: dict[str, Any] | None
    log: list[dict[str, Any]]

    @property
    def name(self) -> str:
        """The experiment's title, or its name."""
        return str(self.run.get("title") or self.run.get("experiment") or self.folder.name)

    @property
    def ended(self) -> str:
        """How the run ended, if it did not train to its end; otherwise empty."""
        last = self.log[-1] if self.log else None
        at = "" if last is None else f" after {last['step']:,} of {last['steps']:,} steps"
        if self.result is None:
            return f"Unfinished{at}"
        return f"Interrupted{at}" if self.result.get("interrupted") else ""


def read_facts(folder: Path) -> Facts:
    """Read a run's folder, whose log may end in an incomplete line.

    Raises:
      RunError: it does not hold a run.
      JSONError: a file in it is damaged.
    """
    if not (folder / "run.json").exists():
        raise RunError(f"{printable(folder)} holds no run: it has no run.json; {CURE}")
    run, result = json_files.read(folder / "run.json", cure=CURE), None
    if (folder / "result.json").exists():
        result = json_files.read(folder / "result.json", cure=CURE)
    return Facts(folder, run, result, read_log(folder / "metrics.jsonl"))


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log that are complete reports; none if there is no log."""
    if not path.exists():
        return []
    log = []
    for line in path.read_bytes().splitlines():
        try:
            record = decode(line)
            {int(record[name]) for name in ("step", "steps", "epoch_done")}
            log.append(
                record | {"train": dict(record["train"]), "validation": record["validation"]}
            )
        except (ValueError, LookupError, TypeError):
            break  # a killed run leaves an incomplete last line
    return log


def table(content: Mapping[str, Any]) -> str:
    """A table of names and values; a value with names inside has a table of its own."""
    rows = "".join(
        f'<tr><th scope="row">{escape(words(name))}<td>{_value(name, value)}</tr>'
        for name, value in content.items()
    )
    return f"<table>{rows}</table>"


def grid(content: Mapping[str, Any]) -> str:
    """A table of a dict of dicts: a row per outer name, and a column per inner name."""
    rows = {name: part for name, part in content.items() if isinstance(part, dict)}
    columns = dict.fromkeys(name for part in rows.values() for name in part)
    head = "".join(f'<th scope="col">{escape(words(name))}' for name in columns)
    body = "".join(
        f'<tr><th scope="row">{escape(words(row))}'
        + "".join(f"<td>{text(_percent(row, name), part.get(name))}" for name in columns)
        for row, part in rows.items()
    )
    return f'<div class="scroll"><table><thead><tr><td>{head}</tr></thead>{body}</table></div>'


def members(content: Mapping[str, Sequence[Any]]) -> str:
    """A table with a row per member of a population."""
    names = [name for name, values in content.items() if isinstance(values, list)]
    head = "".join(f'<th scope="col">{escape(words(name))}' for name in names)
    rows = "".join(
        "<tr>" + "".join(f"<td>{text(name, value)}" for name, value in zip(names, row, strict=True))
        for row in zip(*(content[name] for name in names), strict=False)
    )
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead>{rows}</table></div>'


def words(name: str) -> str:
    """A name in a file as words."""
    return str(name).replace("_", " ")


def text(name: str, value: Any) -> str:
    """A value as HTML; accuracies are percentages."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "-"}[value]
    if isinstance(value, float):
        if str(name).endswith(PERCENT) and abs(value) <= 1:
            return f"{value:.2%}"
        return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.5g}"
    return f"{value:,}" if isinstance(value, int) and abs(value) >= 10_000 else escape(str(value))


def _percent(*names: str) -> str:
    """The first name that marks a value as a percentage, or else the last name."""
    return next((name for name in names if str(name).endswith(PERCENT)), names[-1])


def _value(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return _spread(name, value) if value.keys() >= {"n", "mean", "std"} else table(value)
    if isinstance(value, list):
        more = f" and {len(value) - LONG} more" if len(value) > LONG else ""
        if any(isinstance(part, dict | list) for part in value):
            entries = "1 entry" if len(value) == 1 else f"{len(value)} entries"
            return f"{entries}, in the run's files"
        return ", ".join(text(name, part) for part in value[:LONG]) + more
    return text(name, value)


def _spread(name: str, value: Mapping[str, Any]) -> str:
    """The fields of a `population.Spread` in one line."""
    written = {field: text(name, value[field]) for field in value}
    parts = [f"mean {written['mean']}, n = {value['n']}"]
    if value["std"] is not None:
        parts.append(f"standard deviation {written['std']}")
    if value.get("low") is not None:
        parts.append(f"95 % interval of the mean {written['low']} to {written['high']}")
    parts += [f"{field} {written[field]}" for field in ("best", "worst") if field in value]
    parts += [f"{value['diverged']} diverged"] if value.get("diverged") else []
    return "; ".join(parts)
