"""The benchmark of word vectors: both take turns, and their similarities are compared."""

import json

import numpy as np
import pytest

from experiments.bench import word_vectors
from jaxnets.data import DataError
from jaxnets.word_vectors import WordVectors

pytestmark = pytest.mark.usefixtures("compile_quickly")

WORDS = tuple("abcdefghijklmnopqrstuvwxyz")


def test_similarities_agree_up_to_scale_and_a_common_direction():
    rng = np.random.default_rng(0)
    order = ("the",) * 60 + WORDS
    vectors = WordVectors(WORDS, rng.normal(size=(26, 5)))
    same = WordVectors(WORDS[::-1], 3 * vectors.vectors[::-1] + np.ones((1, 5)))
    assert word_vectors.agreement(vectors, same, order) == pytest.approx(1, abs=1e-3)
    others = WordVectors(WORDS, rng.normal(size=(26, 5)))
    assert abs(word_vectors.agreement(vectors, others, order)) < 0.5


def test_a_run_trains_each_seed_in_turn_and_writes_the_ratio(tmp_path, monkeypatch):
    rng, seeds = np.random.default_rng(0), []
    (tmp_path / "text").write_text("\n".join(" ".join(rng.choice(WORDS, 9)) for _ in range(20)))

    def gensim(model, config, corpus):
        def train(seed):
            seeds.append((model, seed))
            tokens = corpus.vocabulary.tokens
            return word_vectors.Trained(1.0, WordVectors(tokens, np.ones((len(tokens), 2))))

        return train

    monkeypatch.setattr(word_vectors, "gensim", gensim)
    monkeypatch.setattr(word_vectors, "FEATURES", 4)
    config = word_vectors.Config(
        out=tmp_path / "out.json",
        text=tmp_path / "text",
        models=("skip-gram",),
        least=1,
        epochs=1,
        rounds=2,
    )
    word_vectors.main(config)
    result = json.loads((tmp_path / "out.json").read_text())
    assert seeds == [("skip-gram", 0), ("skip-gram", 1)] and result["words"] == 180
    assert result["models"]["skip-gram"]["ours_over_gensim"]["median"] > 1


def test_vectors_of_other_words_are_refused(tmp_path):
    (tmp_path / "text").write_text("a b c")
    WordVectors(("x",), np.ones((1, 2))).save(tmp_path / "vectors.txt")
    config = word_vectors.Config(text=tmp_path / "text", vectors=tmp_path / "vectors.txt", least=1)
    with pytest.raises(DataError, match="vectors of the words of --text"):
        word_vectors.main(config)
