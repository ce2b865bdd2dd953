"""Data sets in a user's folder: PyTorch's names and folders, and one-line errors."""

import gzip

import numpy as np
import pytest

from jaxnets.data import DataError, load


@pytest.mark.parametrize("gz", [False, True], ids=["raw", "gz"])
@pytest.mark.parametrize("dotted", [False, True], ids=["-idx", ".idx"])
@pytest.mark.parametrize(
    ("name", "inside", "named"),
    [
        ("mnist", "MNIST/raw", ""),
        ("mnist", "MNIST/raw", "MNIST"),
        ("mnist", "MNIST/raw", "MNIST/raw"),
        ("fashion_mnist", "FashionMNIST/raw", ""),
        ("mnist", "", ""),
    ],
)
def test_files_load_from_pytorchs_folders_and_with_a_dot_in_their_names(
    tmp_path, write_set, gz, dotted, name, inside, named
):
    arrays = write_set(tmp_path / inside, gz=gz)
    for path in list((tmp_path / inside).iterdir()) if dotted else []:
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    dataset = load(name, data_dir=tmp_path / named)
    np.testing.assert_array_equal(dataset.train.x[..., 0], arrays["train_images"])
    np.testing.assert_array_equal(dataset.test.y, arrays["t10k_labels"])


def test_both_pytorch_data_sets_in_one_folder_are_distinguished(tmp_path, write_set):
    digits = write_set(tmp_path / "MNIST" / "raw", seed=1)
    clothes = write_set(tmp_path / "FashionMNIST" / "raw", seed=2)
    for name, arrays in (("mnist", digits), ("fashion_mnist", clothes)):
        actual = load(name, data_dir=tmp_path).train.y
        np.testing.assert_array_equal(actual, arrays["train_labels"])


@pytest.mark.parametrize(
    "damage",
    [b"\0\0\x08\1", b"\0\0\x0d\3", b"\1\0\x08\3", b"\0\0\x08\3\xff\xff\xff\xff"],
    ids=["rank", "float32", "magic", "size"],
)
@pytest.mark.parametrize("gz", [False, True], ids=["raw", "gz"])
def test_an_invalid_header_is_a_one_line_error_with_the_file_and_the_cure(
    tmp_path, write_set, damage, gz
):
    write_set(tmp_path, gz=gz)
    path = tmp_path / ("train-images-idx3-ubyte" + (".gz" if gz else ""))
    content = gzip.decompress(path.read_bytes()) if gz else path.read_bytes()
    content = damage + content[len(damage) :]
    path.write_bytes(gzip.compress(content) if gz else content)
    with pytest.raises(DataError, match=f"{path} .*correct it, or choose another folder") as raised:
        load("mnist", data_dir=tmp_path)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("folder", [5, b"/tmp", ["a"]])
def test_a_data_dir_that_is_not_a_path_is_refused(folder):
    with pytest.raises(DataError, match="data_dir must be the path of a folder, but is"):
        load("mnist", data_dir=folder)


@pytest.mark.parametrize("name", [5, None, ["mnist"]])
def test_a_name_that_is_not_a_string_is_refused(name):
    with pytest.raises(DataError, match=r"choose from mnist, fashion_mnist"):
        load(name)


def test_the_name_of_a_folder_is_escaped_in_messages(tmp_path, write_set):
    folder = tmp_path / "a\x1b[2J"
    write_set(folder, t10k_labels=np.zeros(3, np.uint8))
    with pytest.raises(DataError) as raised:
        load("mnist", data_dir=folder)
    assert str(raised.value).isprintable()
