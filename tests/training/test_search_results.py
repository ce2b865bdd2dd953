"""The table, the file and the plots of the results of a search."""

import hashlib
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


def test_the_best_trial_is_first_and_diverged_ones_last():
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
def test_a_file_of_another_kind_is_refused(tmp_path, content):
    path = tmp_path / "results.jsonl"
    path.write_text(content, encoding="latin-1")
    with pytest.raises(RunError, match=r"restore the file that the search wrote.* a new file"):
        Results.from_json_lines(path)


@pytest.fixture
def file(tmp_path):
    """Three brackets of two trials, in a file; trial 5 is the best."""
    settings = [dict(zip(SPACE, SETTINGS[i % 3], strict=True)) for i in range(6)]
    scores = [0.5, 0.25, 0.125, math.nan, 0.75, 0.875]
    trials = [
        Trial(i, i // 2, settings[i], 9, scores[i], math.isnan(scores[i]), "map") for i in range(6)
    ]
    path = tmp_path / "results.jsonl"
    results(trials).to_json_lines(path)
    return path


def without(number):
    return lambda lines: lines[:number] + lines[number + 1 :]


def twice(number):
    return lambda lines: [*lines, lines[number]]


def changed(number, old, new):
    def change(lines):
        assert lines[number].count(old) == 1
        return [line.replace(old, new) if i == number else line for i, line in enumerate(lines)]

    return change


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (without(0), "line 1, is damaged: its checksum"),
        *((without(n), r"bracket \d should hold 2 trials .* holds 1: ") for n in range(1, 7)),
        *((twice(n), f"lines {n + 1} and 8 both hold trial") for n in range(1, 7)),
        (twice(0), "line 8, is damaged: its checksum"),
        (changed(1, "0.875", "-0.875"), "line 2, is damaged: its checksum"),
        (changed(2, '"score": 0.75', '"score": 0.76'), "line 3, is damaged: its checksum"),
        (changed(3, '"width"', '"depth"'), "line 4, is damaged: its checksum"),
        (changed(4, '"number": 1', '"number": 9'), "line 5, is damaged: its checksum"),
        (changed(6, '"score": null', '"score": 1.0'), "line 7, is damaged: its checksum"),
        (changed(0, '"smaller_is_better": false', '"smaller_is_better": true'), "line 1, is dam"),
        (changed(0, '"epochs": 9', '"epochs": 8'), "line 1, is damaged: its checksum"),
        (changed(5, '"sha256"', '"sha"'), "line 6, is damaged: its checksum"),
    ],
)
def test_a_damaged_line_is_named_and_no_other_trial_becomes_the_best(file, damage, message):
    file.write_text("\n".join(damage(file.read_text().splitlines())) + "\n")
    with pytest.raises(RunError, match=message) as raised:
        Results.from_json_lines(file)
    assert str(raised.value).isprintable()
    assert "pass the path of a new file" in str(raised.value)


def test_a_file_with_the_first_brackets_is_valid(file):
    """As a killed search leaves it."""
    header, *lines = file.read_text().splitlines()
    for brackets in range(4):
        kept = [line for line in lines if json.loads(line)["bracket"] < brackets]
        file.write_text("\n".join([header, *kept]) + "\n")
        numbers = {trial.number for trial in Results.from_json_lines(file).trials}
        assert numbers == set(range(2 * brackets))


def test_a_missing_bracket_is_named(file):
    kept = [line for line in file.read_text().splitlines() if '"bracket": 1' not in line]
    file.write_text("\n".join(kept) + "\n")
    with pytest.raises(RunError, match="bracket 1 is missing"):
        Results.from_json_lines(file)


def test_lines_in_another_order_are_the_same_results(file):
    header, *lines = file.read_text().splitlines()
    expected = str(Results.from_json_lines(file))
    file.write_text("\n".join([header, *reversed(lines)]) + "\n")
    assert str(Results.from_json_lines(file)) == expected


def test_a_line_of_another_search_is_refused(file, tmp_path):
    other = tmp_path / "other.jsonl"
    loaded = Results.from_json_lines(file)
    Results(loaded.trials, "loss", False, loaded.space, loaded.identity).to_json_lines(other)
    header = file.read_text().splitlines()[0]
    file.write_text("\n".join([header, *other.read_text().splitlines()[1:]]) + "\n")
    with pytest.raises(RunError, match="line 2, is damaged: its checksum"):
        Results.from_json_lines(file)


def sign(line, search):
    """The line with a correct checksum, as an attacker would write it."""
    content = {name: value for name, value in line.items() if name != "sha256"}
    text = json.dumps([search, content], sort_keys=True)
    return content | {"sha256": hashlib.sha256(text.encode()).hexdigest()[:16]}


@pytest.mark.parametrize(
    ("entry", "value", "message"),
    [
        ("setting", {"rate": 1.0, "depth": 3, "drop": 0.5, "units": "small"}, "but the space"),
        ("setting", [], r"its setting is \[\]"),
        ("number", True, "its number is True"),
        ("number", 1.5, "its number is 1.5"),
        ("number", 77, "bracket 2 should hold"),
        ("bracket", 3, "should hold 2 trials"),
        ("trials", 3, "should hold"),
        ("epochs", "9", "its epochs is '9'"),
        ("score", "0.5", "its score is '0.5'"),
        ("diverged", None, "its diverged is None"),
        ("strategy", "\x1b[2J", r"its strategy is '\\x1b"),
        ("more", 1, "it has the entries"),
    ],
)
def test_entries_are_checked_even_if_the_checksum_is_right(file, entry, value, message):
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    lines[1] = sign(lines[1] | {entry: value}, lines[0]["sha256"])
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(RunError, match=message) as raised:
        Results.from_json_lines(file)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize(
    "space",
    [[], {"rate": 3}, {"rate": ["normal", [0, 1]]}, {"rate": ["uniform", [1, 0]]}, {"r": [[], 1]}],
)
def test_an_invalid_space_in_a_file_is_refused(file, space):
    header, *lines = file.read_text().splitlines()
    header = json.dumps(sign(json.loads(header) | {"space": space}, ""))
    file.write_text("\n".join([header, *lines]) + "\n")
    with pytest.raises(RunError, match="line 1, is damaged"):
        Results.from_json_lines(file)


def test_the_content_of_a_file_is_escaped_in_the_table(file):
    loaded = Results.from_json_lines(file)
    escaped = loaded.trials[0]._replace(setting={"\x1b[2J": "\x07\n"})
    table = str(Results((escaped,), "\x9b", False, {"\x1b[2J": choice("\x07\n")}, {}))
    assert len(table.split("\n")) == 2
    assert all(line.isprintable() for line in table.split("\n"))


def test_scores_are_plotted_against_each_hyperparameter():
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
def test_a_search_whose_trials_all_diverged_can_be_plotted(draw):
    draw(results(TRIALS[1:2]), "title").draw_without_rendering()
