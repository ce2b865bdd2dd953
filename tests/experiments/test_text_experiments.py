"""Experiments on text: small runs of the sentiment networks, and of word vectors."""

import gzip
import hashlib
import json
from itertools import combinations

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from experiments import figures, sentiment, sentiment_sets, words
from jaxnets.data import DataError
from jaxnets.word_vectors import WordVectors, load_vectors

pytestmark = pytest.mark.usefixtures("compile_quickly")

rng = np.random.default_rng(0)
NAMES = {0: ["bad", "dull", "poor"], 1: ["good", "fine", "nice"]}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a small set, which is known as movie, and with word vectors."""
    rows = ["0\t0.0\tneither", "broken row"]
    for row in range(60):
        rows.append(f"{row}\t{2 * (row % 2) - 1.5}\t{' '.join(rng.choice(NAMES[row % 2], 4))}!")
    content = "\n".join(rows).encode()
    known = sentiment_sets.FILES["movie"]._replace(sha256=hashlib.sha256(content).hexdigest())
    monkeypatch.setitem(sentiment_sets.FILES, "movie", known)
    (tmp_path / f"{known.name}.gz").write_bytes(gzip.compress(content))
    names = NAMES[0] + NAMES[1]
    WordVectors(tuple(names), rng.normal(size=(6, 4))).save(tmp_path / "vectors.txt")
    return tmp_path


def test_a_small_run_compares_all_networks_on_every_fold(folder, capsys):
    options = {
        "sets": ("movie",),
        "networks": ("L1", "GloVe, frozen"),
        "folds": 2,
        "seeds": 2,
        "epochs": 2,
        "table_epochs": 1,
    }
    options |= {"batch_size": 9}
    config = sentiment.Config(
        data_dir=folder, vectors=folder / "vectors.txt", out=folder / "out", **options
    )
    sentiment.experiment(config)
    result = json.loads((folder / "out/result.json").read_text(encoding="utf-8"))["sets"]["movie"]
    assert result["sentences"] == 60 and result["linear"]["mean"] == 1
    assert {*result["accuracy"]} == {"L1", "GloVe, frozen"}
    assert np.shape(result["by_fold"]["L1"]) == (2, 2) and result["accuracy"]["L1"]["n"] == 2
    assert (folder / "out/movie/curves.png").read_bytes().startswith(b"\x89PNG")
    assert "L1" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        (("LSTM",), "--networks expects names from 10000-16-16-1, .* but got LSTM; pass --vectors"),
        ((), "but got none; pass --vectors"),
        (("random table",), "but got random table; pass --vectors for those with a table"),
    ],
)
def test_an_unknown_network_and_none_are_refused(networks, message):
    with pytest.raises(DataError, match=message):
        sentiment.experiment(sentiment.Config(networks=networks))


def test_sentences_that_are_rated_0_are_left_out(folder):
    texts, y, dataset = sentiment_sets.load("movie", folder)
    assert len(texts) == 60 and "neither" not in texts and y.tolist()[:2] == [0, 1]
    assert dataset.name == "movie"


def test_the_parts_of_a_fold_are_disjoint_and_its_vocabulary_is_that_of_training(folder):
    texts = tuple(f"word{'abcdefghijklmnopqrst'[row]}" for row in range(20))
    held_out = np.arange(20) < 5
    fold = sentiment_sets.make_fold(texts, np.arange(20), held_out, 100, 3, seed=0)
    parts = [set(split.y.tolist()) for split in fold[1:]]
    assert parts[2] == {0, 1, 2, 3, 4} and set.union(*parts) == {*range(20)}
    assert [len(part) for part in parts] == [14, 1, 5] and len(fold.vocabulary) == 16
    assert (fold.test.x[:, 0] == 1).all()  # unknown


def test_a_folder_without_the_set_and_another_file_are_refused(folder, tmp_path):
    with pytest.raises(DataError, match="--sets expects names from movie"):
        sentiment_sets.load("imdb", folder)
    with pytest.raises(DataError, match="pass it with --data-dir"):
        sentiment_sets.load("movie", None)
    with pytest.raises(DataError, match=r"has no tweets_GroundTruth\.txt"):
        sentiment_sets.load("tweets", folder)
    path = folder / "movieReviewSnippets_GroundTruth.txt.gz"
    for content, message in ((b"no", "cannot be read"), (gzip.compress(b"no"), "have the SHA-256")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=message):
            sentiment_sets.load("movie", folder)


def test_words_writes_vectors_neighbours_analogies_and_a_map(tmp_path, capsys):
    lines = [" ".join(rng.choice(NAMES[row % 2], 5)) for row in range(60)]
    (tmp_path / "book.txt").write_text("\n".join(lines), encoding="utf-8")
    options = {"words": ("bad", "good"), "analogies": ("bad", "dull", "good"), "features": 8}
    config = words.Config(text=tmp_path / "book.txt", out=tmp_path / "out", epochs=1, **options)
    words.experiment(config)
    result = json.loads((tmp_path / "out/result.json").read_text(encoding="utf-8"))
    assert result["words"] == 6 and len(result["nearest"]["bad"]) == 5
    assert result["analogies"][0][:3] == ["bad", "dull", "good"]
    assert {*load_vectors(tmp_path / "out/vectors.txt").words} == {*NAMES[0], *NAMES[1]}
    assert (tmp_path / "out/map.png").read_bytes().startswith(b"\x89PNG")
    assert "bad : dull = good :" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"analogies": ("a", "b")}, "three words for each, but got 2"),
        ({"text": "none.txt"}, "expects a file of UTF-8 text"),
        ({"text": "latin.txt"}, "expects a file of UTF-8 text"),
    ],
)
def test_misuse_of_words_is_refused_before_training(options, message, tmp_path):
    (tmp_path / "latin.txt").write_bytes("caf\xe9".encode("latin-1"))
    if "text" in options:
        options = {"text": tmp_path / options["text"]}
    with pytest.raises(DataError, match=message):
        words.experiment(words.Config(out=tmp_path / "out", **options))


def test_names_on_a_map_do_not_overlap_and_earlier_ones_have_priority():
    axes = Figure(figsize=(3, 3)).subplots()
    axes.set(xlim=(-1, 1), ylim=(-1, 1))
    names = [figures.Name(f"word{i}", (0.01 * i, 0), {"fontsize": 9}) for i in range(40)]
    left_out = figures.place_names(axes, names)
    assert left_out and [text.get_text() for text in axes.texts] == [
        name.text for name in names if name.text not in left_out
    ]
    assert "word0" not in left_out and len(axes.texts) > 10
    axes.figure.draw_without_rendering()  # the texts take their places
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))
    assert all(axes.bbox.contains(*corner) for box in boxes for corner in box.corners())
