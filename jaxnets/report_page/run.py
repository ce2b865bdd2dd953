"""The page of one run, and the page that compares several."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

from jaxnets.errors import RunError
from jaxnets.layer import Layer
from jaxnets.report_page import curves, facts, layers, predictions
from jaxnets.report_page.facts import Facts, read_facts
from jaxnets.report_page.page import Section, page
from jaxnets.report_page.predictions import Predictions
from jaxnets.training import Progress

BYTES = 500_000  # of a page
HEADLINES = ("test_accuracy", "test_loss")
OWN_SECTION = ("members", "spread", "ensemble", "interrupted")


class Network(NamedTuple):
    """A model, its params (of a population, the first member's), and examples as its input."""

    model: Layer
    params: Any
    x: Any


def run_page(
    folder: str | Path,
    *,
    predicted: Predictions | None = None,
    network: Network | None = None,
    history: Sequence[Progress] | None = None,
    pictures: Mapping[str, bytes] | None = None,
) -> str:
    """The report of a run as one HTML file below 500 KB without network requests.

    It has the training curves, the content of the run's files (result, configuration, versions,
    hardware), and a section for each argument that is passed. The title says if the run was
    interrupted or has not ended.

    Args:
      folder: its run.json, and if they exist its result.json and metrics.jsonl.
      predicted: the predictions for the test split; with them the page has the confusion matrix,
        the worst mistakes and the calibration.
      network: for the table of layers, and the first kernels.
      history: of a population, whose log has medians only: the last report of each period, for a
        line per member and the band of their range.
      pictures: PNG files by name, shown as long as the page stays below 500 KB.

    Raises:
      RunError: `folder` does not hold a run.
      JSONError: a file in it is damaged.
    """
    run = read_facts(Path(folder))
    log = run.log if history is None else [progress.to_dict() for progress in history]
    sections = _curves(log) + _population(run)
    if predicted is not None:
        sections += predictions.sections(predicted)
    if network is not None:
        sections += layers.sections(*network)
    facts_of_run = _facts(run)
    title = f"{run.ended}: {run.name}" if run.ended else run.name
    whole = page(title, _lead(run), sections + facts_of_run)
    parts, left = [], BYTES - len(whole.encode()) - 2000
    for name, content in (pictures or {}).items():
        part = _picture(name, content)
        if len(part) <= left:
            parts, left = [*parts, part], left - len(part)
        else:
            parts.append(f"<p>{escape(name)} is too large for this page; see its file.</p>")
    if not parts:
        return whole
    return page(title, _lead(run), [*sections, ("Pictures", "".join(parts)), *facts_of_run])


def compare_runs(folders: Sequence[str | Path]) -> str:
    """A page that compares runs: their results, curves and different options, side by side.

    It is one HTML file below 500 KB without network requests.

    Raises:
      RunError: there is no folder, one does not hold a run, or the page would be larger.
      JSONError: a file in one is damaged.
    """
    runs = [read_facts(Path(folder)) for folder in folders]
    logs = {_short(run, runs): run.log for run in runs}
    ended = {name: run.ended for name, run in zip(logs, runs, strict=True) if run.ended}
    note = "".join(f'<p class="ended">{escape(f"{n}: {how}")}</p>' for n, how in ended.items())
    sections = [
        ("Results", _side_by_side(logs, [_results(run) for run in runs])),
        ("Training curves", f'<div class="charts">{curves.compared(logs)}</div>'),
        ("Different options", _differences(logs, [_options(run) for run in runs])),
    ]
    title = "Comparison of " + ", ".join(logs)
    whole = page(f"{title} ({len(ended)} not complete)" if ended else title, note, sections)
    if (size := len(whole.encode())) >= BYTES:
        raise RunError(
            f"report expects runs that fit on a page of {BYTES // 1000} kB, but these {len(runs)} "
            f"need {size / 1000:,.0f} kB; compare fewer at once"
        )
    return whole


def _lead(run: Facts) -> str:
    """How the run ended, and the numbers that matter most."""
    lead = f'<p class="ended">{escape(run.ended)}. The results are of this state.</p>'
    parts = [
        f"{facts.words(name)} <b>{facts.text(name, run.result[name])}</b>"
        for name in HEADLINES
        if run.result and isinstance(run.result.get(name), int | float)
    ]
    result = run.result or {}
    spread = result.get("spread", {}).get("accuracy") or result.get("test_accuracy")
    if isinstance(spread, dict) and spread.get("mean") is not None:
        error = f" ± {100 * spread['std']:.2f}" if spread.get("std") else ""
        parts = [f"test accuracy <b>{spread['mean']:.2%}{error}</b> of {spread['n']} networks"]
    return lead * bool(run.ended) + f'<p class="headline">{", ".join(parts)}</p>' * bool(parts)


def _curves(log: Sequence[Mapping[str, Any]]) -> list[Section]:
    if not curves.scalars(log):
        return []
    note = (
        "<p>Each point of a loss or accuracy is the mean over the steps since the previous one, "
        "not since the start of the epoch.</p>"
    )
    return [("Training curves", f'{note}<div class="charts">{curves.curves(log)}</div>')]


def _population(run: Facts) -> list[Section]:
    result = run.result or {}
    wholes = [result[name] for name in ("spread", "ensemble") if isinstance(result.get(name), dict)]
    tables = "".join(f"<div>{facts.grid(content)}</div>" for content in wholes)
    parts = [("Population", f'<div class="pair">{tables}</div>')] if wholes else []
    if isinstance(result.get("members"), dict):
        parts.append(("Members", facts.members(result["members"])))
    return parts


def _facts(run: Facts) -> list[Section]:
    result = {n: v for n, v in (run.result or {}).items() if n not in OWN_SECTION}
    configuration = run.run.get("config", {})
    others = {n: v for n, v in run.run.items() if n not in ("config", "title")}
    parts = {"Result": result, "Configuration": configuration, "Versions and hardware": others}
    return [
        (title, f'<div class="facts">{facts.table(content)}</div>')
        for title, content in parts.items()
        if isinstance(content, dict) and content
    ]


def _picture(name: str, content: bytes) -> str:
    uri = "data:image/png;base64," + base64.b64encode(content).decode()
    words = escape(facts.words(name))
    return (
        f'<figure><img class="picture" src="{uri}" alt="Figure: {words}">'
        f"<figcaption>{words}</figcaption></figure>"
    )


def _short(run: Facts, runs: Sequence[Facts]) -> str:
    """The name of a run's folder; its path if two have the same name."""
    names = [other.folder.absolute().name for other in runs]
    name = run.folder.absolute().name
    return name if names.count(name) == 1 else str(run.folder)


def _results(run: Facts) -> dict[str, Any]:
    """The numbers of the result, and the last validation."""
    result = run.result or {}
    values = {name: v for name, v in result.items() if isinstance(v, int | float)}
    for name, spread in (result.get("spread") or {}).items():
        values |= {f"mean test {name}": spread["mean"], f"std of test {name}": spread["std"]}
    validated = [record["validation"] for record in run.log if record["validation"]]
    for name, value in validated[-1].items() if validated else ():
        if isinstance(value, float):
            values[f"last validation {name}"] = value
    return values


def _options(run: Facts) -> dict[str, Any]:
    """Configuration, versions and hardware with one name per value."""
    flat = {"experiment": run.run.get("experiment"), **dict(run.run.get("config") or {})}
    flat |= {f"version of {n}": v for n, v in (run.run.get("versions") or {}).items()}
    return flat | {name: run.run.get(name) for name in ("device", "cores", "python")}


def _differences(names: Mapping[str, Any], options: Sequence[Mapping[str, Any]]) -> str:
    every = dict.fromkeys(name for of in options for name in of)
    kept = [name for name in every if len({repr(of.get(name)) for of in options}) > 1]
    if not kept:
        return "<p>There is none.</p>"
    return _side_by_side(names, [{name: of.get(name) for name in kept} for of in options])


def _side_by_side(names: Mapping[str, Any], values: Sequence[Mapping[str, Any]]) -> str:
    """A row per name in any of `values`, and a column per run."""
    rows = dict.fromkeys(name for of in values for name in of)
    head = "".join(f'<th scope="col">{escape(name)}' for name in names)
    body = "".join(
        f'<tr><th scope="row">{escape(facts.words(row))}'
        + "".join(f"<td>{facts.text(row, of.get(row))}" for of in values)
        for row in rows
    )
    return f'<div class="scroll"><table><thead><tr><td>{head}</tr></thead>{body}</table></div>'
