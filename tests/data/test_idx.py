"""The IDX reader returns the file's array or raises DataError, for any content."""

import gzip
import hashlib
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxnets.data import DataError
from jaxnets.data.idx import LIMIT, read

arrays = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3, max_side=6))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("idx")


def write(path, content):
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@given(array=arrays, name=st.sampled_from(["raw", "packed.gz"]))
def test_reading_returns_the_array_and_the_checksum_of_the_unpacked_content(
    folder, as_idx, array, name
):
    content = as_idx(array)
    read_array, sha256 = read(write(folder / name, content), array.ndim)
    np.testing.assert_array_equal(read_array, array)
    assert read_array.dtype == np.uint8
    assert sha256 == hashlib.sha256(content).hexdigest()


def test_the_array_is_read_only(tmp_path, as_idx):
    array, _ = read(write(tmp_path / "raw", as_idx(np.zeros(3, np.uint8))), 1)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1


@given(content=st.binary(max_size=64), rank=st.integers(1, 3), name=st.sampled_from(["r", "r.gz"]))
def test_random_bytes_raise_only_data_errors(folder, content, rank, name):
    path = folder / name
    path.write_bytes(content)
    try:
        array, _ = read(path, rank)
    except DataError as error:
        assert str(path) in str(error)
    else:
        assert content == content[: 4 + 4 * rank] + array.tobytes()


@given(data=st.data(), array=arrays)
def test_a_changed_byte_is_refused_in_a_raw_header_and_read_in_the_values(
    folder, as_idx, data, array
):
    content = bytearray(as_idx(array))
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path = write(folder / "changed", bytes(content))
    if at < 4 + 4 * array.ndim:
        with pytest.raises(DataError, match="changed"):
            read(path, array.ndim)
    else:
        assert (read(path, array.ndim)[0] != array).sum() == 1


@given(data=st.data(), array=arrays)
def test_a_changed_byte_in_a_gz_is_refused_or_changes_nothing(folder, as_idx, data, array):
    packed = bytearray(gzip.compress(as_idx(array)))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    path = folder / "changed.gz"
    path.write_bytes(packed)
    try:
        read_array, _ = read(path, array.ndim)
    except DataError:
        return
    np.testing.assert_array_equal(read_array, array)


@given(data=st.data(), array=arrays, packed=st.booleans())
def test_a_truncated_file_is_refused(folder, as_idx, data, array, packed):
    content = gzip.compress(as_idx(array)) if packed else as_idx(array)
    path = folder / ("short.gz" if packed else "short")
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    with pytest.raises(DataError, match="short"):
        read(path, array.ndim)


@pytest.mark.parametrize("name", ["long", "long.gz"])
def test_bytes_after_the_values_are_refused(tmp_path, as_idx, name):
    path = write(tmp_path / name, as_idx(np.zeros(3, np.uint8)) + b"!")
    with pytest.raises(DataError, match=r"has more values, but its header says 3"):
        read(path, 1)


@pytest.mark.parametrize(
    ("magic", "wrong"),
    [(b"\1\0\x08\1", "magic"), (b"\0\0\x0d\1", "float32"), (b"\0\0\x08\3", "rank")],
)
def test_another_magic_number_type_or_rank_is_refused_with_the_actual_and_expected_header(
    tmp_path, magic, wrong
):
    path = write(tmp_path / wrong, magic + struct.pack(">I", 3) + b"abc")
    with pytest.raises(DataError, match=f"{magic.hex(' ')}.* starts with 00 00 08 01"):
        read(path, 1)


@pytest.mark.parametrize("name", ["huge", "huge.gz"])
@pytest.mark.parametrize(
    ("count", "message"),
    [(LIMIT // 784, "has only 784 values, .*"), (2**32 - 1, "has the shape .*")],
)
def test_a_header_with_too_large_a_shape_allocates_nothing(tmp_path, name, count, message):
    path = write(tmp_path / name, struct.pack(">HBB3I", 0, 8, 3, count, 28, 28) + bytes(784))
    assert peak_memory_of_failed_read(path, 3, f"{message}{count}") < 4 * 2**20


def test_a_gz_that_unpacks_to_more_than_its_header_says_is_not_unpacked(tmp_path, as_idx):
    path = write(tmp_path / "bomb.gz", as_idx(np.zeros(3, np.uint8)) + bytes(2**25))
    assert peak_memory_of_failed_read(path, 1, "has more values, but its header says 3") < 4 * 2**20


def peak_memory_of_failed_read(path, rank, message):
    """The peak memory in bytes of a read that fails."""
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message):
            read(path, rank)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_folder_instead_of_a_file_is_a_data_error(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path, 1)
