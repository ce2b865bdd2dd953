"""S1, "Introduction to Neural Networks": logistic regression from scratch, then ten digits.

python -m experiments.decks.s1

The networks of the slides are compared with scikit-learn's MLPClassifier and SVM, where it is
installed, all on the same few thousand digits.
"""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from experiments import command_line, configs, runner
from experiments.decks import slides
from experiments.folder import write_figure
from jaxnets import data, losses, metrics, models, scale_pixels, serial
from jaxnets.data import Split
from jaxnets.training import RunError, TrainStep, evaluate, fit, make_train_step, predict_proba
from jaxnets.training.train_step import Hparams

SCORES = {
    "accuracy": metrics.accuracy,
    "precision": metrics.precision(10),
    "recall": metrics.recall(10),
    "F1": metrics.f1(10),
}

SLIDES_HIDDEN = ((3, 3), (2, 3, 2))  # too few units for ten classes


@dataclass(frozen=True)
class Config(slides.Config):
    """S1: logistic regression from scratch, then ten digits, compared with scikit-learn."""

    epochs: int = 60
    batch_size: int = 200
    optimizer: configs.Optimizer = "adam"
    alpha: float = 1e-4
    """The L2 penalty, alpha / 2 |W|^2 divided by the batch size, as in scikit-learn."""
    examples: int = 5000
    """The number of training digits, the same for every classifier."""
    pair: tuple[int, int] = (4, 9)
    """The two digits that logistic regression distinguishes."""
    steps: int = 300
    """Gradient descent steps of the logistic regression."""
    step_size: float = 0.1
    """The learning rate of the logistic regression."""

    @property
    def hparams(self) -> dict[str, float]:
        """The hyperparameters that `make_optimizer` and the penalty read."""
        return super().hparams | {"alpha": self.alpha}


class Classifier(NamedTuple):
    """A trained classifier: its scores (n, 10) on the test set, and the seconds of training."""

    scores: np.ndarray
    seconds: float


def experiment(config: Config) -> None:
    """Run the examples of the deck."""
    if len(set(config.pair) & set(range(10))) != 2:
        raise RunError(f"--pair expects two different digits from 0 to 9, but got {config.pair}")
    mnist = data.load("mnist", data_dir=config.data_dir)
    run = runner.Run("s1", config, mnist)
    print(f"logistic regression of {config.pair[0]} and {config.pair[1]}, from scratch", flush=True)
    error, right = logistic_regression(config, mnist, run.folder / "logistic_regression.png")

    train, held_out = data.train_test_split(mnist.train, config.validation, seed=config.seed)
    train = Split(train.x[: config.examples], train.y[: config.examples])
    fit_and_report = partial(run.fit, validation=held_out)
    by_rate = {"hparams": config.hparams}
    networks = {"network 64": network(config, (64,), train, fit_and_report)}
    run.finish(*networks["network 64"])
    for hidden in SLIDES_HIDDEN:
        name = f"network {' + '.join(map(str, hidden))}"
        networks[name] = network(config, hidden, train, partial(fit, **run.saved(name)))
    by = {
        name: Classifier(
            predict_proba(train_step, fitted.train_state, mnist.test.x, **by_rate),
            fitted.compile_seconds + fitted.train_seconds,
        )
        for name, (train_step, fitted) in networks.items()
    } | scikit_learn(config, train, mnist.test)

    show_roc(run.folder / "roc.png", by, mnist.test.y)
    scores = print_scores(by, mnist.test.y)
    calibration = {"error": metrics.expected_calibration_error()}
    train_step, fitted = networks["network 64"]
    options = {"metrics": calibration, **by_rate}
    off = evaluate(train_step, fitted.train_state, mnist.test, **options)["error"]
    slides.compare(
        run.folder,
        ("the gradient of J", "(1/n) (p - y) x", f"the same to {error:.0e}"),
        ("accuracy on the two digits", "(none)", f"{right:.4f}"),
        *((f"accuracy, {name}", "(none)", f"{scores[name]:.4f}") for name in by),
        # The slide that lists pros and cons omits softmax, which later slides have.
        ("a network's confidence", "there is none", f"off by {off:.1%} on average"),
    )


def forward(w: Any, x: Any) -> Any:
    """The logit z = w^T x; its sigmoid is the probability of class 1."""
    return x @ w


def J(w: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """The average of all losses -y ln(p) - (1 - y) ln(1 - p), where 1 - p is sigmoid(-z).

    The slides call it the categorical cross-entropy, and omit the minus sign once.
    """
    z = forward(w, x)
    return -(y * jax.nn.log_sigmoid(z) + (1 - y) * jax.nn.log_sigmoid(-z)).mean()


def logistic_regression(config: Config, mnist: data.Dataset, path: Path) -> tuple[float, float]:
    """Train with `jax.grad`; return its error against the formula, and the test accuracy."""

    def two_digits(split: Split) -> tuple[np.ndarray, np.ndarray]:
        rows = np.isin(split.y, config.pair)
        pixels = split.x[rows].reshape(rows.sum(), -1) / np.float32(255)
        augmented = np.hstack([np.ones((len(pixels), 1), np.float32), pixels])  # x = [1, x]
        return augmented, (split.y[rows] == config.pair[1]).astype(np.float32)

    x, y = two_digits(mnist.train)
    w = jnp.zeros(x.shape[1])  # a single unit has no symmetry to break

    @jax.jit
    def descend(w: jax.Array) -> tuple[jax.Array, jax.Array]:
        def step(w: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
            value, gradient = jax.value_and_grad(J)(w, x, y)
            return w - config.step_size * gradient, value

        return jax.lax.scan(step, w, length=config.steps)

    w, values = map(np.asarray, descend(w))
    by_hand = (1 / (1 + np.exp(-forward(w, x))) - y) @ x / len(y)
    error = float(np.abs(jax.jit(jax.grad(J))(w, x, y) - by_hand).max())
    test_x, test_y = two_digits(mnist.test)
    right = float(((forward(w, test_x) > 0) == (test_y > 0)).mean())

    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, middle = figure.subplots(1, 2)
    left.plot(values)
    left.set(xlabel="step", ylabel="J (nats)", title="Gradient descent, all examples per step")
    left.grid(alpha=0.3)
    weights, limit = w[1:].reshape(mnist.test.x.shape[1:3]), float(np.abs(w[1:]).max())
    image = middle.imshow(weights, cmap="coolwarm", vmin=-limit, vmax=limit)
    middle.set_axis_off()
    middle.set_title(f"Weights: red for {config.pair[1]}, blue for {config.pair[0]}")
    figure.colorbar(image, ax=middle, label="weight")
    write_figure(path, figure)
    return error, right


def network(config: Config, hidden: tuple[int, ...], train: Split, fit: Callable) -> tuple:
    """A network with these hidden layers: its train step and the result of `fit`."""
    model = serial(scale_pixels(), ("net", models.mlp((*hidden, 10))))

    def train_step(hparams: Hparams) -> TrainStep:
        return make_train_step(
            model,
            config.make_optimizer(hparams),
            losses.softmax_cross_entropy,
            metrics={"accuracy": metrics.accuracy},
            penalty=lambda params: losses.l2(params, hparams["alpha"] / (2 * config.batch_size)),
        )

    sizes = {"epochs": config.epochs, "batch_size": config.batch_size, "hparams": config.hparams}
    return train_step, fit(train_step, train, key=jax.random.key(config.seed), **sizes)


def scikit_learn(config: Config, train: Split, test: Split) -> dict[str, Classifier]:
    """The slide's MLPClassifier and an SVM, on the same digits; empty without scikit-learn."""
    try:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier
        from sklearn.svm import SVC
    except ImportError:
        print("scikit-learn is not installed, so the comparison with it is left out;")
        print('pip install -e ".[test]" installs it', flush=True)
        return {}
    x, test_x = (split.x.reshape(len(split.x), -1) / np.float32(255) for split in (train, test))
    mlp = MLPClassifier(
        (64,),
        alpha=config.alpha,
        batch_size=config.batch_size,
        learning_rate_init=config.learning_rate,
        max_iter=config.epochs,
        random_state=config.seed,
    )
    svm, by = SVC(), {}
    for name, classifier in (("MLPClassifier 64", mlp), ("SVM (RBF)", svm)):
        began = time.perf_counter()
        with warnings.catch_warnings():  # scikit-learn warns that training has not converged
            warnings.simplefilter("ignore", ConvergenceWarning)
            classifier.fit(x, train.y)
        seconds = time.perf_counter() - began
        scores = mlp.predict_proba if classifier is mlp else svm.decision_function
        by[name] = Classifier(np.asarray(scores(test_x), np.float32), seconds)
    return by


def print_scores(by: dict[str, Classifier], labels: np.ndarray) -> dict[str, float]:
    """Print every score of every classifier; return the accuracies."""
    accuracies, y, weights = {}, jnp.asarray(labels), jnp.ones(len(labels))

    @jax.jit
    def values_of(outputs: jax.Array) -> list[jax.Array]:
        return [m.value(m.sums(outputs, y, weights)) for m in SCORES.values()]

    print(f"{'':18}" + "".join(f"{name:>11}" for name in [*SCORES, "AUC", "seconds"]))
    for name, (scores, seconds) in by.items():
        values = [float(value) for value in values_of(scores)]
        values += [float(metrics.roc_auc(scores, labels)), seconds]
        print(f"{name:18}" + "".join(f"{value:11.4f}" for value in values), flush=True)
        accuracies[name] = values[0]
    return accuracies


def area(curve: Any) -> float:
    """The area under a curve, by trapezoids."""
    return float(np.trapezoid(curve.tpr, curve.fpr))


def show_roc(path: Path, by: dict[str, Classifier], labels: np.ndarray) -> None:
    """Draw the curves of the first classifier by digit, and of every classifier over all digits."""
    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2)
    truth, first = data.one_hot(labels, 10), next(iter(by))
    for digit in range(10):
        curve = metrics.roc_curve(by[first].scores[:, digit], truth[:, digit])
        left.plot(curve.fpr, curve.tpr, label=f"{digit}: {area(curve):.4f}")
    for name, (scores, _) in by.items():
        curve = metrics.roc_curve(scores.ravel(), truth.ravel())
        right.plot(curve.fpr, curve.tpr, label=f"{name}: {area(curve):.4f}")
    figure.suptitle("ROC curves, in part: the axis ends before a false positive rate of 1")
    left.set(title=f"one-vs-rest by digit, {first}", xlim=(-0.002, 0.1))
    right.set(title="micro-average over the digits", xlim=(-0.01, 0.5))
    for axes in (left, right):
        axes.set(xlabel="false positive rate", ylabel="true positive rate")
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right", title="area under the whole curve")
    write_figure(path, figure)


if __name__ == "__main__":
    command_line.main(experiment, Config)
