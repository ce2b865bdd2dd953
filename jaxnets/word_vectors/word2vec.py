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
from jax.nn import log_sigmoid

from jaxnets.checks import as_integers, check_not_negative
from jaxnets.data.text.vocabulary import PADDING
from jaxnets.errors import LayerError
from jaxnets.keys import stream
from jaxnets.layer import Array, Key, Params
from jaxnets.lowering.materialize import materialize
from jaxnets.training import Batch, TrainState
from jaxnets.training.train_step import Hparams, Sums
from jaxnets.word_vectors.corpus import BORDER

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
      window: the most words between a word and its context.
      negative: random words per pair of word and context.
      drawn: random words per block, which its pairs share.
      kept: the probability to keep a word of each index, float32 (vocabulary,).
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
        """One step of gradient descent on the sum of the loss over all pairs of the blocks."""
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

        Only the rows of words in the block change, so only these are read and written.
        """
        words, sentences, centers = self.keep(words, sentences, stream(key, "keep"))
        near = self.context(sentences, centers, stream(key, "window"))
        drawn = self.draw(stream(key, "negative"))
        inputs, outputs = self.input_rows(words), jnp.concatenate([words, drawn])
        loss_of = {"skip-gram": self.skip_gram, "cbow": self.cbow}[self.model]

        def loss(ins: Array, outs: Array) -> Array:
            return loss_of(self.combine(ins, inputs), outs, near, drawn[None] != words[:, None])

        rows = materialize(params["input"][inputs]), materialize(params["output"][outputs])
        value, (ins, outs) = jax.value_and_grad(loss, (0, 1))(*rows)
        params = {
            "input": params["input"].at[inputs].add(-rate * ins),
            "output": params["output"].at[outputs].add(-rate * outs),
        }
        pairs = near.sum() if self.model == "skip-gram" else near.any(1).sum()
        sums = {"loss": value, "pairs": pairs, "words": centers.sum()}
        return params, jax.tree.map(jnp.float32, sums)

    def input_rows(self, words: Array) -> Array:
        """The rows of `input` that the words' vectors are made of: here their own."""
        return words

    def combine(self, inputs: Array, rows: Array) -> Array:
        """The words' vectors (words, features), from their rows of `input`."""
        del rows
        return inputs

    def skip_gram(self, inputs: Array, outputs: Array, near: Array, differs: Array) -> Array:
        """The sum over pairs of -log s(v_o . v_i) - k E[log s(-v_n . v_i)]; equation 4 of 2013b."""
        context, drawn = jnp.split(outputs, [len(inputs)])
        pairs = near.sum(1, keepdims=True) * differs * (self.negative / self.drawn)
        positive = near * log_sigmoid(inputs @ context.T)
        return -positive.sum() - (pairs * log_sigmoid(-(inputs @ drawn.T))).sum()

    def cbow(self, inputs: Array, outputs: Array, near: Array, differs: Array) -> Array:
        """The same for each word, predicted from the mean of its context's input vectors."""
        words, drawn = jnp.split(outputs, [len(inputs)])
        total, n = near @ inputs, near.sum(1, keepdims=True)
        # As in word2vec, each word of the context gets the gradient of the mean undivided.
        mean = total + jax.lax.stop_gradient(total / jnp.maximum(n, 1) - total)
        exists = n > 0
        positive = exists[:, 0] * log_sigmoid((mean * words).sum(1))
        negative = exists * differs * (self.negative / self.drawn)
        return -positive.sum() - (negative * log_sigmoid(-(mean @ drawn.T))).sum()

    def keep(self, words: Array, sentences: Array, key: Key) -> tuple[Array, Array, Array]:
        """The words of a block that are not left out, their sentences, and which are in its middle.

        Filled up to a fixed length with padding, which has sentence -1.
        """
        n, border = len(words), BORDER * self.window
        kept = jax.random.uniform(key, (n,)) < jnp.asarray(self.kept)[words]
        (positions,) = jnp.nonzero(kept, size=self.capacity(n), fill_value=n)
        words = jnp.take(words, positions, fill_value=PADDING, mode="fill")
        sentences = jnp.take(sentences, positions, fill_value=-1, mode="fill")
        return words, sentences, (border <= positions) & (positions < n - border)

    def capacity(self, n: int) -> int:
        """The number of words kept of n, at most: six standard deviations above the expected one.

        In a block with more, the last ones are left out.
        """
        deviation = math.sqrt(n * self.share * (1 - self.share))
        return min(n, 8 * math.ceil((n * self.share + 6 * deviation) / 8))

    def context(self, sentences: Array, centers: Array, key: Key) -> Array:
        """Whether word j is in the context of word i, (words, words) of 0 and 1.

        The window of each word is uniform in 1 .. `window`, which weights near words more.
        """
        n = len(sentences)
        reach = jax.random.randint(key, (n, 1), 1, self.window + 1)
        distance = abs(jnp.arange(n)[:, None] - jnp.arange(n)[None])
        same = (sentences[:, None] == sentences[None]) & (sentences >= 0)[None]
        return (centers[:, None] & same & (distance > 0) & (distance <= reach)).astype(jnp.float32)

    def draw(self, key: Key) -> Array:
        """Random words, with probability proportional to their counts to the power 0.75."""
        uniform = jax.random.uniform(key, (self.drawn,))
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
    drawn: int = 64,
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
      window: the most words between a word and its context.
      negative: random words per pair.
      sample: leave out occurrences of words that are more frequent than this share; 0 keeps all.
      drawn: random words per block, shared by its pairs; their weights keep the expectation.
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
