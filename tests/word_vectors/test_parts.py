"""Which words are in whose context, counted pair by pair."""

import numpy as np
import pytest

from jaxnets.word_vectors.parts import PART, Part, context


@pytest.mark.parametrize("window", [1, 4])
def test_a_context_is_the_near_words_of_the_same_sentence(window):
    rng = np.random.default_rng(0)
    n = PART + 2 * window
    words = np.arange(n)
    sentences = np.repeat(np.arange(n), 5)[:n] - 1  # the first five are padding
    centers, reach = rng.random(PART) < 0.7, rng.integers(1, window + 1, PART)
    expected = np.zeros((PART, n), np.float32)
    for i in range(PART):
        for j in range(n):
            distance = abs(i + window - j)
            same = sentences[i + window] == sentences[j] >= 0
            expected[i, j] = centers[i] and same and 0 < distance <= reach[i]
    part = Part(words, words, sentences, centers, reach, words)
    np.testing.assert_array_equal(context(part), expected)
    assert 0 < expected.sum() < expected.size / 2
