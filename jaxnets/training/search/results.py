"""What a search found: a table, and its file."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from jaxnets.messages import printable
from jaxnets.training.report import to_json
from jaxnets.training.runners import Strategy
from jaxnets.training.search import results_file
from jaxnets.training.search.space import Distribution, Setting


class Trial(NamedTuple):
    """One setting, and how far it came.

    Attributes:
      number: from 0; with the search's key it decides the trial's weights, order and chance.
      bracket: which of the search's populations it belonged to, from 0.
      setting: its hyperparameters by name.
      epochs: how long it was trained.
      score: the objective on the validation split then; NaN where it diverged.
      diverged: whether its training stopped being finite.
      strategy: how its population ran, "vmap" or "map".
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
      trials: ranked by score.
      objective: the metric that is the score.
      smaller_is_better: its direction.
      space: what the settings were drawn from.
      identity: what else decides the trials: the algorithm and its settings, the key, the data.
    """

    trials: tuple[Trial, ...]
    objective: str
    smaller_is_better: bool
    space: dict[str, Distribution]
    identity: dict[str, Any]

    @property
    def best(self) -> Trial:
        """The first; where all diverged that is one that did."""
        return self.trials[0]

    @property
    def epochs(self) -> int:
        """Passes over the training data that the search made, over all trials."""
        return sum(trial.epochs for trial in self.trials)

    def __str__(self) -> str:
        heads = ("trial", *map(printable, self.space), "epochs", printable(self.objective))
        rows = [
            (trial.number, *trial.setting.values(), trial.epochs, _score(trial))
            for trial in self.trials
        ]
        lines = [heads, *([_text(cell) for cell in row] for row in rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True))
            for line in lines
        )

    def with_trials(self, trials: Iterable[Trial]) -> "Results":
        """These and more trials, ranked."""
        every = ranked((*self.trials, *trials), self.smaller_is_better)
        return Results(every, self.objective, self.smaller_is_better, self.space, self.identity)

    def to_json_lines(self, path: str | Path) -> None:
        """Write what was searched in the first line, then one trial per line, atomically.

        Each line ends in a checksum. A score that is NaN, which JSON has no word for, is null.
        """
        results_file.write(path, self.header, [trial._asdict() for trial in self.trials])

    @staticmethod
    def from_json_lines(path: str | Path) -> "Results":
        """What `to_json_lines` wrote.

        Raises:
          RunError: the file is damaged, or holds something else; names the line.
        """
        header, lines = results_file.read(path)
        trials = ranked((Trial(**line) for line in lines), header["smaller_is_better"])
        return Results(trials, **header)

    @property
    def header(self) -> dict[str, Any]:
        """Everything but the trials, in JSON's types."""
        space = {name: [d.kind, d.arguments] for name, d in self.space.items()}
        return to_json(
            {
                "objective": self.objective,
                "smaller_is_better": self.smaller_is_better,
                "space": space,
                "identity": self.identity,
            }
        )


def ranked(trials: Iterable[Trial], smaller_is_better: bool) -> tuple[Trial, ...]:
    """The trials, the best first, those without a score last; of equals the lower number first."""

    def rank(trial: Trial) -> tuple:
        score = trial.score if smaller_is_better else -trial.score
        return (True, 0.0, trial.number) if math.isnan(score) else (False, score, trial.number)

    return tuple(sorted(trials, key=rank))


def _score(trial: Trial) -> str:
    return "diverged" if trial.diverged else f"{trial.score:.4f}"


def _text(cell: Any) -> str:
    return f"{cell:.4g}" if isinstance(cell, float) else printable(cell)
