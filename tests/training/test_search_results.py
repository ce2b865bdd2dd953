"""The table, its file and its pictures hold what was found."""

import json
import math

import numpy as np
import pytest

from jaxnets.training import RunError
from jaxnets.training.search import (
    Results,
    Trial,
    choice,
    integers,
    log_uniform,
    parallel_coordinates,
    scores,
    uniform,
)

SPACE = {
    "rate": log_uniform(1e-4, 1.0),
    "width": integers(1, 10),
    "drop": uniform(0.0, 0.5),
    "units": choice("small", "large"),
}
SETTINGS = [(0.01, 4, 0.25, "large"), (1e-4, 10, 0.5, "small"), (0.5, 1, 0.0, "large")]
TRIALS = [
    Trial(i, 0, dict(zip(SPACE, values, strict=True)), epochs, score, math.isnan(score), "vmap")
    for i, (values, epochs, score) in enumerate(
        zip(SETTINGS, (9, 3, 1), (0.75, math.nan, 0.9375), strict=True)
    )
]


def results(trials=TRIALS, smaller_is_better=False):
    return Results((), "accuracy", smaller_is_better, SPACE, {"epochs": 9}).with_trials(trials)


def test_the_best_is_first_and_what_diverged_last():
    assert [t.number for t in results().trials] == [2, 0, 1]
    assert [t.number for t in results(smaller_is_better=True).trials] == [0, 2, 1]
    ties = [TRIALS[0]._replace(number=i) for i in (5, 3)]
    assert [t.number for t in results(ties).trials] == [3, 5]
    assert results().best == TRIALS[2]
    assert results().epochs == 13


def test_the_table_is_aligned():
    assert str(results()).splitlines() == [
        "trial    rate  width  drop  units  epochs  accuracy",
        "    2     0.5      1     0  large       1    0.9375",
        "    0    0.01      4  0.25  large       9    0.7500",
        "    1  0.0001     10   0.5  small       3  diverged",
    ]


def test_the_file_is_json_without_nan_and_reads_back(tmp_path):
    path = tmp_path / "results.jsonl"
    results().to_json_lines(path)
    lines = [json.loads(line, parse_constant=pytest.fail) for line in path.read_text().splitlines()]
    assert [line.get("score") for line in lines] == [None, 0.9375, 0.75, None]
    again = Results.from_json_lines(path)
    assert str(again) == str(results())
    assert (again.space, again.identity, again.objective) == (SPACE, {"epochs": 9}, "accuracy")
    assert math.isnan(again.trials[-1].score) and again.trials[:2] == results().trials[:2]


@pytest.mark.parametrize("content", ["", "[1, 2]\n", '{"step": 1}\n', "no JSON", "\x00\xff"])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    path = tmp_path / "results.jsonl"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(RunError, match=r"is not what a search writes.* a new file"):
        Results.from_json_lines(path)


def test_scores_stand_against_each_hyperparameter():
    figure = scores(results(), "title")
    panels = figure.axes[: len(SPACE)]
    assert [axes.get_xlabel() for axes in panels] == list(SPACE)
    assert [axes.get_xscale() for axes in panels] == ["log", "linear", "linear", "linear"]
    points = {
        line.get_label(): (line.get_xdata().tolist(), line.get_ydata().tolist())
        for line in panels[0].lines
    }
    assert points == {
        "1": ([0.5], [0.9375]),
        "9": ([0.01], [0.75]),
        "diverged": ([1e-4], [0.0]),
    }
    assert [text.get_text() for text in panels[3].get_xticklabels()] == ["small", "large"]
    figure.draw_without_rendering()


def test_a_line_runs_through_a_trials_coordinates_to_its_score():
    figure = parallel_coordinates(results(), "title")
    (axes,) = figure.axes
    *_, lost, worse, best = axes.lines
    np.testing.assert_allclose(lost.get_ydata(), [0, 1, 1, 0.25])  # it ends before the score
    np.testing.assert_allclose(worse.get_ydata(), [0.5, 1 / 3, 0.5, 0.75, 0])
    np.testing.assert_allclose(best.get_ydata(), [np.log(5e3) / np.log(1e4), 0, 0, 0.75, 1])
    assert [text.get_text() for text in axes.get_xticklabels()] == [*SPACE, "validation accuracy"]
    figure.draw_without_rendering()


@pytest.mark.parametrize("draw", [scores, parallel_coordinates])
def test_a_search_in_which_all_diverged_has_pictures_too(draw):
    draw(results(TRIALS[1:2]), "title").draw_without_rendering()
