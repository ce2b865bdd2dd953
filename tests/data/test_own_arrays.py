"""`data.from_arrays` and `data.from_dataset`: arrays, and datasets of other libraries."""

import hashlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from jaxnets.data import DataError, Stream, from_arrays, from_dataset

RNG = np.random.default_rng(0)
X, Y = RNG.normal(3, 2, (30, 4)).astype(np.float32), np.arange(30) % 3
NAMES = np.array(["ant", "bee", "cow"])
PICTURES = RNG.integers(0, 256, (12, 6, 5, 3), np.uint8)


class Pairs:
    """As PyTorch's map-style datasets."""

    def __init__(self, x, y, **attributes):
        self.x, self.y = x, y
        self.__dict__ |= attributes

    def __len__(self):
        return len(self.y)

    def __getitem__(self, row):
        return self.x[row], self.y[row]


class Dicts(Pairs):
    """As Hugging Face's datasets: rows are dicts, columns are lists, features have names."""

    column_names = ("image", "label")
    _fingerprint = "c0ffee"

    def __getitem__(self, row):
        if isinstance(row, str):
            return {"image": self.x, "label": self.y}[row]
        return {"image": Image.fromarray(self.x[row]), "label": int(self.y[row])}

    def __getitems__(self, rows):
        return [self[row] for row in rows]


def everything(stream):
    return stream.read(np.arange(len(stream)))


def test_a_share_of_each_class_is_held_out_and_no_row_is_lost():
    dataset = from_arrays(X, Y, test=0.3, seed=2)
    assert np.bincount(dataset.test.y).tolist() == [3, 3, 3]
    assert dataset.classes == ("0", "1", "2") and dataset.train.y.dtype == np.int32
    both = np.concatenate([dataset.train.x, dataset.test.x])
    np.testing.assert_array_equal(both[both[:, 0].argsort()], X[X[:, 0].argsort()])
    assert dataset.checksums["train.x as an array"] == hashlib.sha256(X.tobytes()).hexdigest()


def test_labels_are_numbered_in_the_order_of_their_names_or_of_classes():
    assert from_arrays(X, NAMES[Y]).classes == ("ant", "bee", "cow")
    labelled = (X, NAMES[Y])
    reordered = from_arrays(*labelled, classes=("cow", "bee", "ant"), test=labelled)
    np.testing.assert_array_equal(reordered.test.y, 2 - Y)
    assert from_arrays(X, Y, classes=NAMES).classes == tuple(NAMES)
    assert from_arrays(X, Y > 0).classes == ("false", "true")


def test_the_scaling_is_that_of_the_training_rows():
    plain, scaled = from_arrays(X, Y), from_arrays(X, Y, scale=True)
    mean, std = plain.train.x.mean(0), plain.train.x.std(0)
    np.testing.assert_allclose(scaled.test.x, (plain.test.x - mean) / std, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(scaled.preprocess(plain.test.x), scaled.test.x)


def test_floats_are_the_targets_of_a_regression():
    dataset = from_arrays(X, X[:, :1], test=0.5)
    assert dataset.classes == () and dataset.train.y.shape == (15, 1)


def test_a_pair_is_the_test_split():
    dataset = from_arrays(X, NAMES[Y], test=(X[:5], NAMES[Y[:5]]))
    assert len(dataset.train.y) == 30
    np.testing.assert_array_equal(dataset.test.y, dataset.train.y[:5])


def test_a_memory_map_is_streamed_with_the_rows_of_the_array(tmp_path):
    np.save(tmp_path / "x.npy", X)
    mapped = from_arrays(np.load(tmp_path / "x.npy", mmap_mode="r"), Y)
    kept = from_arrays(X, Y)
    assert isinstance(mapped.train, Stream) and mapped.checksums == kept.checksums
    for stream, split in ((mapped.train, kept.train), (mapped.test, kept.test)):
        np.testing.assert_array_equal(everything(stream).x, split.x)
        np.testing.assert_array_equal(everything(stream).y, split.y)


WRONG_ARRAYS = {
    "NaN": ((X * np.nan, Y), {}, "row 0 of x holds nan .*: 30 of 30.; drop or fill"),
    "one class": ((X, Y * 0), {}, "at least two classes, but all labels are 0; add examples"),
    "other lengths": ((X, Y[:3]), {}, r"the shapes \(30, 4\) and \(3,\); pass one label"),
    "one-hot": ((X, np.eye(3, dtype=int)[Y]), {}, r"but got int64\[30, 3\]; pass y.argmax\(-1\)"),
    "a class of one": ((X, [9, *Y[1:]]), {}, "at least 2 examples of each class, .* got 1 of '9'"),
    "one row": ((X[:1], X[:1]), {}, "at least 2 examples, one of them to hold out, but got 1; add"),
    "a share of 2": ((X, Y), {"test": 2}, r"test as a share .* but got 2; pass test=0\.2"),
    "a label beyond": ((X, Y), {"classes": "ab"}, "from 0 to 1 for 2 classes, but got 0 to 2"),
    "an unknown name": ((X, NAMES[Y]), {"classes": ["ant"]}, r"but got \['bee', 'cow'\]; name all"),
    "text": ((NAMES[Y], Y), {}, r"the inputs as an array of numbers .* but got strings"),
    "objects": ((X, [None] * 30), {}, "labels of one kind, but got objects; pass strings"),
    "other test rows": ((X, Y), {"test": (X[:, :2], Y)}, r"inputs \(4,\) as in training, but got"),
    "a triple": ((X, Y), {"test": (X, Y, Y)}, r"test=\(x, y\), but got a tuple of 3; pass a pair"),
    "classes of floats": ((X, X), {"classes": "ab"}, r"got float32; cast them with y.astype\(int"),
}  # fmt: skip


@pytest.mark.parametrize("arrays, options, message", WRONG_ARRAYS.values(), ids=WRONG_ARRAYS)
def test_wrong_arrays_are_refused_in_one_line(arrays, options, message):
    with pytest.raises(DataError, match=message) as raised:
        from_arrays(*arrays, **options)
    assert str(raised.value).isprintable()


def test_rows_of_pairs_are_streamed_with_the_dataset_s_classes():
    dataset = from_dataset(Pairs(X, Y, classes=list(NAMES), targets=Y.tolist()))
    kept = from_arrays(X, Y)
    assert dataset.classes == tuple(NAMES) and dataset.preprocess is None
    np.testing.assert_array_equal(everything(dataset.train).x, kept.train.x)
    np.testing.assert_array_equal(everything(dataset.test).y, kept.test.y)


def test_targets_that_rows_transform_are_read_from_the_rows():
    rows = Pairs(X, NAMES[Y], targets=Y, target_transform=NAMES.__getitem__)
    assert from_dataset(rows).classes == tuple(NAMES)


def test_rows_of_dicts_with_pictures_have_a_reader_and_names():
    features = {"label": SimpleNamespace(names=["cat", "dog"])}
    rows = Dicts(PICTURES, (np.arange(12) % 2).tolist(), features=features)
    dataset = from_dataset(rows, test=rows)
    assert dataset.classes == ("cat", "dog")
    assert dataset.checksums == {"train fingerprint": "c0ffee", "test fingerprint": "c0ffee"}
    np.testing.assert_array_equal(everything(dataset.train).x, PICTURES)
    np.testing.assert_allclose(dataset.preprocess.mean, PICTURES.mean((0, 1, 2)) / 255)
    np.testing.assert_allclose(dataset.preprocess.std, PICTURES.std((0, 1, 2)) / 255)
    small = from_dataset(rows, size=4, grey=True)
    assert everything(small.test).x.shape == (2, 4, 4, 1)


class NoLength:
    def __getitem__(self, row):
        return X[row], Y[row]


WRONG_DATASETS = {
    "splits": ({"train": Pairs(X, Y), "test": 3}, {}, r'the splits .*; pass dataset\["train"\]'),
    "no length": (NoLength(), {}, "and __getitem__, .* but got a NoLength; load it"),
    "no rows": (Pairs([], []), {}, "at least one row, but the dataset is empty"),
    "triples": ([(1, 2, 3)], {}, r"rows as tuples \(x, y\), or as dicts .* but got a tuple; wrap"),
    "no such column": (
        [{"a": 1, "b": 2, "c": 3}] * 4, {}, r"among \['a', 'b', 'c'\], but got x=None and y=None; p"
    ),
    "text": (Pairs(["a", "b"] * 4, [0, 0, 1, 1] * 2), {}, "but row 0 has str; wrap"),
    "other shapes": (
        Pairs([*X[:15], *X[15:, :3]], Y), {}, r"row 15 has x \(3,\) and y \(\) where .*\(4,\) .*; r"
    ),
}  # fmt: skip


@pytest.mark.parametrize("rows, options, message", WRONG_DATASETS.values(), ids=WRONG_DATASETS)
def test_wrong_datasets_are_refused_in_one_line(rows, options, message):
    with pytest.raises(DataError, match=message) as raised:
        everything(from_dataset(rows, **options).train)
    assert str(raised.value).isprintable()
