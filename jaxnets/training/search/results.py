"""The results of a search: a table of trials, and its file."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from jaxnets.errors import RunError
from jaxnets.messages import printable
from jaxnets.training.report import to_json
from jaxnets.training.runners import Strategy
from jaxnets.training.search import results_file
from jaxnets.training.search.space import Distribution, Setting


class Trial(NamedTuple):
    """One trial of a search.

    Attributes:
      number: the trial's number, from 0, which together with the search's key decides its random
        key.
      bracket: the number of its bracket, from 0.
      setting: its hyperparameters by name.
      epochs: the number of epochs it was trained.
      score: its objective on the validation split after those; NaN if it diverged.
      diverged: whether its objective or train state became NaN or infinite.
      strategy: its population's strategy, "vmap" or "map".
    """

    number: int
    bracket: int
    setting: Setting
    epochs: int
    score: float
    diverged: bool
    strategy: Strategy


@dataclass(frozen=True)
class Results:
    """The trials of a search, the best first and those that diverged last.

    Attributes:
      trials: the trials, ranked by score.
      objective: the name of the metric that is the score.
      smaller_is_better: whether a smaller score is better.
      space: the distributions of the settings.
      identity: everything else that decides the trials: the algorithm and its settings, the key,
        the data.
    """

    trials: tuple[Trial, ...]
    objective: str
    smaller_is_better: bool
    space: dict[str, Distribution]
    identity: dict[str, Any]

    @property
    def best(self) -> Trial:
        """The best trial; one that diverged if all did."""
        return self.trials[0]

    @property
    def epochs(self) -> int:
        """The number of epochs of all trials together."""
        return sum(trial.epochs for trial in self.trials)

    def __str__(self) -> str:
        header = ("trial", *map(printable, self.space), "epochs", printable(self.objective))
        rows = [
            (trial.number, *trial.setting.values(), trial.epochs, _score(trial))
            for trial in self.trials
        ]
        lines = [header, *([_text(cell) for cell in row] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            for line in lines
        )

    def with_trials(self, trials: Iterable[Trial]) -> "Results":
        """The results with more trials, ranked again."""
        every_trial = ranked((*self.trials, *trials), self.smaller_is_better)
        return Results(
            every_trial, self.objective, self.smaller_is_better, self.space, self.identity
        )

    def to_json_lines(self, path: str | Path) -> None:
        """Write the search to the first line and one trial to each further line, atomically.

        Each line has a checksum. A score of NaN, which JSON cannot represent, is written as null.
        """
        results_file.write(path, self.header, [trial._asdict() for trial in self.trials])

    @staticmethod
    def from_json_lines(path: str | Path) -> "Results":
        """Read a file that `to_json_lines` wrote.

        Raises:
          RunError: the file is damaged, or is another kind of file; names the line.
        """
        header, lines = results_file.read(path)
        trials = ranked((Trial(**line) for line in lines), header["smaller_is_better"])
        return Results(trials, **header)

    @property
    def header(self) -> dict[str, Any]:
        """Everything except the trials, in JSON types."""
        space = {name: [d.kind, d.arguments] for name, d in self.space.items()}
        return to_json(
            {
                "objective": self.objective,
                "smaller_is_better": self.smaller_is_better,
                "space": space,
                "identity": self.identity,
            }
        )


def check_same_search(saved: dict[str, Any], current: dict[str, Any], where: str) -> None:
    """Refuse the header of another search.

    Raises:
      RunError: names what differs.
    """
    saved, current = ({**header, **header["identity"]} for header in (saved, current))
    names = [n for n in current if n != "identity" and saved.get(n) != current[n]]
    if names:
        lines = "\n".join(
            f"  {n}: saved {printable(saved.get(n))}, given {printable(current[n])}" for n in names
        )
        raise RunError(
            f"{where} cannot resume with other settings:\n{lines}\n"
            "Pass the settings that it was started with, or the path of a new file."
        )


def ranked(trials: Iterable[Trial], smaller_is_better: bool) -> tuple[Trial, ...]:
    """The trials, the best first, those without a score last; ties by number."""

    def rank(trial: Trial) -> tuple:
        score = trial.score if smaller_is_better else -trial.score
        return (True, 0.0, trial.number) if math.isnan(score) else (False, score, trial.number)

    return tuple(sorted(trials, key=rank))


def _score(trial: Trial) -> str:
    return "diverged" if trial.diverged else f"{trial.score:.4f}"


def _text(cell: Any) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else printable(cell)
