"""S3's recipe for Fashion-MNIST over many seeds; the slide reports a single run.

python -m experiments.decks.s3 --seeds 10 --data-dir FOLDER
"""

from collections.abc import Callable, Iterable
from typing import Any

import jax
import optax

from experiments.decks import slides
from experiments.folder import machine
from experiments.runner import Run
from jaxnets import Layer, data, losses, metrics
from jaxnets.command_line.progress import tracked
from jaxnets.data import Dataset, Split
from jaxnets.training import TrainStep, evaluate, fit, make_train_step
from jaxnets.training.report import write_json
from jaxnets.training.train_step import Hparams

RATES = (0.001, 0.002, 0.003, 0.005)  # peak learning rates to compare on validation data
CHOOSING = range(1000, 1003)  # seeds for choosing the rate, not reported


def compare_recipes(config: Any, run: Run, model: Layer, fashion: Dataset) -> None:
    """Test accuracies by seed of the slide's recipe, and with a decaying learning rate."""
    seeds, results = range(config.seeds), {}
    for size in (128, 32):
        train_step = compiled(model, optax.rmsprop)
        saved = by_seed(run, name := f"RMSprop 0.001, batch {size}")
        shown = tracked(seeds, name)
        results[name] = train_seeds(config, saved, train_step, *fashion[:2], shown, size, 0.001)

    train, held_out = data.train_test_split(fashion.train, config.validation, seed=config.seed)
    train_step = compiled(model, cosine_adam(config.epochs * steps(train)))
    validated = {}
    for rate in RATES:
        saved = by_seed(run, name := f"choosing {rate}")
        shown = tracked(CHOOSING[: config.seeds], name)
        result = train_seeds(config, saved, train_step, train, held_out, shown, 32, rate)
        validated[rate] = result["mean"]
    rate = max(validated, key=validated.get)
    train_step = compiled(model, cosine_adam(config.epochs * steps(fashion.train)))
    saved = by_seed(run, name := f"Adam, cosine from {rate}, batch 32")
    shown = tracked(seeds, name)
    result = train_seeds(config, saved, train_step, *fashion[:2], shown, 32, rate)
    results[name] = result | {"validation accuracy": validated}
    report(config, run, results)


def report(config: Any, run: Run, results: dict[str, dict[str, Any]]) -> None:
    """Write the results to seeds.json in the run's folder, and print them."""
    content = {
        "slide": {"test accuracy": 0.8824, "microseconds per sample": [84, 102], "runs": 1},
        "epochs": config.epochs,
        "runs": results,
        **machine(),
    }
    write_json(run.folder / "seeds.json", content)
    print(f"test accuracy over {config.seeds} seeds; the slide's one run: 0.8824, 84-102 us/sample")
    for name, result in results.items():
        accuracy = slides.mean_and_std(result["test accuracy"])
        micros = min(result["microseconds per sample"])
        print(f"{name:33}  {accuracy}  {micros:.1f} us/sample at best", flush=True)


def compiled(
    model: Layer, optimizer: Callable[[Any], optax.GradientTransformation]
) -> Callable[[Hparams], TrainStep]:
    """The train step of a network, with an optimizer that takes a learning rate."""
    return lambda hparams: make_train_step(
        model,
        optimizer(hparams["learning_rate"]),
        losses.softmax_cross_entropy,
        metrics={"accuracy": metrics.accuracy},
    )


def cosine_adam(steps: int) -> Callable[[Any], optax.GradientTransformation]:
    """Adam whose rate decays to 0 along half a cosine wave."""
    schedule = optax.cosine_decay_schedule(1.0, steps)
    return lambda rate: optax.adam(lambda count: rate * schedule(count))


def steps(train: Split) -> int:
    """Updates per epoch at batch 32, the last batch padded."""
    return -(-len(train.y) // 32)


def by_seed(run: Run, name: str) -> Callable[[int], dict[str, Any]]:
    """A function from a seed to the options with which `fit` saves its run."""
    return lambda seed: run.saved(f"{name}, seed {seed}")


def train_seeds(
    config: Any,
    saved: Callable[[int], dict[str, Any]],
    train_step: Any,
    train: Split,
    test: Split,
    seeds: Iterable[int],
    size: int,
    rate: float,
) -> dict[str, Any]:
    """Train one network per seed; return accuracies on `test`, their mean and training times."""
    accuracies, micros, hparams = [], [], {"learning_rate": rate}
    for seed in seeds:
        result = fit(
            train_step,
            train,
            key=jax.random.key(seed),
            epochs=config.epochs,
            batch_size=size,
            hparams=hparams,
            remainder="pad",
            **saved(seed),
        )
        scores = evaluate(train_step, result.train_state, test, hparams=hparams)
        accuracies.append(scores["accuracy"])
        micros.append(1e6 * result.train_seconds / (config.epochs * len(train.y)))
    return {
        "test accuracy": accuracies,
        "mean": sum(accuracies) / len(accuracies),
        "microseconds per sample": micros,
    }
