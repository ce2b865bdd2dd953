"""The losses of word2vec with negative sampling, on the vectors of a part of a block."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.layer import Array


@jax.custom_jvp
def log_sigmoid(x: Array) -> Array:
    """The logarithm of s(x), to 1e-7 absolute; its derivative shares the exponential."""
    return _with_derivative(x)[0]


def _with_derivative(x: Array) -> tuple[Array, Array]:
    """The logarithm of s(x), and its derivative s(-x)."""
    e = jnp.exp(-abs(x))
    return jnp.minimum(x, 0) - jnp.log(1 + e), jnp.where(x < 0, 1, e) / (1 + e)


@log_sigmoid.defjvp
def _(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    value, derivative = _with_derivative(*primals)
    return value, derivative * tangents[0]


def skip_gram(inputs: Array, outputs: Array, near: Array, differs: Array, negative: int) -> Array:
    """The sum over pairs of -log s(v_o . v_i) - k E[log s(-v_n . v_i)], with s the sigmoid.

    Source: Mikolov et al. 2013, "Distributed representations of words and phrases and their
    compositionality", equation 4.

    Args:
      inputs: vectors of the centers.
      outputs: vectors of the words that can be near them, and then of the drawn words.
      near: 1 where a word is in the context of a center, (centers, words), else 0.
      differs: whether a drawn word is another one than the center, (centers, drawn).
      negative: k, random words per pair; each drawn word has the weight k / (number drawn).
    """
    negatives = near.sum(1, keepdims=True) * differs * (negative / differs.shape[1])
    sign = np.repeat([1, -1], [near.shape[1], differs.shape[1]]).astype(np.float32)
    weights = jnp.concatenate([near, negatives], 1)
    return -(weights * log_sigmoid(sign[None] * (inputs @ outputs.T))).sum()


def cbow(inputs: Array, outputs: Array, near: Array, differs: Array, negative: int) -> Array:
    """The same for each center, predicted from the mean of its context's input vectors.

    Args:
      inputs: vectors of the words that can be near the centers.
      outputs: vectors of the centers, and then of the drawn words.
      near: as for `skip_gram`.
      differs: as for `skip_gram`.
      negative: random words per center.
    """
    words, drawn = jnp.split(outputs, [len(near)])
    total, n = near @ inputs, near.sum(1, keepdims=True)
    # As in word2vec, each word of the context gets the gradient of the mean undivided.
    mean = total + jax.lax.stop_gradient(total / jnp.maximum(n, 1) - total)
    exists = n > 0
    positives = exists[:, 0] * log_sigmoid((mean * words).sum(1))
    negatives = exists * differs * (negative / differs.shape[1])
    return -positives.sum() - (negatives * log_sigmoid(-(mean @ drawn.T))).sum()
