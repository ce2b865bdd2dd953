"""Invalid options or data of an experiment give one clear message, and lose no files."""

import gzip
import os
import sys

import pytest

from experiments import command_line, mnist_mlp
from jaxnets import dense, flatten, scale_pixels, serial


@pytest.fixture
def attempt(monkeypatch, capsys, small_mnist, tmp_path):
    """Run the experiment with invalid options; return its message."""

    def attempt(**options):
        options = {"data_dir": small_mnist, "validation": 40, "out": tmp_path / "run"} | options
        arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        monkeypatch.setattr(sys, "argv", ["mnist_mlp", *arguments])
        with pytest.raises(SystemExit) as raised:
            command_line.main(mnist_mlp.experiment, mnist_mlp.Config)
        assert raised.value.code == 2
        assert not {"result.json", "params.safetensors"} & names(tmp_path / "run")
        return capsys.readouterr().err

    return attempt


def names(folder):
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


@pytest.mark.parametrize(
    "options, message",
    [
        ({"epochs": -1}, "epochs to be a positive integer, but got -1"),
        ({"batch_size": 0}, "batch_size to be a positive integer, but got 0"),
        ({"batch_size": 100000}, "batch_size=100000 for 600 examples; use at most 600"),
        ({"validation": 640}, "a size of 1 to 639 rows, but got 640"),
        ({"seed": -1}, "expects seed to be an integer of at least 0, but got -1"),
        ({"data_dir": "/nowhere/at/all"}, "/nowhere/at/all"),
    ],
    ids=str,
)
def test_an_invalid_number_is_refused_with_the_expected_values(attempt, options, message):
    errors = attempt(**options)
    assert errors.startswith("error: ") and errors.count("\n") == 1
    assert message in errors


@pytest.mark.parametrize("rate", [1e30, "nan"])
def test_a_rate_that_diverges_is_reported_with_the_layer_and_the_cure(attempt, rate, monkeypatch):
    small = serial(scale_pixels(), flatten, ("head", dense(10)))
    monkeypatch.setattr(mnist_mlp, "model", small)  # compiles quickly
    errors = attempt(learning_rate=rate)
    assert errors.startswith("error: the loss stopped being finite at step ")
    assert ", first in " in errors and "lower the learning rate" in errors
    assert errors.endswith("--resume repeats the step.\n") and errors.count("\n") == 2


@pytest.mark.parametrize(
    "options, message",
    [
        ({"learnig_rate": 0.1}, "--learning-rate"),
        ({"optimizer": "adamm"}, "adamw"),
        ({"epochs": "ten"}, "--epochs"),
    ],
    ids=str,
)
def test_a_misspelt_option_is_refused_with_the_valid_ones(attempt, options, message):
    assert message in attempt(**options)


@pytest.mark.parametrize("name", ["thesis.tex", "run.json"])
def test_a_folder_that_is_not_empty_is_not_changed(attempt, tmp_path, name):
    work = tmp_path / "run" / name
    work.parent.mkdir()
    work.write_text("years of work")
    os.utime(work, (0, 0))
    assert "is not empty; choose a new folder with --out" in attempt()
    assert names(work.parent) == {name}
    assert work.stat().st_mtime == 0


def test_a_folder_that_cannot_be_created_is_refused_with_the_cure(attempt, tmp_path):
    (tmp_path / "file").touch()
    out = tmp_path / "file" / "run"
    assert f"cannot write to {out}: Not a directory; choose another" in attempt(out=out)


@pytest.mark.parametrize(
    "file, damage, message",
    [
        ("train-images-idx3-ubyte.gz", lambda content: content[:-100], "train-images"),
        (
            "t10k-labels-idx1-ubyte.gz",
            lambda content: gzip.compress(gzip.decompress(content)[:-1] + b"\x0a"),
            "10",
        ),
    ],
    ids=["a truncated file", "a label of 10"],
)
def test_damaged_data_are_refused_with_the_name_of_the_file(
    attempt, small_mnist, tmp_path, file, damage, message
):
    folder = tmp_path / "damaged"
    folder.mkdir()
    for path in small_mnist.iterdir():
        content = path.read_bytes()
        (folder / path.name).write_bytes(damage(content) if path.name == file else content)
    errors = attempt(data_dir=folder)
    assert str(folder / file) in errors and message in errors
    assert names(tmp_path / "run") == set()
