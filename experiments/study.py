"""What the studies share: a question about training, answered by populations on MNIST."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import optax
import tyro
from matplotlib.figure import Figure

from experiments.folder import begin, machine, write_figure, write_json
from jaxnets import Layer, data, losses, metrics, models, scale_pixels, serial
from jaxnets.data import Dataset, Split
from jaxnets.training import Checkpoints, RunError, TrainStep, console, make_train_step
from jaxnets.training.population import PopulationResult, fit_population
from jaxnets.training.report import to_json


@dataclass(frozen=True)
class Config:
    """The options that every study has."""

    epochs: int = 10
    """Passes over the training data."""
    examples: int = 10_000
    """Training examples, the first of those that are not held out."""
    validation: int = 5000
    """Training examples held out to watch; never trained on."""
    batch_size: int = 128
    """Examples a step."""
    seed: int = 0
    """The first seed of the networks; it decides the held-out examples too."""
    data_dir: Path | None = None
    """A folder with MNIST's IDX files, instead of those found by themselves."""
    out: Path | None = None
    """The folder to write to; by default runs/NAME-TIME."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Go on with the study in --out, bit for bit; only --epochs may differ."""


def started(name: str, config: Any) -> tuple[Any, Dataset, Split, Split]:
    """The study's folder opened, MNIST, the examples of it to train on, and those held out.

    In the config that is returned, `out` is the folder, and `resume` whether there is a study in it
    to go on with.
    """
    mnist = data.load("mnist", data_dir=config.data_dir)
    train, validation = data.train_test_split(mnist.train, config.validation, seed=config.seed)
    if not 1 <= config.examples <= len(train.x):
        raise RunError(
            f"--examples expects a number from 1 to {len(train.x)}, since {config.validation} are "
            f"held out, but got {config.examples}"
        )
    folder, begun = begin(name, config, mnist)
    config = replace(config, out=folder, resume=begun)
    return config, mnist, Split(*(part[: config.examples] for part in train)), validation


def classifier(*sizes: int, **options: Any) -> Layer:
    """A multi-layer perceptron on images: `models.mlp`, its pixels scaled to [0, 1]."""
    return serial(scale_pixels(), ("mlp", models.mlp(sizes, **options)))


def train_step(model: Layer, optimizer: optax.GradientTransformation) -> TrainStep:
    """A step on the cross-entropy that reports the accuracy as well."""
    return make_train_step(
        model, optimizer, losses.softmax_cross_entropy, metrics={"accuracy": metrics.accuracy}
    )


def trained(
    config: Config, name: str, train_step: Any, train: Split, **options: Any
) -> PopulationResult:
    """`fit_population`, reporting here, and saved in the study's folder under a name."""
    sizes = {"epochs": config.epochs, "batch_size": config.batch_size}
    checkpoints = Checkpoints(config.out / "checkpoints" / name, keep=1)
    saved = {"checkpoints": checkpoints, "resume": config.resume}
    with console() as shown:
        fitted = fit_population(train_step, train, report=shown, **saved, **sizes, **options)
    print(
        f"{len(fitted.diverged)} networks by {fitted.strategy}: {fitted.train_seconds:.1f} s of "
        f"training, {fitted.compile_seconds:.1f} s of compiling; "
        f"{(fitted.diverged >= 0).sum()} diverged",
        flush=True,
    )
    return fitted


def finish(config: Config, result: dict[str, Any], figure: Figure) -> dict[str, Any]:
    """Write result.json and the figure, result.png; return the result as it was written."""
    write_figure(config.out / "result.png", figure)
    whole = {
        "epochs": config.epochs,
        "examples": config.examples,
        "validation": config.validation,
        "batch_size": config.batch_size,
        "seed": config.seed,
        **result,
        **machine(),
    }
    write_json(config.out / "result.json", whole)
    print(f"result.png and result.json are in {config.out}", flush=True)
    return to_json(whole)
