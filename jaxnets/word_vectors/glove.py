"""GloVe: word vectors whose products are the logarithms of co-occurrence counts.

Source: Pennington et al. 2014, "GloVe: global vectors for word representation".
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import sparse

from jaxnets.checks import as_integers, check_range
from jaxnets.data.text import Vocabulary
from jaxnets.data.text.vocabulary import UNKNOWN
from jaxnets.errors import DataError, LayerError
from jaxnets.keys import stream
from jaxnets.layer import Array, Key, Params
from jaxnets.training import Batch, TrainState
from jaxnets.training.train_step import Hparams, Sums
from jaxnets.word_vectors.word2vec import LearningRate, rate_at


def cooccurrences(
    vocabulary: Vocabulary, sentences: Iterable[str], *, window: int = 10
) -> tuple[np.ndarray, np.ndarray]:
    """How often pairs of words occur near each other; the data to pass to `fit`.

    Two words at distance d count 1 / d, in both orders. Unknown words count in the distance.

    Args:
      vocabulary: gives each word its index.
      sentences: texts; a context never extends from one into the next.
      window: the greatest distance of two words.

    Returns:
      The pairs of indices, int32 (pairs, 2), each once, and their counts, float32 (pairs,).

    Raises:
      DataError: a window that is not a positive integer, or no two known words in a sentence.
    """
    [window] = as_integers("cooccurrences", error=DataError, window=window)
    rows = [*vocabulary.indices(sentences)]
    words = np.array([*chain(*rows)], np.int32)
    sentence = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    shape = (len(vocabulary), len(vocabulary))
    counts = sparse.csr_array(shape, dtype=np.float64)
    for d in range(1, window + 1):
        first, second = words[:-d], words[d:]
        near = (sentence[:-d] == sentence[d:]) & (first != UNKNOWN) & (second != UNKNOWN)
        weights = np.full(near.sum(), 1 / d)
        counts += sparse.csr_array((weights, (first[near], second[near])), shape)
    pairs = sparse.coo_array(counts + counts.T)
    if not pairs.nnz:
        raise DataError(
            "cooccurrences expects a sentence with two words of the vocabulary, but got none; see "
            "build_vocabulary"
        )
    return np.stack(pairs.coords, axis=1).astype(np.int32), pairs.data.astype(np.float32)


@dataclass(frozen=True, eq=False)
class Glove:
    """A train step of GloVe on co-occurrences, made by `glove`; pass it to `fit`.

    The params are `input` and `output`, both (vocabulary, features + 1): the vectors of the words
    and of their contexts, with the bias as last value.

    Attributes:
      vocabulary: the number of indices.
      features: the length of a vector.
      x_max: pairs with at least this count have weight 1.
      power: of the counts below that.
      learning_rate: of AdaGrad; a number, or a function of the step such as a schedule.
    """

    vocabulary: int
    features: int
    x_max: float
    power: float
    learning_rate: LearningRate

    def init(self, key: Key, x: Any) -> TrainState:
        """Vectors and biases uniform in +-1 / (2 features), and AdaGrad's sums of squares at 1."""
        del x
        shape, limit = (self.vocabulary, self.features + 1), 0.5 / self.features
        params = {
            name: jax.random.uniform(stream(key, name), shape, jnp.float32, -limit, limit)
            for name in ("input", "output")
        }
        squares = jax.tree.map(jnp.ones_like, params)
        return TrainState(jnp.int32(0), params, {}, squares, stream(key, "train"))

    def __call__(
        self, train_state: TrainState, batch: Batch, hparams: Hparams = None
    ) -> tuple[TrainState, Sums]:
        """One step of AdaGrad (Duchi et al. 2011) on the sum of the loss over the pairs.

        Only the rows of words in the batch change, so only these are read and written. The squares
        of each pair's gradient are summed, as if the pairs came one after another.
        """
        del hparams
        step, params = train_state.step, train_state.params
        squares: Any = train_state.opt_state
        rate, used = rate_at(self.learning_rate, step), batch.weights > 0
        at = {"input": batch.x[:, 0], "output": batch.x[:, 1]}

        def total(rows: Params) -> tuple[Array, Array]:
            loss = jnp.where(used, self.loss(rows["input"], rows["output"], batch.y), 0)
            return loss.sum(), loss

        rows = {name: params[name][at[name]] for name in params}
        gradients, loss = jax.grad(total, has_aux=True)(rows)
        squares = {name: squares[name].at[at[name]].add(g**2) for name, g in gradients.items()}
        params = {
            name: params[name].at[at[name]].add(-rate * g / jnp.sqrt(squares[name][at[name]]))
            for name, g in gradients.items()
        }
        sums = {"loss": loss.sum(), "pairs": used.sum().astype(jnp.float32)}
        after = train_state._replace(step=step + 1, params=params, opt_state=squares)
        return after, {"objective": sums["loss"] / jnp.maximum(sums["pairs"], 1), **sums}

    def loss(self, inputs: Array, outputs: Array, counts: Array) -> Array:
        """f(X) (w . v + b + c - log X)^2 of each pair, (pairs,); equation 8."""
        (w, b), (v, c) = (jnp.split(rows, [self.features], axis=1) for rows in (inputs, outputs))
        weight = jnp.minimum(1, counts / self.x_max) ** self.power  # equation 9
        log = jnp.log(jnp.where(counts > 0, counts, 1))  # padding has count 0
        return weight * ((w * v).sum(1) + (b + c)[:, 0] - log) ** 2

    def values(self, sums: Sums) -> dict[str, Array]:
        """The mean loss of a pair."""
        return {"loss": sums["loss"] / jnp.maximum(sums["pairs"], 1)}

    def vectors(self, params: Params) -> Array:
        """The word vectors (vocabulary, features): those of the word plus those of the context."""
        return (params["input"] + params["output"])[:, :-1]


def glove(
    vocabulary: int,
    features: int = 100,
    *,
    x_max: float = 100.0,
    power: float = 0.75,
    learning_rate: LearningRate = 0.05,
) -> Glove:
    """A train step of GloVe.

        vocabulary = build_vocabulary(sentences, min_documents=5)
        train_step = glove(len(vocabulary))
        pairs = cooccurrences(vocabulary, sentences)
        result = fit(train_step, pairs, key=jax.random.key(0), epochs=25, batch_size=512)
        vectors = train_step.vectors(result.train_state.params)[2:]
        vectors = WordVectors(vocabulary.tokens, vectors)

    Args:
      vocabulary: the number of indices, `len(vocabulary)`.
      features: the length of a vector.
      x_max: pairs with at least this count have weight 1; lower it for a small corpus.
      power: other pairs have the weight (count / x_max) ** power.
      learning_rate: of AdaGrad; a number, or a function of the step.

    Raises:
      LayerError: a size that is not a positive integer, or a number out of its range.
    """
    sizes = {"vocabulary": vocabulary, "features": features}
    vocabulary, features = as_integers("glove", error=LayerError, **sizes)
    check_range("glove", 0, 1, error=LayerError, power=power)
    if not 0 < x_max < float("inf"):
        raise LayerError(f"glove expects x_max to be a count above 0, but got {x_max!r}; try 100")
    return Glove(vocabulary, features, float(x_max), float(power), learning_rate)
