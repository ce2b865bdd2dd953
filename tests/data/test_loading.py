"""Loading data sets: published files, user files, and errors with cures."""

import gzip
import importlib.resources
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from jaxnets.data import DataError, catalogue, load

ROOT = Path(__file__).parents[2]
PACKAGED = ROOT / "jaxnets" / "data" / "mnist"
FASHION_FOLDERS = [ROOT.parent / "shared" / "datasets"]
FASHION_FOLDERS += [Path(folder) for folder in [os.environ.get("JAXNETS_DATA_DIR")] if folder]


@pytest.fixture(scope="module")
def mnist():
    return load("mnist", source="packaged")


@pytest.fixture
def fashion_folder():
    for folder in FASHION_FOLDERS:
        if any((folder / name).is_dir() for name in catalogue.FASHION_MNIST.folders):
            return folder
    pytest.skip(f"the Fashion-MNIST files are not in {' or '.join(map(str, FASHION_FOLDERS))}")


@pytest.fixture
def package_copy(monkeypatch, tmp_path):
    """A copy of the packaged files that is used in their place."""
    monkeypatch.setattr(importlib.resources, "files", lambda _: tmp_path)
    return Path(shutil.copytree(PACKAGED, tmp_path / "mnist"))


def test_packaged_mnist_has_the_expected_shapes_dtypes_and_checksums(mnist):
    assert mnist.train.x.shape == (60_000, 28, 28, 1)
    assert mnist.test.x.shape == (10_000, 28, 28, 1)
    for split in (mnist.train, mnist.test):
        assert split.x.dtype == np.uint8
        assert split.y.dtype == np.int32
        assert split.y.shape == split.x.shape[:1]
    assert mnist.name == "mnist"
    assert mnist.source == "packaged with jaxnets"
    assert mnist.classes == tuple("0123456789")
    assert mnist.checksums == catalogue.MNIST.checksums


def test_packaged_mnist_has_the_published_class_counts_and_brightness(mnist):
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    np.testing.assert_array_equal(np.bincount(mnist.train.y), train)
    np.testing.assert_array_equal(np.bincount(mnist.test.y), test)
    assert mnist.train.x.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert mnist.train.x.std() / 255 == pytest.approx(0.3081, abs=5e-5)


def test_loaded_arrays_are_read_only(mnist):
    for array in (*mnist.train, *mnist.test):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


def test_fashion_mnist_has_the_expected_shapes_class_counts_and_checksums(fashion_folder):
    fashion = load("fashion_mnist", data_dir=fashion_folder)
    assert fashion.train.x.shape == (60_000, 28, 28, 1)
    np.testing.assert_array_equal(np.bincount(fashion.train.y), [6_000] * 10)
    np.testing.assert_array_equal(np.bincount(fashion.test.y), [1_000] * 10)
    assert fashion.checksums == catalogue.FASHION_MNIST.checksums
    assert fashion.source.endswith("(as published)")
    assert fashion.classes[9] == "Ankle boot"


@pytest.mark.parametrize("gz", [False, True], ids=["raw", "gz"])
@pytest.mark.parametrize("inside", ["", "fashion_mnist", "fashion-mnist"])
def test_user_files_load_from_the_folder_or_a_subfolder(tmp_path, write_set, gz, inside):
    arrays = write_set(tmp_path / inside, gz=gz)
    dataset = load("fashion_mnist", data_dir=str(tmp_path))
    np.testing.assert_array_equal(dataset.train.x[..., 0], arrays["train_images"])
    np.testing.assert_array_equal(dataset.train.y, arrays["train_labels"])
    np.testing.assert_array_equal(dataset.test.x[..., 0], arrays["t10k_images"])
    np.testing.assert_array_equal(dataset.test.y, arrays["t10k_labels"])
    own = "your own: structure checked, content not"
    assert dataset.source == f"IDX files in {tmp_path / inside} ({own})"


def test_user_files_with_the_published_content_are_recognised():
    dataset = load("mnist", data_dir=PACKAGED.parent)
    assert dataset.source == f"IDX files in {PACKAGED} (as published)"


def test_the_subfolder_of_the_data_set_has_priority_over_the_folder(tmp_path, write_set):
    write_set(tmp_path, seed=1)
    arrays = write_set(tmp_path / "mnist", seed=2)
    np.testing.assert_array_equal(load("mnist", data_dir=tmp_path).train.y, arrays["train_labels"])


def test_the_files_of_another_data_set_are_refused(tmp_path):
    with pytest.raises(DataError, match=f"{PACKAGED} contains mnist, not fashion_mnist"):
        load("fashion_mnist", data_dir=PACKAGED)


def test_a_label_out_of_range_is_named_with_its_row_and_file(tmp_path, write_set):
    labels = np.arange(10, dtype=np.uint8)
    labels[3] = 10
    write_set(tmp_path, test=10, t10k_labels=labels)
    expected = (
        f"{tmp_path / 't10k-labels-idx1-ubyte'} has the label 10 in row 3; mnist has 10 classes, "
        "0 to 9. For your own files only the structure is checked"
    )
    with pytest.raises(DataError, match=re.escape(expected)):
        load("mnist", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("images", "labels"),
    [((20, 28, 28), (19,)), ((20, 32, 32), (20,)), ((0, 28, 28), (0,))],
    ids=["a label too few", "other images", "none at all"],
)
def test_images_and_labels_that_do_not_fit_are_refused_with_their_shapes(
    tmp_path, write_set, images, labels
):
    write_set(
        tmp_path, train_images=np.zeros(images, np.uint8), train_labels=np.zeros(labels, np.uint8)
    )
    with pytest.raises(DataError, match=re.escape(f"{labels} for images of shape {images}")):
        load("mnist", data_dir=tmp_path)


def test_a_missing_file_is_refused_by_name(tmp_path, write_set):
    write_set(tmp_path)
    (tmp_path / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"only a part of .*, without train-labels-idx1-ubyte"):
        load("mnist", data_dir=tmp_path)


def test_a_data_dir_without_the_data_set_is_an_error(tmp_path):
    with pytest.raises(DataError, match=re.escape(f"{tmp_path / 'mnist'} or {tmp_path} or ")):
        load("mnist", data_dir=tmp_path)


def test_a_folder_that_does_not_exist_is_an_error(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="nowhere, set by data_dir, is not a folder"):
        load("mnist", data_dir=tmp_path / "nowhere")
    monkeypatch.setenv("JAXNETS_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match="nowhere, set by the environment variable"):
        load("mnist")


def test_the_folder_in_the_environment_has_priority_over_the_package(
    tmp_path, monkeypatch, write_set
):
    arrays = write_set(tmp_path / "mnist")
    monkeypatch.setenv("JAXNETS_DATA_DIR", str(tmp_path))
    np.testing.assert_array_equal(load("mnist").test.y, arrays["t10k_labels"])


def test_a_folder_in_the_environment_without_the_data_set_is_skipped(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXNETS_DATA_DIR", str(tmp_path))
    assert load("mnist").source == "packaged with jaxnets"


def test_data_dir_has_priority_over_the_environment(tmp_path, monkeypatch, write_set):
    monkeypatch.setenv("JAXNETS_DATA_DIR", str(PACKAGED.parent))
    write_set(tmp_path)
    assert str(tmp_path) in load("mnist", data_dir=tmp_path).source


def test_debians_files_load_and_must_have_the_published_content(tmp_path, write_set):
    shutil.copytree(PACKAGED, tmp_path / "debian" / "mnist")
    assert (
        load("mnist", source="debian").source == f"installed by Debian in {tmp_path}/debian/mnist"
    )
    write_set(tmp_path / "debian" / "fashion-mnist")
    with pytest.raises(DataError, match=r"as published\. Reinstall Debian's package"):
        load("fashion_mnist")


@pytest.mark.parametrize("damage", ["truncated", "flipped", "relabelled"])
def test_a_damaged_package_is_refused_with_the_cure(package_copy, damage):
    labels = package_copy / "t10k-labels-idx1-ubyte.gz"
    packed = bytearray(labels.read_bytes())
    if damage == "truncated":
        packed = packed[:2_000]
    elif damage == "flipped":
        packed[2_000] ^= 1
    else:  # a valid file with one changed label
        content = bytearray(gzip.decompress(packed))
        content[8] = (content[8] + 1) % 10
        packed = gzip.compress(content)
    labels.write_bytes(packed)
    with pytest.raises(DataError, match=rf"{labels} .*Reinstall jaxnets\."):
        load("mnist")


def test_an_unknown_data_set_or_source_is_refused_with_suggestions():
    with pytest.raises(
        DataError, match=r"'Fashion-MNIST'; .*mnist, fashion_mnist.*'fashion_mnist'\?"
    ):
        load("Fashion-MNIST")
    with pytest.raises(DataError, match=r"'packed'; .*idx, tfds, packaged, .*'packaged'\?"):
        load("mnist", source="packed")


def test_a_source_that_uses_no_folder_refuses_data_dir(tmp_path):
    with pytest.raises(DataError, match="'packaged' does not use data_dir"):
        load("mnist", source="packaged", data_dir=tmp_path)


def test_the_idx_source_without_a_folder_is_an_error():
    with pytest.raises(DataError, match="neither data_dir nor JAXNETS_DATA_DIR is set"):
        load("mnist", source="idx")
