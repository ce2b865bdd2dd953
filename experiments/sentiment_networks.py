"""The networks of `experiments.sentiment`: that of the slides, and one on a table of vectors."""

from functools import cache
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
import optax
from jax.nn import relu

from jaxnets import (
    Layer,
    Padded,
    bag_of_words,
    conv,
    dense,
    dropout,
    each_step,
    embedding,
    losses,
    max_over_time,
    metrics,
    network,
    serial,
)
from jaxnets.data import text
from jaxnets.training import TrainStep, make_train_step
from jaxnets.training.transfer import partition_by_name
from jaxnets.word_vectors import WordVectors

SLIDES = ("10000-16-16-1", "L2", "L1", "dropout")
TABLES = ("random table", "GloVe, frozen", "GloVe, trained")
HIDDEN = r"^fc\d/kernel$"


class Variant(NamedTuple):
    """A train step, its epochs and patience, and its initial embedding table, if any."""

    train_step: TrainStep
    epochs: int
    patience: int
    table: np.ndarray | None = None


def slides_network(size: int, rate: float = 0.0) -> Layer:
    """The slides' 10000-16-16-1, with dropout after each hidden layer."""
    return serial(
        *[("fc1", bag_of_words(size, 16)), relu, ("drop1", dropout(rate))],
        *[("fc2", dense(16)), relu, ("drop2", dropout(rate))],
        *[("head", dense(1)), lambda x: x[:, 0]],
    )


def as_padded(x: Any) -> Padded:
    """Token indices, of which 0 is padding, as a padded batch."""
    return Padded(x, (x > 0).sum(1))


def classifier() -> Layer:
    """From the words' vectors to one logit: convolutions over 1 and 2 words (Kim 2014).

    Their padding, "SAME", lets them read a sentence of one word, too.
    """
    convolutions = {f"conv{width}": conv(32, (width,)) for width in (1, 2)}

    @network(drop1=each_step(dropout(0.3)), drop2=dropout(0.5), head=dense(1), **convolutions)
    def reader(x: Any, *, drop1: Any, drop2: Any, head: Any, **convolutions: Any) -> Any:
        x = drop1(x)
        maxima = [max_over_time(each_step(relu)(conv(x))) for conv in convolutions.values()]
        return head(drop2(jnp.concatenate(maxima, axis=-1)))[:, 0]

    return reader


def table_network(size: int, features: int) -> Layer:
    """The classifier of the vectors in a table."""
    words = ("words", each_step(embedding(size, features)))
    return serial(as_padded, words, ("classifier", classifier()))


@cache
def step_of(name: str, size: int, features: int, rate: float) -> TrainStep:
    """The train step of a variant, the same for all folds."""
    optimizer, model = optax.adam(rate), slides_network(size, 0.5 * (name == "dropout"))
    if name in TABLES:
        model = table_network(size, features)
    if name == "GloVe, frozen":
        optimizer = partition_by_name({"^words/": optax.set_to_zero()}, default=optimizer)
    penalties = {
        "L2": lambda params: losses.l2(params, 0.001, names=HIDDEN),
        "L1": lambda params: losses.l1(params, 0.001, names=HIDDEN),
    }
    loss, measured = losses.binary_cross_entropy, {"accuracy": metrics.accuracy}
    return make_train_step(model, optimizer, loss, metrics=measured, penalty=penalties.get(name))


def tables_of(
    vocabulary: text.Vocabulary, size: int, vectors: WordVectors, seed: int
) -> dict[str, np.ndarray]:
    """The initial embedding tables of the networks, (size, features), by name.

    Words without a vector start near 0, with a fifth of GloVe's standard deviation.
    """
    known, found = vectors.table(vocabulary, seed=seed)
    noise = np.random.default_rng(seed).normal(0, known.std(), (size, known.shape[1]))
    glove = 0.2 * noise
    glove[: len(known)][found] = known[found]
    tables = {"random table": noise, "GloVe, frozen": glove, "GloVe, trained": glove}
    return {name: table.astype(np.float32) for name, table in tables.items()}
