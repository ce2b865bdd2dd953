"""`jaxnets report`: compare the runs in folders on one web page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from jaxnets.errors import RunError
from jaxnets.report_page import compare_runs, run_page, write


@dataclass(frozen=True)
class Options:
    """Write a web page about one run, or one that compares several.

    A run's folder has run.json, metrics.jsonl and, if the run has ended, result.json. These files
    lack the predictions, so the page of one run has no confusion matrix; the complete report.html
    is written by the run itself.
    """

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """The folders of the runs."""
    out: Path = Path("report.html")
    """The file to write; an earlier one is replaced."""


def main(arguments: Sequence[str]) -> None:
    """Write the page.

    Raises:
      RunError: no folder is passed, or one does not hold a run.
      OSError: the page cannot be written.
    """
    options = tyro.cli(Options, args=arguments, prog="jaxnets report")
    if not options.folders:
        raise RunError("report expects at least one folder of a run, but got none")
    if len(options.folders) == 1:
        page = run_page(options.folders[0])
    else:
        page = compare_runs(options.folders)
    write(options.out, page)
    print(f"wrote {options.out} ({len(page.encode()) / 1000:,.0f} kB)")
