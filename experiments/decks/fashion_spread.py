"""S3's recipe for Fashion-MNIST over many seeds, where the slide has one run of it.

python -m experiments.decks.s3 --seeds 10 --data-dir FOLDER
"""

from collections.abc import Callable
from typing import Any

import jax
import optax

from experiments import common
from experiments.decks import slides
from experiments.folder import machine, write_json
from jaxnets import Layer, data, losses, metrics
from jaxnets.data import Dataset, Split
from jaxnets.training import TrainStep, evaluate, fit, make_train_step
from jaxnets.training.train_step import Hparams

RATES = (0.001, 0.002, 0.003, 0.005)  # the peaks that validation chooses from
CHOOSING = range(1000, 1003)  # seeds that choose, none of which is reported


def spread(config: Any, run: common.Run, model: Layer, fashion: Dataset) -> None:
    """Mean and spread of the test accuracy, by the slide's recipe and with a rate that decays."""
    seeds, lines = range(config.seeds), {}
    for size in (128, 32):
        train_step = compiled(model, optax.rmsprop)
        saved = by_seed(run, name := f"RMSprop 0.001, batch {size}")
        lines[name] = runs(config, saved, train_step, *fashion[:2], seeds, size, 0.001)

    train, held_out = data.train_test_split(fashion.train, config.validation, seed=config.seed)
    train_step = compiled(model, decaying(config.epochs * steps(train)))
    chosen_by = {}
    for rate in RATES:
        saved, choosing = by_seed(run, f"choosing {rate}"), CHOOSING[: config.seeds]
        found = runs(config, saved, train_step, train, held_out, choosing, 32, rate)
        chosen_by[rate] = found["mean"]
    rate = max(chosen_by, key=chosen_by.get)
    train_step = compiled(model, decaying(config.epochs * steps(fashion.train)))
    saved = by_seed(run, name := f"Adam, cosine from {rate}, batch 32")
    found = runs(config, saved, train_step, *fashion[:2], seeds, 32, rate)
    lines[name] = found | {"validation accuracy": chosen_by}

    config.results.parent.mkdir(parents=True, exist_ok=True)
    result = {
        "slide": {"test accuracy": 0.8824, "microseconds per sample": [84, 102], "runs": 1},
        "epochs": config.epochs,
        "runs": lines,
        **machine(),
    }
    write_json(config.results, result)
    print(f"test accuracy over {config.seeds} seeds; the slide's one run: 0.8824, 84-102 us/sample")
    for name, line in lines.items():
        accuracy = slides.mean_and_spread(line["test accuracy"])
        micros = min(line["microseconds per sample"])
        print(f"{name:33}  {accuracy}  {micros:.1f} us/sample at best", flush=True)


def compiled(
    model: Layer, optimizer: Callable[[Any], optax.GradientTransformation]
) -> Callable[[Hparams], TrainStep]:
    """The network on its loss, with an optimizer of a learning rate."""
    return lambda hparams: make_train_step(
        model,
        optimizer(hparams["learning_rate"]),
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.accuracy},
    )


def decaying(steps: int) -> Callable[[Any], optax.GradientTransformation]:
    """Adam whose rate falls to 0 along half a cosine wave."""
    falling = optax.cosine_decay_schedule(1.0, steps)
    return lambda rate: optax.adam(lambda count: rate * falling(count))


def steps(train: Split) -> int:
    """Updates an epoch at batch 32, its last one padded."""
    return -(-len(train.y) // 32)


def by_seed(run: common.Run, name: str) -> Callable[[int], dict[str, Any]]:
    """What makes `fit` save each seed's run, as a function of the seed."""
    return lambda seed: run.saved(f"{name}, seed {seed}")


def runs(
    config: Any,
    saved: Callable[[int], dict[str, Any]],
    train_step: Any,
    train: Split,
    test: Split,
    seeds: range,
    size: int,
    rate: float,
) -> dict[str, Any]:
    """A run a seed: the accuracies on `test`, their mean, and the time that training took."""
    accuracies, micros, hparams = [], [], {"learning_rate": rate}
    for seed in seeds:
        fitted = fit(
            train_step,
            train,
            key=jax.random.key(seed),
            epochs=config.epochs,
            batch_size=size,
            hparams=hparams,
            remainder="pad",
            **saved(seed),
        )
        figures = evaluate(train_step, fitted.train_state, test, hparams=hparams)
        accuracies.append(figures["accuracy"])
        micros.append(1e6 * fitted.train_seconds / (config.epochs * len(train.y)))
    return {
        "test accuracy": accuracies,
        "mean": sum(accuracies) / len(accuracies),
        "microseconds per sample": micros,
    }
