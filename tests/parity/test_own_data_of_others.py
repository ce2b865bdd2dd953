"""Frames of pandas and polars, and datasets of Hugging Face and PyTorch, are read directly."""

import numpy as np
import pytest
from PIL import Image

from jaxnets.data import DataError, from_dataset, from_table

pytestmark = pytest.mark.parity

RNG = np.random.default_rng(0)
TABLE = {
    "age": [23, None, 31, 57] * 5,
    "gender": ["male", "female", None, "male"] * 5,
    "debt": [0.5, 1.5, 2.5, 3.5] * 5,
    "owner": [True, False, None, True] * 5,
    "approved": ["yes", "no"] * 10,
}
PICTURES = RNG.integers(0, 256, (12, 6, 5, 3), np.uint8)
LABELS = (np.arange(12) % 2).tolist()


def everything(stream):
    return stream.read(np.arange(len(stream)))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_frame_gives_the_data_set_of_the_dict_of_its_columns(library):
    frame = pytest.importorskip(library).DataFrame(TABLE)
    expected, dataset = from_table(TABLE, "approved"), from_table(frame, "approved")
    assert dataset.preprocess == expected.preprocess
    np.testing.assert_array_equal(dataset.train.x, expected.train.x)
    np.testing.assert_array_equal(dataset.test.y, expected.test.y)
    rows = frame.drop(columns=["approved"]) if library == "pandas" else frame.drop("approved")
    np.testing.assert_array_equal(dataset.preprocess(rows), expected.preprocess(TABLE))


def test_kinds_of_pandas_are_those_of_its_columns():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(TABLE).astype({"age": "Int64", "gender": "category"})
    frame["code"] = pandas.Categorical([801, 802] * 10)
    encoder = from_table(frame, "approved").preprocess
    assert encoder.inputs == (
        "age", "age is missing", "gender=female", "gender=male", "gender is missing", "debt",
        "owner", "owner is missing", "code=801", "code=802",
    )  # fmt: skip
    frame["joined"] = pandas.to_datetime(["2020-01-02"] * 20)
    frame["age "] = frame["age"]
    with pytest.raises(DataError, match=r"1 of 6 columns .*'joined' holds dates, .*; replace it"):
        from_table(frame.drop(columns="age "), "approved")
    with pytest.raises(DataError, match=r"has \['age'\] more than once; rename"):
        from_table(frame.rename(columns={"age ": "age"}), "approved")


def test_a_lazy_frame_says_how_to_collect_it():
    polars = pytest.importorskip("polars")
    with pytest.raises(DataError, match=r"but got LazyFrame; call its collect\(\)"):
        from_table(polars.DataFrame(TABLE).lazy(), "approved")


def test_a_dataset_of_hugging_face_is_streamed_as_it_is():
    hub = pytest.importorskip("datasets")
    features = hub.Features({"image": hub.Image(), "label": hub.ClassLabel(names=["cat", "dog"])})
    rows = {"image": [Image.fromarray(p) for p in PICTURES], "label": LABELS}
    hugging = hub.Dataset.from_dict(rows, features=features)
    dataset = from_dataset(hugging, test=hugging)
    assert dataset.classes == ("cat", "dog")
    assert dataset.checksums["train fingerprint"] == hugging._fingerprint
    np.testing.assert_array_equal(everything(dataset.train).x, PICTURES)
    np.testing.assert_array_equal(everything(dataset.test).y, LABELS)
    with pytest.raises(DataError, match=r"got the splits \['train'\]; pass dataset\[\"train\"\]"):
        from_dataset(hub.DatasetDict({"train": hugging}))
    with pytest.raises(DataError, match="but got a IterableDataset; load it without streaming"):
        from_dataset(hugging.to_iterable_dataset())


def test_a_dataset_of_pytorch_is_streamed_with_its_channels_last():
    torch = pytest.importorskip("torch")
    tensors = torch.tensor(PICTURES).permute(0, 3, 1, 2), torch.tensor(LABELS)
    whole = torch.utils.data.TensorDataset(*tensors)
    for rows in (whole, torch.utils.data.Subset(whole, range(12))):
        dataset = from_dataset(rows, test=rows)
        np.testing.assert_array_equal(everything(dataset.train).x, PICTURES)
        np.testing.assert_array_equal(everything(dataset.train).y, LABELS)
        assert dataset.classes == ("0", "1")
