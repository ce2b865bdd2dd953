"""Invalid options of the benchmark are refused in one message that says how to fix them."""

import sys

import pytest

from experiments import command_line
from experiments.bench.__main__ import default_batch_size, experiment
from experiments.bench.options import Config, check, quick
from experiments.bench.process import Contender
from experiments.bench.rounds import PREPARE_SECONDS
from experiments.bench.task import Task


@pytest.mark.parametrize(
    "options, message",
    [
        (["--cases=mlp,cnnbn"], "'cnnbn'; did you mean cnn_bn?"),
        (["--peers=torhc"], "--peers expects names from torch, torch_compile"),
        (["--dtypes=float16"], "--dtypes expects names from float32, bfloat16, but got 'float16'"),
        (["--batch-sizes=1,,8"], "--batch-sizes expects positive integers"),
        (["--batch-sizes=0"], "as in 1,8,128, but got '0'"),
        (["--population=1,x"], "--population expects positive integers"),
        (["--devices=two"], "--devices expects positive integers"),
        (["--repeats=0"], "--repeats expects a number of 1 or more, but got 0"),
        (["--steps=-1"], "--steps expects a number of 1 or more, but got -1"),
        (
            ["--time-to-accuracy=99"],
            "--time-to-accuracy expects a share such as 0.99, but got 99.0",
        ),
        (["--time-to-accuracy=0.9", "--processes"], "choose one"),
        (["--side-by-side=2", "--processes"], "--side-by-side excludes --processes"),
        (["--side-by-side=2", "--profile=traces"], "and --profile; leave one out"),
        (["--side-by-side=0"], "--side-by-side expects a number of 1 or more, but got 0"),
        (
            ["--time-to-accuracy=0.9", "--cases=vgg16"],
            "pass --cases mlp,cnn_bn,cnn_5x5,population",
        ),
        (["--data-dir=/nowhere"], "--data-dir expects a folder, but got /nowhere; create it"),
        (["--out=/dev/null/a"], "cannot write to /dev/null/a: File exists; choose another"),
        (["--out={kept}"], "kept is not empty; choose a new file with --out"),
        (["--repeats=many"], "--repeats"),
        (["--prepare-seconds=nan"], "--prepare-seconds expects a number above 0, but got nan"),
    ],
    ids=str,
)
def test_an_invalid_option_is_refused(monkeypatch, capsys, tmp_path, options, message):
    (tmp_path / "kept").write_text("an hour of measuring\n")
    options = [option.format(kept=tmp_path / "kept") for option in options]
    monkeypatch.setattr(sys, "argv", ["bench", *options])
    with pytest.raises(SystemExit) as raised:
        command_line.main(experiment, Config)
    errors = capsys.readouterr().err
    assert raised.value.code == 2 and message in errors and "Traceback" not in errors
    assert (tmp_path / "kept").read_text() == "an hour of measuring\n"


def test_lists_are_combined_and_only_jaxnets_has_several_devices():
    config = Config(cases="mlp,vgg16", peers="torch", batch_sizes="1,8", devices="1,2")
    tasks, contenders = check(config)
    assert tasks == [Task(c, b, "float32") for c in ("mlp", "vgg16") for b in (1, 8)]
    assert contenders == [Contender("ours", 1), Contender("ours", 2), Contender("torch", 1)]
    assert [c.label for c in contenders] == ["ours", "ours, 2 devices", "torch"]


def test_only_a_population_has_several_members():
    tasks, _ = check(Config(cases="mlp,population", population="1,64"))
    assert [(task.case, task.members) for task in tasks] == [
        *[("mlp", 1), ("population", 1), ("population", 64)]
    ]


def test_large_images_have_small_batches_on_a_cpu():
    assert default_batch_size("vgg16", "cpu") == 8
    assert default_batch_size("vgg16", "gpu") == default_batch_size("mlp", "cpu") == 128


def test_quick_measures_one_case_against_one_peer_once():
    config = quick(Config(quick=True, out=None))
    assert (config.cases, config.peers, config.repeats) == ("mlp", "torch", 1)
    assert config.prepare_seconds < PREPARE_SECONDS
    assert quick(Config()) == Config()
