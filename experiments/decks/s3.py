"""S3, "Neural Networks, Deep Learning": the 784-128-10 network on Fashion-MNIST, and its variants.

python -m experiments.decks.s3 --data-dir FOLDER

With `--seeds 10` the slide's recipe also runs with ten seeds, at batch sizes 128 and 32, and the
same network with Adam, batches of 32 and a decaying learning rate, chosen on validation data. The
test accuracies are written to seeds.json; experiments/results/fashion_mnist_seeds.json is from such
a run.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from jax.nn import relu
from jax.nn.initializers import glorot_uniform
from matplotlib.figure import Figure

from experiments import command_line, configs, runner
from experiments.decks import slides
from experiments.decks.fashion_seeds import compare_recipes
from experiments.folder import write_figure
from jaxnets import (
    Layer,
    batch_norm,
    data,
    dense,
    dropout,
    flatten,
    losses,
    metrics,
    scale_pixels,
    serial,
)
from jaxnets.data import Dataset
from jaxnets.plot_style import COLOURS
from jaxnets.training import (
    FitResult,
    TrainStep,
    console,
    evaluate,
    fit,
    make_train_step,
    predict_proba,
)
from jaxnets.training.train_step import Hparams, Penalty

REGULARIZERS = {  # regularization: layers after the hidden one, and a penalty
    "none": ([], None),
    # The slides' rate is for their network for reviews; it is far too large for this one.
    "L1 0.001": ([], lambda params: losses.l1(params, 0.001)),
    "L2 0.001": ([], lambda params: losses.l2(params, 0.001)),
    # The slide scales the outputs at test time by the dropout rate; correct is 1 - rate, the
    # fraction kept. Here, as in Keras, units that are kept are divided by it in training instead.
    "dropout 0.5": ([("drop", dropout(0.5))], None),
    "batch norm": ([("norm", batch_norm())], None),
}


@dataclass(frozen=True)
class Config(slides.Config):
    """S3: the 784-128-10 network on Fashion-MNIST, and its variants."""

    epochs: int = 5
    optimizer: configs.Optimizer = "rmsprop"
    variant_epochs: int = 20
    """The maximum number of epochs per variant, at batch size 512 as on the slides."""
    patience: int = 3
    """Early stopping: epochs without a smaller validation loss before a variant stops."""
    seeds: int = 0
    """Number of runs of the slide's recipe, for a mean and a standard deviation."""


def network(*after_hidden: tuple[str, Layer]) -> Layer:
    """A hidden layer of 128 units, the layers after it, and 10 outputs, initialised as in Keras."""
    return serial(
        *[scale_pixels(), flatten],
        *[("hidden", dense(128, kernel_init=glorot_uniform())), relu, *after_hidden],
        ("output", dense(10, kernel_init=glorot_uniform())),  # its softmax is in the loss
    )


def compiled(
    config: Config, model: Layer, penalty: Penalty | None = None
) -> Callable[[Hparams], TrainStep]:
    """The counterpart of Keras's `compile(optimizer=..., loss=..., metrics=["accuracy"])`."""
    return lambda hparams: make_train_step(
        model,
        config.make_optimizer(hparams),
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.accuracy},
        penalty=penalty,
    )


def experiment(config: Config) -> None:
    """Run the examples of the deck."""
    fashion = data.load("fashion_mnist", data_dir=config.data_dir)
    run = runner.Run("s3", config, fashion)
    model = network()

    options = {
        "key": jax.random.key(config.seed),
        "epochs": config.epochs,
        "hparams": config.hparams,
        "remainder": "pad",
    }
    # The slide trains on all images; this holds some out, so that the curves show overfitting.
    train, held_out = data.train_test_split(fashion.train, config.validation, seed=config.seed)
    train_step = compiled(config, model)  # network.compile(...)
    held = {"batch_size": config.batch_size, "validation": held_out}
    result = run.fit(train_step, train, **held, **options)
    run.finish(train_step, result)

    # The slide says batches of 128, but its times and losses match Keras's default of 32.
    print("the same in batches of 32", flush=True)
    with console() as report:
        saved = run.saved("batches of 32")
        by_32 = fit(train_step, fashion.train, batch_size=32, report=report, **options, **saved)
    variants(config, run, fashion)
    rows = compare_training(config, len(train.y), result, by_32)
    rows += compare_evaluation(config, run, train_step, result)
    slides.compare(run.folder, *rows)
    if config.seeds:
        compare_recipes(config, run, model, fashion)


def compare_training(
    config: Config, examples: int, result: FitResult, by_32: FitResult
) -> list[tuple[str, str, str]]:
    """Rows of the slides' training results next to ours."""

    def by_epoch(result: FitResult, name: str) -> str:
        return " ".join(f"{progress.train[name]:.4f}" for progress in result.history)

    parameters = sum(leaf.size for leaf in jax.tree.leaves(result.train_state.params))
    micros = 1e6 * result.train_seconds / (config.epochs * examples)
    return [
        ("parameters", "101,770", f"{parameters:,}"),
        ("loss by epoch", "0.5078 0.3829 0.3516 0.3341 0.3223", by_epoch(result, "loss")),
        ("the same, batches of 32", "", by_epoch(by_32, "loss")),
        ("accuracy by epoch", "0.8192 0.8632 0.8753 0.8824 0.8868", by_epoch(result, "accuracy")),
        ("the same, batches of 32", "", by_epoch(by_32, "accuracy")),
        ("training, us/sample", "84 to 102", f"{micros:.1f}"),
    ]


def compare_evaluation(
    config: Config, run: runner.Run, train_step: Callable[[Hparams], TrainStep], result: FitResult
) -> list[tuple[str, str, str]]:
    """Rows of the slides' evaluation and prediction results next to ours."""
    fashion, hparams = run.dataset, {"hparams": config.hparams}
    arguments = (train_step, result.train_state)
    test = evaluate(*arguments, fashion.test, **hparams)  # network.evaluate(...)
    began = time.perf_counter()
    evaluate(*arguments, fashion.test, **hparams)  # again, already compiled
    micros = 1e6 * (time.perf_counter() - began) / len(fashion.test.y)
    row = int(np.flatnonzero(fashion.test.y == 0)[0])  # a T-shirt
    shirt = predict_proba(*arguments, fashion.test.x[row : row + 1], **hparams)[0]
    show_prediction(run.folder / "prediction.png", fashion, row, shirt)
    return [
        ("test loss", "0.3382", f"{test['loss']:.4f}"),
        ("test accuracy", "0.8824, one run", f"{test['accuracy']:.4f}, one run"),
        ("evaluation, us/sample", "58", f"{micros:.1f}"),
        # The slide prints the true label of this prediction with 8 entries; it has 10.
        ("a T-shirt: T-shirt, shirt", "0.9946, 0.0054", f"{shirt[0]:.4f}, {shirt[6]:.4f}"),
    ]


def variants(config: Config, run: runner.Run, fashion: Dataset) -> None:
    """Compare the slides' remedies for overfitting on one held-out set, with early stopping."""
    train, held_out = data.train_test_split(fashion.train, config.validation, seed=config.seed)
    batch_size, runs = min(512, len(train.x)), {}
    print("regularization       epochs  best  validation loss, accuracy  test accuracy", flush=True)
    for name, (layers, penalty) in REGULARIZERS.items():
        train_step = compiled(config, network(*layers), penalty)
        runs[name] = fitted = fit(
            train_step,
            train,
            key=jax.random.key(config.seed),
            epochs=config.variant_epochs,
            batch_size=batch_size,
            hparams=config.hparams,
            validation=held_out,
            patience=config.patience,
            **run.saved(name),
        )
        best = fitted.history[fitted.best_epoch - 1].validation
        test = evaluate(train_step, fitted.train_state, fashion.test, hparams=config.hparams)
        print(
            f"{name:19}  {len(fitted.history):6}  {fitted.best_epoch:4}  {best['loss']:15.4f}  "
            f"{best['accuracy']:8.4f}  {test['accuracy']:13.4f}",
            flush=True,
        )
    title = f"Regularization on Fashion-MNIST: 128 hidden units, batches of {batch_size}"
    write_figure(run.folder / "variants.png", slides.validation_curves(runs, title))
    # The slides show 0.4960 and 0.8604 on 25,000 rows here, from their network for reviews.


def percent(probability: float) -> str:
    """A probability in percent; a small one as a bound."""
    return f"{probability:.1%}" if probability >= 0.001 else "below 0.1%"


def show_prediction(path: Path, fashion: Dataset, row: int, probabilities: np.ndarray) -> None:
    """Draw the image, and the probability of each class."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.6))
    left.imshow(fashion.test.x[row, :, :, 0], cmap="gray_r")
    left.set_axis_off()
    left.set_title(f"Test image {row}: {fashion.classes[fashion.test.y[row]]}")
    true = fashion.test.y[row]
    colours = [COLOURS[2] if i == true else COLOURS[0] for i in range(len(probabilities))]
    names = [f"{name} (true)" if i == true else name for i, name in enumerate(fashion.classes)]
    bars = right.barh(names, 100 * probabilities, color=colours)
    right.bar_label(bars, [percent(p) for p in probabilities], padding=3)
    right.invert_yaxis()
    right.set(xlabel="probability (%)", xlim=(0, 100), title="Prediction")
    right.spines["right"].set_visible(False)
    write_figure(path, figure)


if __name__ == "__main__":
    command_line.main(experiment, Config)
