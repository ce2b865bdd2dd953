"""TFDS data sets are prepared from local files and read, without TensorFlow or a network."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest

from jaxnets.data import DataError, load

ALONE = """
import socket, sys
def refuse(*_, **__): raise AssertionError("the network was asked")
socket.getaddrinfo = refuse
from jaxnets.data import load
assert "tensorflow_datasets" not in sys.modules
load("mnist", data_dir=sys.argv[1], source="tfds")
assert "tensorflow_datasets" in sys.modules
assert "tensorflow" not in sys.modules
"""


def rows(split):
    """The examples of a split, sorted."""
    return sorted((x.tobytes(), int(y)) for x, y in zip(*split, strict=True))


@pytest.fixture
def folder(tmp_path, write_set):
    write_set(tmp_path, train=1_200, test=50)  # more than one block, the last one partial
    return tmp_path


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_tfds_prepared_from_idx_files_has_the_same_rows(folder, name):
    idx = load(name, data_dir=folder)
    tfds = load(name, data_dir=folder, source="tfds")
    assert rows(tfds.train) == rows(idx.train)
    assert rows(tfds.test) == rows(idx.test)
    assert tfds.train.x.shape == (1_200, 28, 28, 1)
    assert tfds.train.x.dtype == np.uint8
    assert tfds.train.y.dtype == np.int32
    assert tfds.source == f"TFDS array_record in {folder / name / '3.0.1'}"
    assert tfds.checksums["test.y as an array"] == hashlib.sha256(tfds.test.y).hexdigest()
    assert not tfds.train.x.flags.writeable


def test_a_prepared_data_set_is_loaded_without_naming_the_source(folder):
    prepared = load("mnist", data_dir=folder, source="tfds")
    for file in folder.glob("*-ubyte"):
        file.unlink()
    again = load("mnist", data_dir=folder)
    assert again.checksums == prepared.checksums
    assert again.source == prepared.source


def test_without_a_folder_tfds_is_prepared_in_the_cache(folder, monkeypatch, tmp_path):
    monkeypatch.setattr("jaxnets.data.sources.AS_IDX", (lambda *_: load("mnist", data_dir=folder),))
    dataset = load("mnist", source="tfds")
    assert dataset.source.endswith(str(tmp_path / "cache" / "jaxnets" / "tfds" / "mnist" / "3.0.1"))


def test_another_file_format_is_refused_with_the_cure(folder):
    load("mnist", data_dir=folder, source="tfds")
    info = folder / "mnist" / "3.0.1" / "dataset_info.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"fileFormat": "tfrecord"}))
    with pytest.raises(DataError, match=r"cannot be read\. Delete it to prepare it again"):
        load("mnist", data_dir=folder, source="tfds")


def test_a_truncated_record_file_is_a_data_error(folder):
    load("mnist", data_dir=folder, source="tfds")
    (record,) = (folder / "mnist" / "3.0.1").glob("*train*")
    record.write_bytes(record.read_bytes()[:-1_000])
    with pytest.raises(DataError, match="cannot be read"):
        load("mnist", data_dir=folder, source="tfds")


def test_a_folder_that_is_not_writable_is_a_data_error(folder):
    (folder / "mnist").touch()
    with pytest.raises(DataError, match=r"cannot be prepared in .*Pass a writable data_dir"):
        load("mnist", data_dir=folder, source="tfds")


def test_without_the_package_the_error_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(DataError, match="Run `pip install tensorflow-datasets array-record"):
        load("mnist", data_dir=folder, source="tfds")


def test_preparing_and_reading_need_neither_tensorflow_nor_a_network(folder):
    ran = subprocess.run([sys.executable, "-c", ALONE, folder], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == ""
