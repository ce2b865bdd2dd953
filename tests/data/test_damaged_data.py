"""Published data sets with flipped bits or truncations: either an error, or the correct data."""

import gzip
import os

import numpy as np
import pytest

from jaxnets.data import DataError, catalogue
from jaxnets.data.catalogue import File
from jaxnets.data.files import locate, read_published
from jaxnets.data.idx import read

GZ_HEADER = 10 + len("x") + 1  # bytes: time, system and name do not affect the content


@pytest.fixture
def small(tmp_path, write_set):
    """A function that loads a small published data set, packed as .gz."""
    arrays = write_set(tmp_path, gz=True, train=2, test=1)
    files = tuple(
        File(name, array.shape, 0, "", read(tmp_path / f"{name}.gz", array.ndim)[1])
        for name, array in zip(
            [file.name for file in catalogue.MNIST.files], arrays.values(), strict=True
        )
    )
    published = catalogue.MNIST._replace(files=files)

    def load():
        return read_published(published, locate(published, [tmp_path]), "a test", "Mend it.")

    return load


@pytest.fixture
def packed(tmp_path):
    return tmp_path / "train-images-idx3-ubyte.gz"


def write_anew(path, content):
    """Write a new file: to overwrite one can take milliseconds on ext4."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def test_none_of_a_thousand_flipped_bits_changes_the_loaded_data(small, packed):
    whole, rng, loaded = packed.read_bytes(), np.random.default_rng(0), 0
    for bit in rng.choice(8 * len(whole), 1000, replace=False):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        write_anew(packed, content)
        try:
            dataset = small()
        except DataError as error:
            assert str(packed) in str(error)
            assert str(error).endswith("Mend it.")
        else:
            assert bit // 8 < GZ_HEADER  # where the content is not affected
            assert dataset.checksums["train-images-idx3-ubyte"]
            loaded += 1
    assert loaded < 20


def test_a_thousand_truncations_are_all_refused(small, packed):
    whole = packed.read_bytes()
    for length in np.random.default_rng(0).choice(len(whole), 1000, replace=False):
        write_anew(packed, whole[:length])
        with pytest.raises(DataError, match=r"train-images.*Mend it"):
            small()


def test_a_raw_file_with_any_of_a_thousand_flipped_bits_is_refused(small, packed, tmp_path):
    whole, raw = gzip.decompress(packed.read_bytes()), tmp_path / "train-images-idx3-ubyte"
    for bit in np.random.default_rng(0).choice(8 * len(whole), 1000, replace=False):
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        write_anew(raw, content)
        with pytest.raises(DataError, match="Mend it"):
            small()


@pytest.mark.parametrize("name", ["pipe", "pipe.gz"])
def test_a_pipe_instead_of_a_file_is_refused_without_blocking(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="not a regular file"):
        read(tmp_path / name, 1)
