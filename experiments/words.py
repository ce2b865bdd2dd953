"""Word vectors of a text: skip-gram, nearest words, analogies, and a map.

python -m experiments.words --text book.txt
python -m experiments.words --text book.txt --words king queen tea --analogies man king woman

The text is plain UTF-8; each line is a sentence, across which no context reaches. Without --text it
is the docstrings of Python's standard library. vectors.txt has the vectors in word2vec's text
format, which gensim reads; map.png shows the words and their neighbours on their first two
principal axes.

Result on the King James Bible, 31,103 verses, with --epochs 2: 14 s of CPU time with compiling.
Nearest to "sword" are pestilence, famine, fall, edge and slain, to "father" Abraham and mother; man
is to king as woman is to queen, then to Esther.
"""

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
from matplotlib.figure import Figure

from experiments import command_line, configs, runner
from experiments.characters import docstrings
from experiments.figures import COLOURS, Name, place_names
from experiments.folder import machine
from jaxnets.data import DataError, Dataset, Split, text
from jaxnets.files import regular_file
from jaxnets.messages import printable
from jaxnets.training import console, fit
from jaxnets.word_vectors import WordVectors, corpus_blocks, word2vec

WORDS = text.Words(pattern=r"[^\W\d_]+")


@dataclass(frozen=True)
class Config(configs.Config):
    """Word vectors of a text: nearest words, analogies and a map."""

    text: Path | None = None
    """A text file; without it, the docstrings of Python's standard library."""
    words: tuple[str, ...] = ()
    """The words to show; by default frequent ones, after the 100 most frequent."""
    analogies: tuple[str, ...] = ()
    """Three words each: `man king woman` asks what is to woman as king is to man."""
    features: int = 100
    """The length of a vector."""
    window: int = 5
    """The greatest distance between a word and the words of its context."""
    least: int = 5
    """Lines that a word must occur in to have a vector."""
    epochs: int = 5
    """Passes over the text."""
    learning_rate: float = 0.025
    """The first learning rate of gradient descent; it falls linearly."""
    neighbours: int = 8
    """Nearest words to show for each word."""
    seed: int = 0
    """The seed of the vectors and of all other random numbers."""


def read(path: Path | None) -> list[str]:
    """The lines of the text.

    Raises:
      DataError: the file cannot be read, or is not UTF-8.
    """
    if path is None:
        return [line for doc in docstrings() for line in doc.split("\n\n")]
    try:
        with regular_file(path) as file:
            return file.read().decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"--text expects a file of UTF-8 text, but {printable(path)} cannot be read: "
            f"{printable(error)}"
        ) from error


def train(config: Config, lines: Sequence[str]) -> tuple[WordVectors, Any]:
    """The vectors of the text's words, and the result of `fit`."""
    vocabulary = text.build_vocabulary(lines, tokenizer=WORDS, min_documents=config.least)
    blocks = corpus_blocks(vocabulary, lines, window=config.window)
    steps = max(1, config.epochs * len(blocks[0]))
    rate: Any = optax.linear_schedule(config.learning_rate, config.learning_rate / 250, steps)
    counts = vocabulary.count(lines).sum(0)
    train_step = word2vec(counts, config.features, window=config.window, learning_rate=rate)
    with console() as shown:
        key = jax.random.key(config.seed)
        result = fit(train_step, blocks, key=key, epochs=config.epochs, batch_size=1, report=shown)
    return WordVectors(vocabulary.tokens, result.train_state.params["input"][2:]), result


def choose(config: Config, vectors: WordVectors) -> tuple[str, ...]:
    """The words to show; raises `DataError` for one without a vector."""
    words = config.words or vectors.words[100:400:50] or vectors.words[:5]
    for word in (*words, *config.analogies):
        if word not in vectors:
            raise DataError(
                f"{printable(word)} has no vector; choose words that occur in {config.least} lines "
                "or more, in lower case, or lower --least"
            )
    return words


def draw(vectors: WordVectors, groups: dict[str, list[str]], title: str) -> Figure:
    """A map: each word and its neighbours in one colour, on the first two principal axes."""
    words = [*dict.fromkeys(word for key, near in groups.items() for word in (key, *near))]
    at = dict(zip(words, vectors.plane(words), strict=True))
    figure = Figure(figsize=(10, 8), layout="constrained")
    axes = figure.subplots()
    names: dict[str, Name] = {}
    for number, (key, near) in enumerate(groups.items()):
        colour = COLOURS[number % len(COLOURS)]
        for word in [w for w in (key, *near) if w not in names]:
            axes.scatter(*at[word], color=colour, s=36 if word == key else 10)
            weight, size = ("bold", 13) if word == key else ("normal", 9)
            names[word] = Name(
                word, at[word], {"color": colour, "fontsize": size, "weight": weight}
            )
    axes.set(title=title, xlabel="first principal axis", ylabel="second principal axis")
    axes.grid(alpha=0.3)
    left_out = place_names(axes, sorted(names.values(), key=lambda name: name.text not in groups))
    if left_out:
        axes.set_title(f"{title} ({len(left_out)} without room for their name)")
    return figure


def experiment(config: Config) -> None:
    """Train the vectors; print nearest words and analogies, and draw the map."""
    if len(config.analogies) % 3:
        raise DataError(
            f"--analogies expects three words for each, but got {len(config.analogies)}; write "
            "--analogies man king woman"
        )
    lines = read(config.text)
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    empty = Split(np.zeros(0), np.zeros(0))
    name = "docstrings" if config.text is None else config.text.name
    source = f"{len(lines):,} lines"
    run = runner.Run("words", config, Dataset(empty, empty, name, source, {"text": digest}, ()))
    began = time.process_time()
    vectors, fitted = train(config, lines)
    seconds = time.process_time() - began
    words, n = choose(config, vectors), config.neighbours
    near = {word: vectors.nearest(word, n) for word in words}
    for word, found in near.items():
        print(f"{word}: {', '.join(f'{other} {cosine:.2f}' for other, cosine in found)}")
    triples = zip(*(config.analogies[first::3] for first in range(3)), strict=True)
    answers = [(a, b, c, vectors.analogy(a, b, c, n)) for a, b, c in triples]
    for a, b, c, found in answers:
        print(f"{a} : {b} = {c} : {', '.join(other for other, _ in found)}")
    vectors.save(run.folder / "vectors.txt")
    groups = {word: [other for other, _ in found] for word, found in near.items()}
    result = {
        "words": len(vectors.words),
        "loss": [progress.train["loss"] for progress in fitted.history],
        "nearest": near,
        "analogies": answers,
        "cpu_seconds": seconds,
        **machine(),
    }
    run.write(result, {"map": draw(vectors, groups, f"Words and their neighbours in {name}")})


if __name__ == "__main__":
    command_line.main(experiment, Config)
