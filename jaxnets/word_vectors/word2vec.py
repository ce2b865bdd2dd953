"""Word2vec: skip-gram and CBOW with negative sampling.

Sources: Mikolov et al. 2013, "Efficient estimation of word representations in vector space" (the
two models) and "Distributed representations of words and phrases and their compositionality"
(negative sampling, and leaving out frequent words).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.checks import as_integers, check_not_negative
from jaxnets.data.text.vocabulary import PADDING
from jaxnets.errors import LayerError
from jaxnets.keys import stream
from jaxnets.layer import Array, Key, Params
from jaxnets.training import Batch, TrainState
from jaxnets.training.train_step import Hparams, Sums
from jaxnets.word_vectors.corpus import BORDER
from jaxnets.word_vectors.negative_sampling import cbow, skip_gram
from jaxnets.word_vectors.parts import PART, Part, context, inner, windows

Model = Literal["skip-gram", "cbow"]
LearningRate = float | Callable[[Array], Array]


def rate_at(learning_rate: LearningRate, step: Array) -> Any:
    """The learning rate of a step."""
    return learning_rate(step) if callable(learning_rate) else learning_rate


@dataclass(frozen=True, eq=False)
class Word2Vec:
    """A train step of word2vec on blocks of a corpus, made by `word2vec`; pass it to `fit`.

    The params are `input` and `output`, both (vocabulary, features); `input` are the word vectors.

    Attributes:
      model: "skip-gram" predicts each word of the context from the word, "cbow" the word from the
        mean of its context.
      features: the length of a vector.
      window: the greatest distance between a word and the words of its context.
      negative: random words per pair of word and context.
      drawn: random words per part of a block, which its pairs share.
      kept: the probability of keeping a word, for each index, float32 (vocabulary,).
      share: the expected share of the corpus that is kept.
      cumulative: the cumulative distribution of random words, float32 (vocabulary,).
      learning_rate: of gradient descent; a number, or a function of the step such as a schedule.
    """

    model: Model
    features: int
    window: int
    negative: int
    drawn: int
    kept: np.ndarray
    share: float
    cumulative: np.ndarray
    learning_rate: LearningRate

    def init(self, key: Key, x: Any) -> TrainState:
        """Input vectors uniform in +-1 / (2 features), and output vectors of zeros."""
        del x
        shape, limit = (len(self.kept), self.features), 0.5 / self.features
        vectors = jax.random.uniform(stream(key, "input"), shape, jnp.float32, -limit, limit)
        params = {"input": vectors, "output": jnp.zeros(shape)}
        return TrainState(jnp.int32(0), params, {}, (), stream(key, "train"))

    def __call__(
        self, train_state: TrainState, batch: Batch, hparams: Hparams = None
    ) -> tuple[TrainState, Sums]:
        """Gradient descent on one block after another, with one step per part of a block."""
        del hparams
        step, params = train_state.step, train_state.params
        rate = rate_at(self.learning_rate, step)
        sums = {name: jnp.float32(0) for name in ("loss", "pairs", "words")}
        sentences = jnp.where(batch.weights[:, None] > 0, batch.y, -1)
        for block in range(len(batch.weights)):
            key = stream(train_state.key, "block", step, block)
            params, block_sums = self.descend(params, rate, batch.x[block], sentences[block], key)
            sums = jax.tree.map(jnp.add, sums, block_sums)
        objective = sums["loss"] / jnp.maximum(sums["pairs"], 1)
        after = train_state._replace(step=step + 1, params=params)
        return after, {"objective": objective, **sums}

    def descend(
        self, params: Params, rate: Any, words: Array, sentences: Array, key: Key
    ) -> tuple[Params, Sums]:
        """The params after one block, and the sums of its loss, pairs and words.

        Each part of the block is one step of gradient descent, which reads and writes only the rows
        of its words.
        """
        words, sentences, centers = self.keep(words, sentences, stream(key, "keep"))
        table, rows = self.input_table(params["input"], words)
        parts = self.cut(words, rows, sentences, centers, key)

        def step(tables: tuple[Array, Array], part: Part) -> tuple[tuple[Array, Array], Sums]:
            (ins, outs), (i, o), sums = self.gradients(tables, part)
            return (tables[0].at[i].add(-rate * ins), tables[1].at[o].add(-rate * outs)), sums

        (after, output), sums = jax.lax.scan(step, (table, params["output"]), parts)
        updated = self.update_input(params["input"], words, after, table)
        return {"input": updated, "output": output}, jax.tree.map(jnp.sum, sums)

    def gradients(
        self, tables: tuple[Array, Array], part: Part
    ) -> tuple[tuple[Array, Array], tuple[Array, Array], Sums]:
        """The gradients of the vectors that a part reads, their rows in the tables, and sums."""
        near, differs = context(part), part.drawn[None] != inner(part.words)[:, None]
        if self.model == "skip-gram":
            loss, pairs = skip_gram, near.sum()
            indices = inner(part.rows), jnp.concatenate([part.words, part.drawn])
        else:
            loss, pairs = cbow, near.any(1).sum()
            indices = part.rows, jnp.concatenate([inner(part.words), part.drawn])
        rows = tables[0][indices[0]], tables[1][indices[1]]
        value, gradients = jax.value_and_grad(loss, (0, 1))(*rows, near, differs, self.negative)
        sums = {"loss": value, "pairs": pairs, "words": part.centers.sum()}
        return gradients, indices, jax.tree.map(jnp.float32, sums)

    def input_table(self, table: Array, words: Array) -> tuple[Array, Array]:
        """The table of the words' vectors (here the params `input`), and each word's row in it."""
        return table, words

    def update_input(self, table: Array, words: Array, after: Array, before: Array) -> Array:
        """The params `input` after the table of the words' vectors has changed."""
        del table, words, before
        return after

    def keep(self, words: Array, sentences: Array, key: Key) -> tuple[Array, Array, Array]:
        """The words of a block that are not left out, their sentences, and which are in its middle.

        Filled up to a fixed length with padding, which has sentence -1.
        """
        n, border = len(words), BORDER * self.window
        kept = jax.random.uniform(key, (n,)) < jnp.asarray(self.kept)[words]
        numbers = jnp.arange(1, self.capacity(n) + 1)
        positions = jnp.searchsorted(jnp.cumsum(kept), numbers, method="scan_unrolled")
        words = jnp.take(words, positions, fill_value=PADDING, mode="fill")
        sentences = jnp.take(sentences, positions, fill_value=-1, mode="fill")
        return words, sentences, (border <= positions) & (positions < n - border)

    def capacity(self, n: int) -> int:
        """How many words of n are kept at most: six standard deviations above the expected number.

        Any further words of a block are left out. It is a multiple of a part's words.
        """
        deviation = math.sqrt(n * self.share * (1 - self.share))
        return PART * math.ceil(min(n, n * self.share + 6 * deviation) / PART)

    def cut(self, words: Array, rows: Array, sentences: Array, centers: Array, key: Key) -> Part:
        """The parts of a block, as arrays (parts, ...).

        The window of each word is uniform in 1 .. `window`, which weights near words more.
        """
        parts, window = len(words) // PART, self.window
        return Part(
            windows(words, window, PADDING),
            windows(rows, window),
            windows(sentences, window, -1),
            centers.reshape(parts, PART),
            jax.random.randint(stream(key, "window"), (parts, PART), 1, window + 1),
            self.draw(stream(key, "negative"), (parts, self.drawn)),
        )

    def draw(self, key: Key, shape: tuple[int, ...]) -> Array:
        """Random words, with probability proportional to their counts to the power 0.75."""
        uniform = jax.random.uniform(key, shape)
        return jnp.searchsorted(jnp.asarray(self.cumulative), uniform, method="scan_unrolled")

    def values(self, sums: Sums) -> dict[str, Array]:
        """The mean loss of a pair, in nats."""
        return {"loss": sums["loss"] / jnp.maximum(sums["pairs"], 1)}


def word2vec(
    counts: Any,
    features: int = 100,
    *,
    model: Model = "skip-gram",
    window: int = 5,
    negative: int = 5,
    sample: float = 1e-3,
    drawn: int = 32,
    learning_rate: LearningRate = 0.025,
) -> Word2Vec:
    """A train step of skip-gram or CBOW with negative sampling.

        vocabulary = build_vocabulary(sentences, min_documents=5)
        train_step = word2vec(vocabulary.count(sentences).sum(0))
        blocks = corpus_blocks(vocabulary, sentences)
        result = fit(train_step, blocks, key=jax.random.key(0), epochs=5, batch_size=1)
        vectors = WordVectors(vocabulary.tokens, result.train_state.params["input"][2:])

    Args:
      counts: how often each index occurs in the corpus, integers (vocabulary,); an index that does
        not occur, such as padding, is left out everywhere.
      features: the length of a vector.
      model: "skip-gram" or "cbow".
      window: the greatest distance between a word and the words of its context.
      negative: random words per pair.
      sample: the threshold of subsampling, which leaves out random occurrences of words that are
        more frequent than about this share, as in gensim; 0 keeps all.
      drawn: random words per 32 words, shared by their pairs; weights keep the expectation.
      learning_rate: a number, or a function of the step such as
        `optax.linear_schedule(0.025, 1e-4, steps)`.

    Raises:
      LayerError: a size that is not a positive integer, or counts that are negative or all zero.
    """
    sizes = {"features": features, "window": window, "negative": negative, "drawn": drawn}
    features, window, negative, drawn = as_integers("word2vec", error=LayerError, **sizes)
    check_not_negative("word2vec", error=LayerError, sample=sample)
    if model not in ("skip-gram", "cbow"):
        raise LayerError(f'word2vec expects model "skip-gram" or "cbow", but got {model!r}')
    counts = np.asarray(counts, np.float64)
    if counts.ndim != 1 or not counts.sum() > 0 or counts.min() < 0:
        raise LayerError(
            f"word2vec expects counts (vocabulary,) of at least 0 and not all 0, but got shape "
            f"{counts.shape}; see Vocabulary.count"
        )
    share = np.where(counts > 0, counts, np.inf) / counts.sum()
    kept = np.minimum(1, np.sqrt(sample / share) + sample / share) if sample else counts > 0
    weights = np.cumsum(counts**0.75)
    return Word2Vec(
        model,
        features,
        window,
        negative,
        drawn,
        kept.astype(np.float32),
        float((counts * kept).sum() / counts.sum()),
        (weights / weights[-1]).astype(np.float32),
        learning_rate,
    )
