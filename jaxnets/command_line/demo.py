"""`jaxnets demo`: train a small network on MNIST, and write its report."""

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import optax
import tyro

from jaxnets import data, losses, metrics, models
from jaxnets.command_line.ranges import check_range
from jaxnets.compose import serial
from jaxnets.errors import RunError
from jaxnets.interop import safetensors
from jaxnets.layers import scale_pixels
from jaxnets.report_page import Network, Predictions, run_page, write
from jaxnets.saved_model import save_model
from jaxnets.training import (
    FitResult,
    Interrupted,
    TrainStep,
    combine,
    console,
    evaluate,
    fit,
    json_lines,
    make_train_step,
    predict_proba,
)
from jaxnets.training.report import write_json


@dataclass(frozen=True)
class Options:
    """Train a multi-layer perceptron on MNIST, whose images are part of the package.

    Prints the progress, evaluates once on the test images, and writes the weights and report.html,
    a web page with the curves, the confusion matrix and the worst mistakes.
    """

    epochs: int = 3
    """Passes over the training images."""
    batch_size: int = 128
    """Images per step."""
    hidden: int = 128
    """Units of the hidden layer."""
    learning_rate: float = 0.002
    """The constant learning rate of Adam."""
    seed: int = 0
    """The seed of the weights, the order and the held-out images."""
    examples: int = 55_000
    """Training images; 5,000 others are held out for validation."""
    out: Path | None = None
    """The folder to write to, new or empty; by default jaxnets-demo-TIME."""


def main(arguments: Sequence[str]) -> None:
    """Train, evaluate and write.

    Raises:
      RunError: an option out of its range, or a folder that is not empty.
      Interrupted: after Ctrl-C or SIGTERM; the result so far is written first.
    """
    options = tyro.cli(Options, args=arguments, prog="jaxnets demo")
    mnist = data.load("mnist")
    train, validation = data.train_test_split(mnist.train, 5000, seed=options.seed)
    _check(options, len(train.x))
    folder = _folder(options.out)
    write_json(folder / "run.json", description(options, mnist))
    print(f"MNIST, {mnist.source}; writing to {folder}", flush=True)
    train_step = make_train_step(
        serial(scale_pixels(), ("mlp", models.mlp([options.hidden, 10]))),
        optax.adam(options.learning_rate),
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.accuracy},
    )
    with console() as shown, json_lines(folder / "metrics.jsonl") as written:
        try:
            result, interrupted = (
                fit(
                    train_step,
                    data.Split(train.x[: options.examples], train.y[: options.examples]),
                    key=jax.random.key(options.seed),
                    epochs=options.epochs,
                    batch_size=options.batch_size,
                    validation=validation,
                    report=combine(shown, written),
                ),
                None,
            )
        except Interrupted as error:
            result, interrupted = error.fit, error
    finish(folder, train_step, result, mnist, interrupted=interrupted is not None)
    if interrupted is not None:
        raise interrupted


def finish(
    folder: Path,
    train_step: TrainStep,
    result: FitResult,
    mnist: data.Dataset,
    *,
    interrupted: bool,
) -> None:
    """Evaluate once on the test images, and write the weights, the result and the page."""
    state = result.train_state
    test = evaluate(train_step, state, mnist.test)
    content = {f"test_{name}": test[name] for name in ("accuracy", "loss")} | {
        "steps": int(state.step),
        "train_seconds": result.train_seconds,
        "compile_seconds": result.compile_seconds,
        "samples_per_second": result.samples_per_second,
        "interrupted": interrupted,
    }
    write_json(folder / "result.json", content)
    arrays = {"params": state.params, "state": state.model_state}
    safetensors.save(folder / "params.safetensors", arrays)
    classes = mnist.classes
    save_model(folder / "model.jaxnets", train_step.model, state, mnist.test.x, classes=classes)
    probabilities = predict_proba(train_step, state, mnist.test.x)
    page = run_page(
        folder,
        predicted=Predictions(mnist.test.x, mnist.test.y, probabilities, mnist.classes),
        network=Network(train_step.model, state.params, mnist.test.x),
    )
    write(folder / "report.html", page)
    print(f"test accuracy {test['accuracy']:.2%}; open {folder / 'report.html'} in a browser")


def description(options: Options, mnist: data.Dataset) -> dict[str, Any]:
    """The content of run.json."""
    return {
        "experiment": "demo",
        "title": "A multi-layer perceptron on MNIST",
        "config": asdict(options),
        "data": {"source": mnist.source, "checksums": mnist.checksums},
        "versions": {p: version(p) for p in ("jaxnets", "jax", "jaxlib", "optax", "numpy")},
        "python": platform.python_version(),
        "device": f"{jax.devices()[0].device_kind} ({jax.default_backend()})",
        "cores": os.cpu_count(),
    }


def _check(options: Options, most: int) -> None:
    """Refuse sizes out of their range before a folder is made."""
    limits = {"epochs": 10**6, "batch_size": options.examples, "hidden": 10**5, "examples": most}
    for name in ("examples", "epochs", "batch_size", "hidden"):
        check_range(f"--{name.replace('_', '-')}", getattr(options, name), limits[name])


def _folder(out: Path | None) -> Path:
    folder = out or Path(f"jaxnets-demo-{time.strftime('%Y%m%d-%H%M%S')}")
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise RunError(f"{folder} is not empty; choose a new folder with --out")
    return folder
