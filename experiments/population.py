"""What experiments with many networks share: their seeds, and the spread in words and pictures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from experiments import common
from experiments.folder import save_learnt, write_figure, write_json
from jaxnets import metrics
from jaxnets.data import Split
from jaxnets.layer import Key
from jaxnets.training import Progress, RunError
from jaxnets.training.population import (
    PopulationResult,
    average,
    evaluate_population,
    predict_proba_population,
    spread,
    vote,
)
from jaxnets.training.train_step import Hparams, resolve

# Told apart by the colour-blind too: Okabe & Ito 2008.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
CALIBRATION_ERROR = metrics.expected_calibration_error()


@dataclass(frozen=True)
class Config(common.Config):
    """The options of an experiment that takes one seed or many."""

    seeds: int = 1
    """Networks to train, all in one program, with the seeds from `seed` on."""


def seed_keys(first: int, n: int, times: int = 1) -> Key:
    """A key for each of n seeds, those that as many runs alone would have; all of it `times`."""
    if n < 1:
        raise RunError(f"--seeds expects a positive integer, but got {n}")
    return jnp.stack([jax.random.key(seed) for seed in [*range(first, first + n)] * times])


def fit(run: common.Run, config: Config, train_step: Any, train: Any, **options: Any) -> Any:
    """One network by `run.fit`, or one a seed by `run.fit_population`, with the same options."""
    options |= {"epochs": config.epochs, "batch_size": config.batch_size}
    if config.seeds == 1:
        key = jax.random.key(config.seed)
        return run.fit(train_step, train, key=key, hparams=config.hparams, **options)
    keys = seed_keys(config.seed, config.seeds)
    hparams = each(config)
    return run.fit_population(train_step, train, keys=keys, hparams=hparams, **options)


def each(config: Config) -> Hparams:
    """The hyperparameters of every seed's network, which are the same."""
    return {name: jnp.full(config.seeds, value) for name, value in config.hparams.items()}


def experiment(
    run: common.Run, config: Config, train_step: Any, train: Split, validation: Split
) -> None:
    """Train a network a seed, and evaluate all of them on the test set, once.

    The examples held out are those of the first seed for all. Where training is interrupted, what
    was learnt by then is written before `Interrupted` is raised. Raises `RunError` where every
    network diverged.
    """
    fitted = fit(run, config, train_step, train, validation=validation)
    test, probabilities = tested(train_step, fitted, run.dataset.test, hparams=each(config))
    save_learnt(run.folder, fitted.train_states)
    finish(run, config, fitted, test, probabilities)
    if run.interrupted is not None:
        raise run.interrupted


def finish(
    run: common.Run,
    config: Config,
    fitted: PopulationResult,
    test: Mapping[str, np.ndarray],
    probabilities: np.ndarray,
) -> None:
    """Write and tell what came of the population on the test set."""
    together_as = ensembles(probabilities, run.dataset.test.y)
    result = {
        "spread": {name: summary(name, values) for name, values in test.items()},
        "ensemble": together_as,
        "members": {
            "seed": list(range(config.seed, config.seed + config.seeds)),
            "diverged_at_step": [None if step < 0 else step for step in fitted.diverged.tolist()],
            **test,
        },
        "steps": int(fitted.train_states.step.max()),
        "strategy": fitted.strategy,
        "compile_seconds": fitted.compile_seconds,
        "train_seconds": fitted.train_seconds,
        "samples_per_second": fitted.samples_per_second,
        "interrupted": run.interrupted is not None,
    }
    write_json(run.folder / "result.json", result)
    accuracy = spread(test["accuracy"])
    if fitted.history:
        title = f"{run.name}, {config.seeds} seeds: test accuracy {percent(accuracy)}"
        title += common.cut_short(fitted.history) if run.interrupted else ""
        write_figure(run.folder / "curves.png", curves(fitted.history, title))
    print(
        f"{config.seeds} networks by {fitted.strategy}, measured to be the faster way, in "
        f"{fitted.train_seconds:.1f} s of training and {fitted.compile_seconds:.1f} s of compiling"
        f"\ntest accuracy: {accuracy}\n{ensemble_line(test, together_as)}"
        f"\ncurves with bands in {run.folder}",
        flush=True,
    )


def tested(
    train_step: Any, fitted: PopulationResult, test: Split, *, hparams: Hparams = None
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Each metric of each member on the test set, and the probabilities of those still finite.

    A member that diverged has NaN. Raises `RunError` where all did.
    """
    alive = fitted.diverged < 0
    if not alive.any():
        raise RunError(
            f"all {len(alive)} networks diverged, the first at step {fitted.diverged.min()}; lower "
            "the learning rate"
        )
    given = (fitted.train_states, hparams)
    members, hparams = jax.tree.map(lambda leaf: leaf[alive], given)
    first = jax.tree.map(lambda leaf: leaf[0], hparams)
    wanted = resolve(train_step, first)[0].metrics | {"calibration_error": CALIBRATION_ERROR}
    how = {"hparams": hparams, "strategy": fitted.strategy}
    known = evaluate_population(train_step, members, test, metrics=wanted, **how)
    found = {name: np.full(len(alive), np.nan) for name in known}
    for name, values in known.items():
        found[name][alive] = values
    return found, predict_proba_population(train_step, members, test.x, **how)


def ensembles(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, dict[str, float]]:
    """Accuracy and calibration error of the members' average and of their vote."""
    known, weights, found = jnp.asarray(labels), jnp.ones(len(labels)), {}
    for name, combine in (("average", average), ("vote", vote)):
        logits = jnp.log(combine(probabilities))  # whose softmax is the probabilities again
        found[name] = {
            "accuracy": float(jnp.mean(logits.argmax(-1) == known)),
            "calibration_error": float(
                CALIBRATION_ERROR.value(CALIBRATION_ERROR.sums(logits, known, weights))
            ),
        }
    return found


def ensemble_line(test: Mapping[str, np.ndarray], found: dict[str, dict[str, float]]) -> str:
    """What the members are worth together, and how well each way knows what it knows."""
    (average_accuracy, error), (vote_accuracy, _) = (way.values() for way in found.values())
    return (
        f"ensemble: average {average_accuracy:.2%}, vote {vote_accuracy:.2%}; calibration error of "
        f"the average {error:.4f}, of a member {np.nanmean(test['calibration_error']):.4f}"
    )


def summary(name: str, values: np.ndarray) -> dict[str, Any]:
    """The spread of a metric, with its fields by name; an accuracy is the better the larger."""
    return spread(values, smaller_is_better=not name.endswith("accuracy"))._asdict()


def percent(found: Any) -> str:
    """The mean and the standard deviation of a spread of accuracies, in percent."""
    return f"{found.mean:.2%}" + (f" ± {100 * found.std:.2f}" if found.n > 1 else "")


def curves(
    history: Sequence[Progress], title: str, names: Sequence[str] = ("loss", "accuracy")
) -> Figure:
    """Metrics by epoch, in training and validation, with bands over the members."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    figure.suptitle(title, fontsize=15)
    epochs = [progress.passes for progress in history]
    for axes, name in zip(figure.subplots(1, len(names)), names, strict=True):
        band(axes, epochs, [p.train[name] for p in history], "training", COLOURS[0])
        watched = [p for p in history if p.validation is not None]
        values = [p.validation[name] for p in watched if p.validation is not None]
        band(axes, [p.passes for p in watched], values, "validation", COLOURS[1])
        axes.set(xlabel="epoch", ylabel=name + " (nats)" * (name == "loss"))
        axes.xaxis.set_major_locator(MaxNLocator(integer=history[-1].epoch_done, min_n_ticks=1))
        axes.grid(alpha=0.3)
        legend(axes)
    return figure


def band(
    axes: Axes, x: Sequence[float], values: Any, label: str, colour: str, *, ranges: bool = True
) -> None:
    """The mean over the members of `values` (points, N), its 95 % interval, and their range.

    Where many bands share the axes, `ranges=False` leaves out the ranges.
    """
    if not len(x):
        return
    found = [spread(row) for row in np.asarray(values)]
    mean, low, high, best, worst = np.transpose([[*s[1:2], *s[3:7]] for s in found])
    if ranges:
        axes.fill_between(x, worst, best, color=colour, alpha=0.15, lw=0)
    axes.fill_between(x, low, high, color=colour, alpha=0.35, lw=0)
    axes.plot(x, mean, ".-", color=colour, lw=2, ms=7, label=label)


def legend(axes: Axes, *, ranges: bool = True, **where: Any) -> None:
    """The lines' names, and what the bands about each are."""
    handles, _ = axes.get_legend_handles_labels()
    bands = {"95 % interval of the mean": 0.35} | ({"all networks": 0.15} if ranges else {})
    handles += [Patch(color="gray", alpha=a, lw=0, label=text) for text, a in bands.items()]
    axes.legend(handles=handles, **where)
