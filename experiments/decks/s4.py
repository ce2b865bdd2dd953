"""S4, the Torch7 practical: linear regression, every optimizer, four kernels, LeNet-5 on MNIST.

python -m experiments.decks.s4
"""

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from experiments import command_line, configs, runner
from experiments.decks import slides
from experiments.folder import write_figure
from jaxnets import (
    conv,
    data,
    losses,
    metrics,
    models,
    scale_pixels,
    serial,
)
from jaxnets.training import TrainStep, descend, evaluate, fit, make_train_step, momentum
from jaxnets.training.train_step import Hparams

lenet5 = serial(scale_pixels(mean=0.1307, std=0.3081), ("lenet5", models.lenet5()))
KERNELS = {
    "sharpen": [[0, -1, 0], [-1, 5, -1], [0, -1, 0]],
    "emboss": [[-2, -1, 0], [-1, 1, 1], [0, 1, 2]],
    "blur": [[1, 1, 1], [1, 7, 1], [1, 1, 1]],
    "edge detect": [[0, 1, 0], [1, -4, 1], [0, 1, 0]],
}
OPTIMIZERS = {  # with learning rates tuned for Beale's function
    "gradient descent": optax.sgd(0.02),
    "momentum as on the slide": momentum(0.003, decay=0.9),
    "NAG": optax.sgd(0.003, momentum=0.9, nesterov=True),
    "Adagrad": optax.adagrad(1.0),
    "Adadelta": optax.adadelta(5.0),
    "RMSprop": optax.rmsprop(0.03),
    "Adam": optax.adam(0.3),
}


@dataclass(frozen=True)
class Config(slides.Config):
    """S4: linear regression, every optimizer, four kernels, LeNet-5 on MNIST."""

    epochs: int = 2
    batch_size: int = 32
    optimizer: configs.Optimizer = "momentum"
    learning_rate: float = 0.01
    """The constant learning rate, the 0.01 of updateParameters(0.01)."""


def experiment(config: Config) -> None:
    """Run the examples of the deck."""
    mnist = data.load("mnist", data_dir=config.data_dir)
    train, held_out = data.train_test_split(mnist.train, config.validation, seed=config.seed)
    run = runner.Run("s4", config, mnist)
    distances = linear_regression(config, run.folder / "linear_regression.png")
    steps = optimizers_on_a_contour(run.folder / "optimizers.png")
    filter_a_digit(run.folder / "kernels.png", mnist.test.x[:1])

    def train_step(hparams: Hparams) -> TrainStep:
        return make_train_step(
            lenet5,
            config.make_optimizer(hparams),
            losses.softmax_cross_entropy,
            metrics={"accuracy": metrics.accuracy},
        )

    fitted = run.fit(train_step, train, validation=held_out)
    run.finish(train_step, fitted)
    trained = fitted.train_state
    test = evaluate(train_step, trained, mnist.test, hparams=config.hparams)

    count = sum(leaf.size for leaf in jax.tree.leaves(trained.params))
    error = losses.softmax_cross_entropy(jnp.array([[14.0, 11.0, 16.0]]), jnp.array([2])).item()
    slides.compare(
        run.folder,
        *((f"w by {name}", "least squares", far) for name, far in distances.items()),
        *((f"steps down to F < 0.01, {name}", "(animation)", n) for name, n in steps.items()),
        # The slide's probabilities and formula are right, but its result is log p, not -log p.
        ("error of [14, 11, 16] for 3", "-0.1328", f"{error:+.4f}"),
        # A weighted sum keeps the brightness of an image if its weights sum to 1.
        ("the blur's weights sum to", "(not given)", f"{np.sum(KERNELS['blur'])}: divide by it"),
        ("parameters of LeNet-5", "(cited)", f"{count:,}"),
        ("its test accuracy", "(none)", f"{test['accuracy']:.4f}"),
    )


def linear_regression(config: Config, path: Path) -> dict[str, str]:
    """Fit a line by batch, stochastic and mini-batch descent; return the errors of its weights."""
    random, n = np.random.default_rng(config.seed), 128
    x = random.uniform(-1, 1, (n, 1)).astype(np.float32)
    y = (0.5 + 2 * x + 0.3 * random.normal(size=(n, 1))).astype(np.float32)
    best, *_ = np.linalg.lstsq(np.hstack([np.ones((n, 1)), x]).astype(np.float64), y, rcond=None)
    lowest = np.mean((best[0] + best[1] * x - y) ** 2) / 2
    model, distances = models.linear(absorb_bias=True), {}  # f(x, w) = w_0 + w_1 x

    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.scatter(x, y, s=8, color="gray", label="examples")
    ends = np.array([-1.0, 1.0])
    # J is a sum over examples, but `fit` takes the mean: the slides' rate is 1/n of this one.
    methods = (("gradient descent", n, 0.5), ("SGD", 1, 0.02), ("mini-batch SGD", 16, 0.2))

    def train_step(hparams: Hparams) -> TrainStep:
        optimizer = optax.sgd(hparams["learning_rate"])
        return make_train_step(model, optimizer, losses.half_squared_error)

    for name, size, rate in methods:
        fitted = fit(
            train_step,
            (x, y),
            key=jax.random.key(config.seed),
            epochs=100,
            batch_size=size,
            hparams={"learning_rate": rate},
            validation=(x, y),
        )
        w = np.asarray(fitted.train_state.params["head"]["kernel"])[:, 0]
        distances[name] = f"within {np.abs(w - best[:, 0]).max():.1e}"
        left.plot(ends, w[0] + w[1] * ends, label=f"{name}, {size} per step")
        above = [p.validation["loss"] - lowest for p in fitted.history]
        right.semilogy([p.epoch for p in fitted.history], np.maximum(above, 1e-9), label=name)
    left.set(xlabel="x", ylabel="y", title="Linear regression")
    right.set(xlabel="epoch", ylabel="J/n above its minimum", title="Every example once per epoch")
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    write_figure(path, figure)
    return distances


def valley(point: jax.Array) -> jax.Array:
    """Beale's function: a steep valley, flat along its floor, with its minimum 0 at (3, 0.5)."""
    x, y = point
    return (1.5 - x + x * y) ** 2 + (2.25 - x + x * y**2) ** 2 + (2.625 - x + x * y**3) ** 2


def optimizers_on_a_contour(path: Path, steps: int = 300) -> dict[str, str]:
    """Draw each optimizer's path from the same start; return its steps to F < 0.01, by name."""
    figure = Figure(figsize=(10, 6), layout="constrained")
    axes, counts = figure.subplots(), {}
    x, y = np.meshgrid(np.linspace(-0.5, 4, 200), np.linspace(-1.3, 1.7, 200))
    levels = np.geomspace(0.003, 300, 18)
    axes.contour(x, y, valley((x, y)), levels, norm=LogNorm(), cmap="Greys_r", linewidths=0.7)
    for name, optimizer in OPTIMIZERS.items():
        points, values = descend(valley, jnp.array([0.7, 1.4]), optimizer, steps)
        axes.plot(*points.T, ".-", markersize=3, linewidth=1, label=name)
        low = np.flatnonzero(values < 0.01)
        counts[name] = f"{low[0]}" if low.size else f"over {steps}"
    axes.plot(0.7, 1.4, "ks", label="start")
    axes.plot(3, 0.5, "k*", markersize=14, label="minimum")
    axes.set(xlim=(-0.5, 4), ylim=(-1.3, 1.7), xlabel="$\\theta_1$", ylabel="$\\theta_2$")
    axes.set_title(f"{steps} steps on Beale's function")
    axes.legend(loc="lower right")
    write_figure(path, figure)
    return counts


def filter_a_digit(path: Path, image: np.ndarray) -> None:
    """Draw the slide's four kernels applied to a digit by a `conv` layer.

    The layer does not flip its kernel: it is the slide's sliding mask, a cross-correlation. The
    slide's formula f(n - m) g(m) would rotate the kernels by 180 degrees, which changes emboss.
    """
    apply, pixels = jax.jit(conv(1, (3, 3), use_bias=False).apply), image / np.float32(255)
    images = {"original": pixels}
    for name, kernel in KERNELS.items():
        kernel = np.array(kernel, np.float32) / (np.sum(kernel) or 1)  # the blur sums to 15
        images[name] = np.asarray(apply({"kernel": kernel[:, :, None, None]}, {}, pixels)[0])
    figure = Figure(figsize=(12, 2.5), layout="constrained")
    for axes, (name, image) in zip(figure.subplots(1, 5), images.items(), strict=True):
        drawn = axes.imshow(image[0, :, :, 0], cmap="gray")
        axes.set_axis_off()
        axes.set_title(name)
        figure.colorbar(drawn, ax=axes, shrink=0.7)
    figure.suptitle("The kernels of the slide on a digit, ink from 0 to 1")
    write_figure(path, figure)


if __name__ == "__main__":
    command_line.main(experiment, Config)
