"""Reports at the end of a run: test results as numbers, figures and text."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from experiments import figures, folder
from jaxnets import metrics
from jaxnets.data import Split
from jaxnets.inspect import plots
from jaxnets.report_page import Predictions
from jaxnets.report_page.predictions import judge, matrix
from jaxnets.training import FitResult, RunError, TrainState, evaluate, predict_proba
from jaxnets.training.population import (
    PopulationResult,
    average,
    evaluate_population,
    predict_proba_population,
    spread,
    vote,
)
from jaxnets.training.population.members import take_members
from jaxnets.training.train_step import Hparams, resolve

CALIBRATION_ERROR = metrics.expected_calibration_error()


class Run(Protocol):
    """What a report takes from a `runner.Run`."""

    name: str
    config: Any
    dataset: Any
    interrupted: Any


class Report(NamedTuple):
    """The report at the end of a run.

    Attributes:
      result: the test results, a part of result.json.
      figures: the figures, by the names of their files.
      text: the text to print.
      predicted: the predictions for the test split, if they are of classes.
    """

    result: dict[str, Any]
    figures: dict[str, Figure]
    text: str
    predicted: Predictions | None = None


def classifier(run: "Run", train_step: Any, result: FitResult) -> Report:
    """Accuracy, loss and confusion matrix of one network."""
    by, dataset = {"hparams": run.config.hparams}, run.dataset
    test = evaluate(train_step, result.train_state, dataset.test, **by)  # compiled for validation
    probabilities = predict_proba(train_step, result.train_state, dataset.test.x, **by)
    predicted = Predictions(*dataset.test, probabilities, dataset.classes)
    counts = matrix(judge(predicted), len(dataset.classes))
    title = f"{what(run)}: test accuracy {test['accuracy']:.2%}"
    title += interruption(run, result)
    speed = result.samples_per_second  # 0 if the run had ended when it was resumed
    drawn = {"curves": plots.curves(result.history, title)} if result.history else {}
    return Report(
        result={"test_accuracy": test["accuracy"], "test_loss": test["loss"]},
        figures={**drawn, "confusion": plots.confusion(counts, dataset.classes, title)},
        text=f"test accuracy {test['accuracy']:.2%}, loss {test['loss']:.4f}, after "
        f"{int(result.train_state.step)} steps in {result.train_seconds:.1f} s of training "
        f"{f'({speed:,.0f} samples/s) ' * (speed > 0)}and {result.compile_seconds:.1f} s of "
        "compilation",
        predicted=predicted,
    )


def classifiers(run: "Run", train_step: Any, result: PopulationResult) -> Report:
    """The spread of each metric over the networks, and their ensembles.

    Raises `RunError` if every network diverged.
    """
    n, config = len(result.diverged), run.config
    test, probabilities = evaluate_members(
        train_step, result, run.dataset.test, hparams=broadcast(config.hparams, n)
    )
    ensemble = ensembles(probabilities, run.dataset.test.y)
    accuracy, error = spread(test["accuracy"]), np.nanmean(test["calibration_error"])
    title = f"{what(run)}, {n} seeds: test accuracy {percent(accuracy)}{interruption(run, result)}"
    return Report(
        result={
            "spread": {name: summary(name, values) for name, values in test.items()},
            "ensemble": ensemble,
            "members": {
                "seed": list(range(config.seed, config.seed + n)),
                "diverged_at_step": [None if s < 0 else s for s in result.diverged.tolist()],
                **test,
            },
            "strategy": result.strategy,
        },
        figures={"curves": figures.curves(result.history, title)} if result.history else {},
        text=f"{n} networks by {result.strategy} in {result.train_seconds:.1f} s of training and "
        f"{result.compile_seconds:.1f} s of compilation\n"
        f"test accuracy: {accuracy}\n"
        f"ensemble: average {ensemble['average']['accuracy']:.2%}, vote "
        f"{ensemble['vote']['accuracy']:.2%}; calibration error of the average "
        f"{ensemble['average']['calibration_error']:.4f}, of a member {error:.4f}",
        predicted=Predictions(
            *run.dataset.test,
            average(probabilities),
            run.dataset.classes,
            f"the average of {len(probabilities)} networks",
        ),
    )


def generators(
    run: "Run",
    train_step: Any,
    result: Any,
    *,
    names: Sequence[str],
    draw: Callable[[TrainState], Figure],
) -> Report:
    """Metrics and example images of one network or a population whose labels are images.

    Args:
      run: the run.
      train_step: the train step that was trained.
      result: what `run.fit` returned.
      names: the metrics to draw.
      draw: the figure images.png, from the first network's train state.
    """
    hparams, images = run.config.hparams, run.dataset.test.x
    split, title = (images, images), what(run)
    if isinstance(result, PopulationResult):
        n, train_states = len(result.diverged), result.train_states
        first = take_members(train_states, 0)
        options = {"hparams": broadcast(hparams, n), "strategy": result.strategy}
        test = evaluate_population(train_step, train_states, split, **options)
        title = f"{title}, {n} seeds{interruption(run, result)}"
        curves = figures.curves(result.history, title, names)
    else:
        first = result.train_state
        test = evaluate(train_step, first, split, hparams=hparams)
        curves = plots.curves(result.history, title + interruption(run, result))
    means = ", ".join(f"{name} {np.mean(test[name]):.4f}" for name in names)
    return Report(
        {"test": test}, {"curves": curves, "images": draw(first)}, f"test images: {means}"
    )


def what(run: "Run") -> str:
    """What the run is, in words, for the title of a figure."""
    return folder.title(run.config) or run.name


def broadcast(hparams: dict[str, float], n: int) -> Hparams:
    """The hyperparameters of a population of n members with the same values."""
    return {name: jnp.full(n, value) for name, value in hparams.items()}


def interruption(run: "Run", result: Any) -> str:
    """The end of a figure's title if the run was interrupted; otherwise empty."""
    if run.interrupted is None:
        return ""
    if not result.history:
        return "\ninterrupted"
    last = result.history[-1]
    return f"\ninterrupted after {last.step:,} of {last.steps:,} updates"


def evaluate_members(
    train_step: Any, result: PopulationResult, test: Split, *, hparams: Hparams = None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Each metric of each member on the test split, and the probabilities.

    Metrics of a diverged member are NaN, and its probabilities are left out. Raises `RunError` if
    all diverged.
    """
    finite = result.diverged < 0
    if not finite.any():
        raise RunError(
            f"all {len(finite)} networks diverged, the first at step {result.diverged.min()}; "
            "lower the learning rate"
        )
    members, hparams = take_members((result.train_states, hparams), np.flatnonzero(finite))
    first = jax.tree.map(lambda leaf: leaf[0], hparams)
    wanted = resolve(train_step, first)[0].metrics | {"calibration_error": CALIBRATION_ERROR}
    options = {"hparams": hparams, "strategy": result.strategy}
    evaluated = evaluate_population(train_step, members, test, metrics=wanted, **options)
    values = {name: np.full(len(finite), np.nan) for name in evaluated}
    for name, finite_values in evaluated.items():
        values[name][finite] = finite_values
    return values, predict_proba_population(train_step, members, test.x, **options)


def ensembles(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, dict[str, float]]:
    """Accuracy and calibration error of the members' average and of their vote."""
    y, weights = jnp.asarray(labels), jnp.ones(len(labels))

    @jax.jit
    def score(combined: jax.Array) -> dict[str, jax.Array]:
        logits = jnp.log(combined)  # their softmax is the probabilities
        error = CALIBRATION_ERROR.value(CALIBRATION_ERROR.sums(logits, y, weights))
        return {"accuracy": jnp.mean(logits.argmax(-1) == y), "calibration_error": error}

    scores = {"average": score(average(probabilities)), "vote": score(vote(probabilities))}
    return jax.tree.map(float, scores)


def summary(name: str, values: np.ndarray) -> dict[str, Any]:
    """The spread of a metric, as a dict; larger is better for an accuracy."""
    return spread(values, smaller_is_better=not name.endswith("accuracy"))._asdict()


def percent(accuracy: Any) -> str:
    """The mean and the standard deviation of a spread of accuracies, in percent."""
    return f"{accuracy.mean:.2%}" + (f" ± {100 * accuracy.std:.2f}" if accuracy.n > 1 else "")
