"""Word vectors: neighbours, analogies, tables and files."""

import gzip

import numpy as np
import pytest

from jaxnets.data import DataError, text
from jaxnets.word_vectors import WordVectors, load_vectors

VOCABULARY = text.Vocabulary(("king", "zebra"))
WORDS = ("man", "woman", "king", "queen", "tea")
VECTORS = WordVectors(
    WORDS, np.array([[1, 0, 0.2], [1, 1, 0.2], [3, 0, 1], [3, 1.1, 1], [0, -2, 0]])
)


def test_neighbours_are_sorted_by_their_cosine():
    names, cosines = zip(*VECTORS.nearest("king", 3), strict=True)
    expected = [VECTORS.similarity("king", name) for name in names]
    assert "king" not in names and list(cosines) == expected == sorted(expected, reverse=True)
    a, b = VECTORS["king"], VECTORS["queen"]
    cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    np.testing.assert_allclose(VECTORS.similarity("king", "queen"), cosine, rtol=1e-6)


def test_king_minus_man_plus_woman_is_queen():
    assert VECTORS.analogy("man", "king", "woman", 1)[0][0] == "queen"


def test_a_map_keeps_the_distances_of_vectors_in_a_plane():
    rng = np.random.default_rng(0)
    plane = rng.normal(size=(5, 2)) @ rng.normal(size=(2, 7))
    at = WordVectors(WORDS, plane).plane(WORDS)
    distances = [np.linalg.norm(x[:, None] - x[None], axis=-1) for x in (at, plane)]
    np.testing.assert_allclose(*distances, rtol=1e-4, atol=1e-5)


def test_a_table_has_the_vectors_at_the_indices_of_the_vocabulary():
    vocabulary = text.build_vocabulary(["queen king zebra"])
    table, found = VECTORS.table(vocabulary)
    assert table.shape == (5, 3) and table.dtype == np.float32 and not table[0].any()
    assert [vocabulary.tokens[i - 2] for i in np.flatnonzero(found)] == ["king", "queen"]
    np.testing.assert_array_equal(table[vocabulary.index["queen"]], VECTORS["queen"])


def test_a_file_gives_back_what_was_saved(tmp_path):
    VECTORS.save(tmp_path / "vectors.txt")
    (tmp_path / "vectors.gz").write_bytes(gzip.compress((tmp_path / "vectors.txt").read_bytes()))
    lines = (tmp_path / "vectors.txt").read_bytes().split(b"\n", 1)[1]
    (tmp_path / "glove.txt").write_bytes(lines)
    np.savez(tmp_path / "vectors.npz", words=np.array(WORDS, "S"), vectors=VECTORS.vectors)
    for name in ("vectors.txt", "vectors.gz", "glove.txt", "vectors.npz"):
        read = load_vectors(tmp_path / name)
        assert read.words == WORDS
        np.testing.assert_array_equal(read.vectors, VECTORS.vectors)
        assert load_vectors(tmp_path / name, 2).words == WORDS[:2]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"a 1 2\nb 1", "line 2 has 1 numbers, but lines before it 2"),
        (b"a 1 2\nb 1 nan", "line 2 has a number that is not finite"),
        (b"a\t1\t2", "line 1 has no numbers after a word and a space"),
        (b"a 1\na 2", "line 2 repeats the word of line 1"),  # the first is no header
        (b"a 1 2\nb 1 x", "line 2 has entries that are not numbers"),
        (b"a 1 2\na 1 3", "line 2 repeats the word of line 1"),
        (b"\xff 1 2", "utf-8"),
    ],
)
@pytest.mark.parametrize("suffix", [".txt", ".gz"])
def test_a_damaged_file_is_refused(content, message, suffix, tmp_path):
    path = tmp_path / f"vectors{suffix}"
    path.write_bytes(gzip.compress(content) if suffix == ".gz" else content)
    with pytest.raises(DataError, match=message):
        load_vectors(path)


@pytest.mark.parametrize("name", ["vectors.npz", "vectors.gz"])
def test_a_file_of_another_kind_is_refused(name, tmp_path):
    (tmp_path / name).write_bytes(b"vectors")
    with pytest.raises(DataError, match="has no word vectors"):
        load_vectors(tmp_path / name)
    with pytest.raises(DataError, match="has no word vectors"):
        load_vectors(tmp_path / "none.txt")


@pytest.mark.parametrize(
    ("words", "vectors", "message"),
    [
        ([["a"]], np.ones((1, 2)), r"expected words \(n,\) and numbers"),
        (["a"], [["x"]], "but got <U1"),
        (["a"], [[np.inf]], "not finite"),
        (["a"], np.ones((1, 0)), "it is empty"),
        ([1], np.ones((1, 2)), "words as strings, but got 1"),
        (["a"], np.ones((2, 2)), "one per word"),
    ],
)
def test_an_archive_of_other_arrays_is_refused(words, vectors, message, tmp_path):
    np.savez(tmp_path / "vectors.npz", words=words, vectors=vectors)
    with pytest.raises(DataError, match=f"has no word vectors: .*{message}"):
        load_vectors(tmp_path / "vectors.npz")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: WordVectors((1,), np.ones((1, 2))), "words as strings, but got 1"),
        (lambda: VECTORS.plane([]), "at least one word"),
        (
            lambda: WordVectors((), np.ones((0, 2))).table(text.Vocabulary(("a",))),
            "at least one vector",
        ),
        (lambda: load_vectors("vectors.txt", most=0), "most=1 or more"),
        (lambda: VECTORS["zebra"], "no vector for 'zebra'"),
        (lambda: VECTORS.nearest("zebra"), "no vector for 'zebra'"),
        (lambda: WordVectors(("a", "b"), np.ones((3, 2))), r"vectors \(2, features\)"),
        (lambda: WordVectors(("a", "a"), np.ones((2, 2))), "each word once"),
    ],
)
def test_misuse_is_refused_with_the_cure(call, message):
    with pytest.raises(DataError, match=message):
        call()


def test_a_word_with_a_space_is_not_saved(tmp_path):
    with pytest.raises(DataError, match="without spaces"):
        WordVectors(("a b",), np.ones((1, 2))).save(tmp_path / "vectors.txt")


def test_the_plane_of_one_word_has_two_coordinates():
    assert WordVectors(("a",), np.ones((1, 3))).plane(["a"]).tolist() == [[0, 0]]
