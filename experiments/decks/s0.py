"""S0, "Applied Data Science, module 8": perceptrons, then the 500 x 300 network on MNIST.

python -m experiments.decks.s0
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from experiments import command_line, configs, runner
from experiments.decks import slides
from experiments.folder import write_figure
from jaxnets import data, losses, metrics, models, scale_pixels, serial
from jaxnets.data import Split
from jaxnets.training import (
    TrainStep,
    console,
    evaluate,
    fit,
    make_train_step,
    predict,
    predict_proba,
)
from jaxnets.training.train_step import Hparams

# "MNIST - checkpoint 1". Softmax is in the loss and in `predict_proba`, where it cannot overflow.
model = serial(scale_pixels(), ("net", models.mlp((500, 300, 10))))


@dataclass(frozen=True)
class Config(slides.Config):
    """S0: perceptrons, then the 500 x 300 network on MNIST."""

    epochs: int = 5
    batch_size: int = 32
    optimizer: configs.Optimizer = "adam"
    sgd_learning_rate: float = 0.1
    """The learning rate of plain SGD, for a second run of the same network."""


def experiment(config: Config) -> None:
    """Run the examples of the deck."""
    mnist = data.load("mnist", data_dir=config.data_dir)
    train, held_out = data.train_test_split(mnist.train, config.validation, seed=config.seed)
    run = runner.Run("s0", config, mnist)
    perceptrons(run.folder / "perceptrons.png", config.seed)

    # The slides evaluate on the test set after every epoch; this uses held-out digits instead.
    train_step, by = compiled(config), {"hparams": config.hparams}  # model.compile(...)
    fitted = run.fit(train_step, train, validation=held_out)  # model.fit(X_train, y_train, ...)
    run.finish(train_step, fitted)
    trained, x = fitted.train_state, mnist.test.x
    count = sum(leaf.size for leaf in jax.tree.leaves(trained.params))
    test = evaluate(train_step, trained, mnist.test, **by)  # model.evaluate(...)
    predicted = predict(train_step, trained, x, **by)  # model.predict_classes(...)
    confidence = predict_proba(train_step, trained, x, **by).max(1)  # model.predict_proba(...)
    show_mistakes(run.folder / "mistakes.png", mnist.test, predicted, confidence)

    print("the same network with plain SGD", flush=True)
    by_sgd = replace(config, optimizer="sgd", learning_rate=config.sgd_learning_rate)
    options = {
        "key": jax.random.key(config.seed),
        "epochs": config.epochs,
        "batch_size": config.batch_size,
        "validation": held_out,
    }
    with console() as report:
        train_step, by = compiled(by_sgd), {"hparams": by_sgd.hparams}
        sgd = fit(train_step, train, report=report, **by, **options, **run.saved("sgd"))
    sgd_test = evaluate(train_step, sgd.train_state, mnist.test, **by)
    names = f"{config.optimizer} {config.learning_rate}", f"SGD {config.sgd_learning_rate}"
    title = "The 500 x 300 network on MNIST, on the held-out digits"
    figure = slides.validation_curves(dict(zip(names, (fitted, sgd), strict=True)), title)
    write_figure(run.folder / "optimizers.png", figure)

    slides.compare(
        run.folder,
        ("parameters", "(not given)", f"{count:,}"),
        ("digits to train, to test", "60k, 10k", f"{len(mnist.train.y):,}, {len(mnist.test.y):,}"),
        # "MNIST - checkpoint 2", where the slides have the answer, is a picture that is missing.
        (f"test accuracy, {names[0]}", "(picture missing)", f"{test['accuracy']:.4f}"),
        (f"test accuracy, {names[1]}", "(not given)", f"{sgd_test['accuracy']:.4f}"),
        # With steps_per_epoch=len(X_train), as on the augmentation slide, an epoch is 32 passes.
        ("updates per epoch", "60,000", f"{len(train.y) // config.batch_size:,} are one pass"),
    )


def compiled(config: Config) -> Callable[[Hparams], TrainStep]:
    """The counterpart of Keras's `compile(loss=..., optimizer=..., metrics=["accuracy"])`."""
    return lambda hparams: make_train_step(
        model,
        config.make_optimizer(hparams),
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.accuracy},
    )


def perceptrons(path: Path, seed: int) -> None:
    """Classify points with weights set by hand; several choices are right, as the slide asks."""
    x, y = data.points(200, [[-2, -2], [2, 2]], std=0.8, seed=seed)
    axes = (figure := Figure(figsize=(6.5, 6.8), layout="constrained")).subplots()
    for label, colour, marker in ((0, "gray", "o"), (1, "black", "^")):
        axes.scatter(*x[y == label].T, c=colour, marker=marker, s=16, label=f"class {label}")
    along = np.array([-5.0, 5.0])
    for (w1, w2), b in (((1.0, 1.0), 0.0), ((1.0, 0.5), 0.2), ((1.0, -1.0), 0.0)):
        params = {"head": {"kernel": jnp.array([[w1], [w2]]), "bias": jnp.array([-b])}}
        fires, _ = models.perceptron().apply(params, {}, jnp.asarray(x))
        right = (fires[:, 0] == y).mean()
        (line,) = axes.plot(
            along, (b - w1 * along) / w2, "-", label=f"w = ({w1}, {w2}), b = {b}: {right:.0%}"
        )
        middle = b / (w1**2 + w2**2) * np.array([w1, w2])  # the nearest point to the origin
        towards = middle + 1.3 * np.array([w1, w2]) / np.hypot(w1, w2)
        style = {"arrowstyle": "-|>", "color": line.get_color(), "lw": 2}
        axes.annotate("", towards, middle, arrowprops=style)
    axes.set(xlim=(-5, 5), ylim=(-5, 5), xlabel="$x_1$", ylabel="$x_2$", aspect="equal")
    axes.set_title(
        "A perceptron fires on the side of its arrow, <x, w> > b;\n%: points classified correctly"
    )
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.12))
    write_figure(path, figure)


def show_mistakes(path: Path, test: Split, predicted: np.ndarray, confidence: np.ndarray) -> None:
    """Draw the mistakes with the highest confidence."""
    wrong = np.flatnonzero(predicted != test.y)
    worst = wrong[np.argsort(-confidence[wrong])][:10]
    figure = Figure(figsize=(10, 4.6), layout="constrained")
    figure.suptitle(
        f"The {len(worst)} most confident of {len(wrong)} mistakes on {len(test.y):,} digits"
    )
    for axes, row in zip(figure.subplots(2, 5).flat, [*worst, *[None] * 10], strict=False):
        axes.set_axis_off()
        if row is not None:
            axes.imshow(test.x[row, :, :, 0], cmap="gray_r")
            axes.set_title(f"{test.y[row]}, classified as {predicted[row]}", size=11)
    write_figure(path, figure)


if __name__ == "__main__":
    command_line.main(experiment, Config)
