"""Sentiment of sentences: the network of the slides, its regularized variants, and GloVe's vectors.

python -m experiments.sentiment --data-dir FOLDER --out runs/sentiment
python -m experiments.sentiment --data-dir FOLDER --vectors glove.6B.100d.txt --sets movie tweets
python -m experiments.sentiment --data-dir FOLDER --sets tweets --networks 10000-16-16-1 dropout

The slides' network, 10000-16-16-1, reads which words a sentence has (S3, "Weight regularization");
its variants have an L1 or L2 penalty of 0.001 on both hidden layers, or dropout of 0.5 after them.
With --vectors, convolutions over the words' vectors (Kim 2014) start from GloVe's, with the table
frozen or trained, and from random ones. They also use GloVe's vectors of words that occur in no
training sentence. Each of five folds is tested once, by several seeds that are one population; a
tenth of the other folds chooses the epoch of the smallest loss. The reference is scikit-learn's
logistic regression on TF-IDF of words and pairs of words, trained on all of the other folds.
curves.png shows the overfitting: both losses by epoch in the first fold.

Result on the set movie, test accuracy over the five folds in percent, mean and standard deviation
of 3 seeds, and seconds of CPU time for the 15 networks: 10000-16-16-1 77.37 +- 0.28 (18 s), with L2
76.84 +- 0.14 (19 s), with L1 75.51 +- 0.23 (19 s), with dropout 77.65 +- 0.16 (17 s); TF-IDF and
logistic regression 78.83. In the first fold the validation loss (median) of the plain network has
its minimum of 0.51 after 2 epochs and is 1.08 after 8; with L2 it ends at 0.80, with dropout at
0.69, and with L1 at 0.54, where it is still falling. So the penalties reduce overfitting, but only
dropout is better than the plain network with early stopping, by less than the spread over folds.

With GloVe's vectors of the 20,000 most frequent words, trained, the accuracy is 77.04 +- 0.39 on
movie (131 s), 75.84 +- 0.34 on amazon, 69.21 +- 0.62 on nyt and 89.28 +- 0.27 on tweets (78 to 83 s
each). On the last three, 10000-16-16-1 reaches 74.79 +- 0.29, 65.10 +- 0.76 and 84.85 +- 0.45, and
TF-IDF with logistic regression 75.87, 66.19 and 83.10. The network with the table and its options
were chosen by cross-validation within the training part of the first fold of amazon and movie; nyt
and tweets were used for testing only. All numbers are in experiments/results/sentiment.json.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments import command_line, configs, runner
from experiments.figures import COLOURS, band, legend
from experiments.folder import machine, new_folder
from experiments.reports import evaluate_members
from experiments.sentiment_networks import SLIDES, TABLES, Variant, step_of, tables_of
from experiments.sentiment_sets import TOKENS, Fold, load, make_fold
from experiments.series_recipe import folds
from jaxnets.data import DataError, text
from jaxnets.messages import printable
from jaxnets.training import console
from jaxnets.training.population import fit_population, spread
from jaxnets.training.report import write_json
from jaxnets.word_vectors import WordVectors, load_vectors

PATIENCE = 2  # epochs without a smaller validation loss, of the networks with a table


@dataclass(frozen=True)
class Config(configs.Config):
    """Sentiment of sentences, by the slides' network and by word vectors."""

    sets: tuple[str, ...] = ("movie", "amazon", "nyt", "tweets")
    """The data sets, by name."""
    vectors: Path | None = None
    """A file of word vectors in GloVe's text format, or an .npz of them."""
    networks: tuple[str, ...] = SLIDES + TABLES
    """The networks to train, by name; those with a table need --vectors."""
    size: int = 10_000
    """The size of the vocabulary."""
    length: int = 40
    """Maximum number of words read per sentence."""
    table_length: int = 32
    """The same for networks with a table of vectors."""
    epochs: int = 8
    """Passes over the training sentences."""
    table_epochs: int = 12
    """Maximum number of epochs of networks with a table of vectors, which stop early."""
    batch_size: int = 64
    """Sentences per step."""
    learning_rate: float = 1e-3
    """Adam's learning rate."""
    table_rate: float = 3e-3
    """Adam's learning rate for networks with a table of vectors."""
    folds: int = 5
    """Folds of the cross-validation."""
    seeds: int = 3
    """Networks per fold, with consecutive seeds from --seed."""
    seed: int = 0
    """The seed of the first network."""


def variants(
    config: Config, texts: tuple[str, ...], y: np.ndarray, held_out: np.ndarray, vectors: Any
) -> Iterator[tuple[str, Variant, Fold]]:
    """The networks of a fold, each with its name and what it reads."""
    slides, tables = ([n for n in config.networks if n in kind] for kind in (SLIDES, TABLES))
    fold = make_fold(texts, y, held_out, config.size, config.length, config.seed)
    for name in slides:
        train_step = step_of(name, config.size, 0, config.learning_rate)
        yield name, Variant(train_step, config.epochs, config.epochs), fold
    if vectors is None or not tables:
        return
    options = {"length": config.table_length, "seed": config.seed, "vectors": vectors}
    fold = make_fold(texts, y, held_out, None, **options)
    size = len(text.build_vocabulary(texts, tokenizer=TOKENS))  # so that folds share a program
    for name, table in tables_of(fold.vocabulary, size, vectors, config.seed).items():
        if name in tables:
            train_step = step_of(name, *table.shape, config.table_rate)
            yield name, Variant(train_step, config.table_epochs, PATIENCE, table), fold


def fit(config: Any, variant: Variant, fold: Fold) -> tuple[np.ndarray, Any]:
    """The test accuracy of each seed at its best epoch, and the reports of the epochs."""
    keys, start = runner.seed_keys(config.seed, config.seeds), None
    if variant.table is not None:
        start = jax.vmap(lambda key: variant.train_step.init(key, fold.train.x[:1]))(keys)
        tables = np.tile(variant.table, (config.seeds, 1, 1))
        params = start.params | {"words": {"embedding": tables}}
        start = start._replace(params=params)
    with console() as shown:
        fitted = fit_population(
            variant.train_step,
            fold.train,
            keys=keys,
            start=start,
            epochs=variant.epochs,
            batch_size=config.batch_size,
            validation=fold.validation,
            patience=variant.patience,
            strategy="map",
            report=shown,
        )
    values, _ = evaluate_members(variant.train_step, fitted, fold.test)
    return values["accuracy"], fitted.history


def reference(texts: Sequence[str], y: np.ndarray, held_out: np.ndarray) -> float:
    """The accuracy of scikit-learn's logistic regression on TF-IDF of words and pairs of words."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    model = make_pipeline(vectorizer, LogisticRegression(C=10, solver="liblinear"))
    train, test = np.flatnonzero(~held_out).tolist(), np.flatnonzero(held_out).tolist()
    model.fit([texts[row] for row in train], y[train])
    return float(model.score([texts[row] for row in test], y[test]))


def compare(config: Config, name: str, vectors: WordVectors | None) -> dict[str, Any]:
    """The variants on all folds of one set; writes the curves of the first fold."""
    texts, y, dataset = load(name, config.data_dir)
    run = runner.Run("sentiment", replace(config, out=config.out / name), dataset)  # type: ignore[operator]
    part = folds(y, config.folds, config.seed)
    linear, accuracy, seconds, curves = [], {}, {}, {}
    for number in range(config.folds):
        linear.append(reference(texts, y, part == number))
        for variant, made, fold in variants(config, texts, y, part == number, vectors):
            began = time.process_time()
            values, history = fit(config, made, fold)
            seconds[variant] = seconds.get(variant, 0) + time.process_time() - began
            accuracy.setdefault(variant, []).append(values)
            curves.setdefault(variant, history)
    result = {
        "linear": spread(np.array(linear))._asdict(),
        "accuracy": {  # of a seed over all folds, so that the spread is that of the seeds
            variant: spread(np.mean(values, 0))._asdict() for variant, values in accuracy.items()
        },
        "by_fold": {variant: np.array(values) for variant, values in accuracy.items()},
        "cpu_seconds": seconds,
        "sentences": len(y),
    }
    return run.write(result, {"curves": draw(curves, f"Overfitting in the first fold: {name}")})


def draw(curves: dict[str, Any], title: str) -> Figure:
    """Training and validation loss by epoch, a panel per variant, with bands over the seeds."""
    figure = Figure(figsize=(3.6 * len(curves), 3.8), layout="constrained")
    figure.suptitle(title, fontsize=15)
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for axes, (name, history) in zip(panels, curves.items(), strict=True):
        epochs = [progress.passes for progress in history]
        for label, colour in zip(("training", "validation"), COLOURS, strict=False):
            split = "train" if label == "training" else label
            losses = [getattr(progress, split)["loss"] for progress in history]
            band(axes, epochs, losses, label, colour, ranges=False)
        axes.set(title=name, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("loss (nats)")
    legend(panels[0], ranges=False, fontsize=8)
    return figure


def check(config: Config) -> None:
    """Raises `DataError` unless there are folds, and networks to train whose names are known."""
    if config.folds < 2:
        raise DataError(
            f"--folds expects 2 or more, one of which is tested, but got {config.folds}"
        )
    names = SLIDES if config.vectors is None else SLIDES + TABLES
    unknown = [name for name in config.networks if name not in SLIDES + TABLES]
    if unknown or not {*config.networks} & {*names}:
        got = printable(unknown[0]) if unknown else ", ".join(config.networks) or "none"
        cure = "" if config.vectors else "; pass --vectors for those with a table"
        raise DataError(f"--networks expects names from {', '.join(names)}, but got {got}{cure}")


def experiment(config: Config) -> None:
    """Compare the variants on every set, each in a folder of its own; print a table."""
    check(config)
    config = replace(config, out=config.out or new_folder("sentiment"))
    vectors = None if config.vectors is None else load_vectors(config.vectors)
    results = {}
    for name in config.sets:
        results[name] = compare(config, name, vectors)
        print(f"{name}: TF-IDF and logistic regression {results[name]['linear']['mean']:.2%}")
        for variant, values in results[name]["accuracy"].items():
            cost = f"{results[name]['cpu_seconds'][variant]:.0f} s of CPU time"
            print(f"  {variant:15} {values['mean']:.2%} ± {values['std'] or 0:.2%}, {cost}")
    write_json(config.out / "result.json", {"sets": results, **machine()})  # type: ignore[operator]


if __name__ == "__main__":
    command_line.main(experiment, Config)
