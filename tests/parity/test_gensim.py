"""gensim reads the files of word vectors, and finds the same neighbours and analogies."""

import importlib

import numpy as np
import pytest

from jaxnets.word_vectors import Subwords, WordVectors, load_vectors

models = pytest.importorskip(
    "gensim.models", reason="gensim is not installed: pip install -e '.[parity]'"
)

pytestmark = pytest.mark.parity

WORDS = tuple("abcdefghij")


@pytest.fixture
def both(tmp_path):
    vectors = WordVectors(WORDS, np.random.default_rng(0).normal(size=(10, 4)))
    vectors.save(tmp_path / "vectors.txt")
    return vectors, models.KeyedVectors.load_word2vec_format(tmp_path / "vectors.txt")


def assert_equal(ours, theirs):
    assert [word for word, _ in ours] == [word for word, _ in theirs]
    np.testing.assert_allclose([c for _, c in ours], [c for _, c in theirs], atol=1e-6)


def test_gensim_reads_what_we_save_and_the_other_way_round(both, tmp_path):
    ours, theirs = both
    np.testing.assert_array_equal(theirs.vectors, ours.vectors)
    theirs.save_word2vec_format(tmp_path / "theirs.txt")
    again = load_vectors(tmp_path / "theirs.txt")
    assert again.words == WORDS
    np.testing.assert_allclose(again.vectors, ours.vectors, rtol=1e-6)


def test_neighbours_and_analogies_are_those_of_gensim(both):
    ours, theirs = both
    assert_equal(ours.nearest("c", 4), theirs.most_similar("c", topn=4))
    expected = theirs.most_similar(positive=["b", "c"], negative=["a"], topn=4)
    assert_equal(ours.analogy("a", "b", "c", 4), expected)


@pytest.mark.parametrize("word", ["apple", "a", "", "café", "naïveté", "日本語"])
@pytest.mark.parametrize("ngrams", [(3, 6), (1, 2)])
def test_ngrams_have_the_buckets_of_gensims_fasttext(word, ngrams):
    hashes = importlib.import_module("gensim.models.fasttext").ft_ngram_hashes
    assert sorted(Subwords(2000, ngrams)(word)) == sorted(hashes(word, *ngrams, 2000))
