"""Reporters: lines of JSON, plain lines, and a display on a terminal."""

import io
import json
import re
import sys

import numpy as np
import pytest

from jaxnets.training import Progress, combine, console, json_lines

HALF = Progress(
    step=150,
    steps=400,
    epoch=2,
    epochs=4,
    epoch_done=False,
    train={"loss": 0.25, "accuracy": 0.9},
    validation=None,
    seconds=3.0,
    samples_per_second=12345.6,
)
DONE = HALF._replace(step=200, epoch_done=True, validation={"loss": 0.5, "accuracy": 0.8})


def strict(line):
    """The content of a line of strict JSON, without NaN and infinity."""

    def refuse(word):
        raise ValueError(f"{word} is not JSON")

    return json.loads(line, parse_constant=refuse)


def test_the_time_left_is_estimated_from_the_mean_time_per_step():
    assert HALF.seconds_left == 3.0 / 150 * 250


def test_each_report_is_written_at_once_as_a_line_of_json(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 0}\n')
    with json_lines(path) as report:
        for n, progress in enumerate([HALF, DONE], start=2):
            report(progress)
            lines = path.read_text().splitlines()
            assert len(lines) == n
            assert strict(lines[-1]) == progress.to_dict() | {"warnings": []}


def test_a_report_in_json_has_no_steps_per_epoch():
    assert set(Progress._fields) - set(HALF.to_dict()) == {"steps_per_epoch"}
    assert HALF._replace(steps_per_epoch=100).passes == 1.5
    assert HALF.passes == 1.5  # 400 steps in 4 epochs


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_null_in_json(tmp_path, value):
    path = tmp_path / "metrics.jsonl"
    with json_lines(path) as report:
        report(DONE._replace(validation={"loss": value, "accuracy": 0.8}))
    assert strict(path.read_text())["validation"] == {"loss": None, "accuracy": 0.8}


def test_a_matrix_is_written_as_lists_and_not_printed(tmp_path, capsys):
    train = HALF.train | {"confusion": np.array([[3.0, 1.0], [np.nan, 4.0]])}
    path = tmp_path / "metrics.jsonl"
    with json_lines(path) as written, console() as shown:
        combine(written, shown)(DONE._replace(train=train, validation=None))
    assert strict(path.read_text())["train"]["confusion"] == [[3, 1], [None, 4]]
    line = "epoch 2/4  loss 0.2500  accuracy 0.9000  12,346 samples/s\n"
    assert capsys.readouterr().out == line


def test_off_a_terminal_each_epoch_is_one_plain_line(capsys):
    with console() as report:
        for progress in (HALF, DONE, DONE._replace(epoch=3, validation=None)):
            report(progress)
    assert capsys.readouterr().out == (
        "epoch 2/4  loss 0.2500  accuracy 0.9000  validation loss 0.5000  accuracy 0.8000  "
        "12,346 samples/s\n"
        "epoch 3/4  loss 0.2500  accuracy 0.9000  12,346 samples/s\n"
    )


@pytest.mark.parametrize("width", [60, 120])
def test_on_a_narrow_terminal_the_epoch_and_the_time_left_are_whole(monkeypatch, width):
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    with console() as report:
        report(HALF)
    lines = (
        re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", sys.stdout.getvalue()).replace("\r", "\n").split("\n")
    )
    (line,) = {line.rstrip() for line in lines if line.startswith("epoch")}
    assert line.startswith("epoch 2/4") and "5 s left  loss 0.2500" in line and len(line) <= width


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_on_a_terminal_the_display_shows_the_progress(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    with console() as report:
        for progress in (HALF, DONE):
            report(progress)
    shown = sys.stdout.getvalue()
    assert "epoch 2/4" in shown
    assert "3 s left  loss 0.2500  accuracy 0.9000  12,346 samples/s" in shown
    assert "validation loss 0.5000  accuracy 0.8000  12,346 samples/s" in shown
    assert "\x1b[2K" in shown  # a line is redrawn


def test_combined_reporters_are_called_in_turn():
    calls = []
    combine(lambda p: calls.append(("first", p)), lambda p: calls.append(("second", p)))(HALF)
    assert calls == [("first", HALF), ("second", HALF)]
