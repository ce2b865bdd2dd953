"""Fuzzing: for any content, a reader returns a value or raises its own error.

JAXNETS_FUZZ=10000 python -m pytest -n 0 tests/fuzz   # ten thousand files for each reader
"""

import gzip
import hashlib
import json
import os
import tracemalloc
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from readers import ARFF, TS

from jaxnets.data import DataError, read_series
from jaxnets.data.idx import read
from jaxnets.interop import safetensors
from jaxnets.training import CheckpointError, Checkpoints

FILES = settings(
    max_examples=int(os.environ.get("JAXNETS_FUZZ", "200")),
    deadline=None,
    derandomize="JAXNETS_FUZZ" not in os.environ,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
PEAK = 2**23  # bytes of memory for a file of a few kilobytes
ARRAYS = {"fc1/kernel": np.ones((3, 4), np.float32), "step": np.array(7, np.int32)}
TREE = {"fc1": {"kernel": jnp.ones((3, 4))}, "step": jnp.int32(7)}
CORPUS = Path(__file__).parent / "corpus"  # files that were read incorrectly once, or might be


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def checkpoint(folder):
    """The bytes of a valid checkpoint of step 1."""
    with Checkpoints(folder) as checkpoints:
        checkpoints.save(1, TREE, {"seed": 0}, score=0.5)
    return (folder / "step-00000001.safetensors").read_bytes()


def bounded(function, *arguments, error):
    """The function's result, or None if it raises its own error; checks the memory."""
    tracemalloc.start()  # only here: it slows down everything
    try:
        return function(*arguments)
    except error as raised:
        assert str(arguments[0]) in str(raised)
        return None
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < PEAK


def signed(content):
    """The content with a correct SHA-256, as an attacker would make it."""
    start = content.find(b'"sha256":"') + len(b'"sha256":"')
    if start < 10:
        return content
    zeroed = content[:start] + b"0" * 64 + content[start + 64 :]
    return zeroed[:start] + hashlib.sha256(zeroed).hexdigest().encode() + zeroed[start + 64 :]


@st.composite
def mutations(draw, content):
    """The content with some bytes changed, inserted, repeated or removed."""
    content = bytearray(content)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content)))
        length = draw(st.sampled_from([0, 1, 1, 2, 4, 8, 64]))
        new = draw(st.one_of(st.binary(max_size=8), st.just(bytes(content[at : at + length]) * 2)))
        content[at : at + length] = new
    return bytes(content)


numbers = st.sampled_from([0, 1, -1, 0.5, 48, 52, 2**31, 2**63, 2**64, 10**30, None, True, "1", []])
names = st.sampled_from(["fc1/kernel", "step", "", "/", "a", "a/b", "../../x", "\0", "é", "sha256"])
values = st.recursive(numbers | names, lambda inner: st.lists(inner, max_size=4))
entries = st.fixed_dictionaries(
    {
        "dtype": st.sampled_from(["F32", "I32", "BF16", "F8_E5M2", "F4", "F6_E2M3", "X", ""])
        | values,
        "shape": st.lists(numbers, max_size=4) | values,
        "data_offsets": st.lists(numbers, min_size=2, max_size=2) | values,
    }
)
strings = st.one_of(
    names,
    st.sampled_from(["{}", "null", "NaN", "[" * 5000, "9" * 5000, "-1", '{"step": "rbg"}']),
    values.map(json.dumps),
)


@st.composite
def headers(draw, content):
    """A checkpoint with some entries of its header replaced, and a correct or incorrect length."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    for _ in range(draw(st.integers(1, 3))):
        if draw(st.booleans()):
            field = draw(st.sampled_from([*sorted(header["__metadata__"]), "new"]))
            header["__metadata__"][field] = draw(strings)
        else:
            header[draw(names)] = draw(entries)
    text = json.dumps(header, separators=(",", ":")).encode()
    claimed = draw(st.sampled_from([len(text)] * 8 + [len(text) + 1, 0, 2**40, 2**64 - 1]))
    return claimed.to_bytes(8, "little") + text + content[8 + length :]


@FILES
@given(data=st.data())
def test_any_checkpoint_is_restored_or_refused(folder, checkpoint, data):
    kind = data.draw(st.sampled_from(["mutated", "header", "random"]))
    content = data.draw(
        {
            "mutated": mutations(checkpoint),
            "header": headers(checkpoint),
            "random": st.binary(max_size=200),
        }[kind]
    )
    restored = restore(folder, signed(content) if data.draw(st.booleans()) else content)
    if restored is not None:  # then the checksum is correct and the structure is unchanged
        assert restored.step == 1
        assert isinstance(restored.metadata, dict)
        assert restored.tree["fc1"]["kernel"].shape == (3, 4)


def restore(folder, content):
    path = folder / "step-00000001.safetensors"
    path.write_bytes(content)

    def read(path):
        return Checkpoints(path.parent).restore(TREE, step=1)

    return bounded(read, path, error=CheckpointError)


@FILES
@given(data=st.data())
def test_any_safetensors_file_is_loaded_or_refused(folder, checkpoint, data):
    content = data.draw(st.one_of(mutations(checkpoint), headers(checkpoint), st.binary()))
    path = folder / "tree.safetensors"
    path.write_bytes(content)
    tree = bounded(safetensors.load, path, error=ValueError)
    assert tree is None or isinstance(tree, dict)


@FILES
@given(data=st.data())
def test_any_idx_file_is_read_or_refused(folder, data):
    rank = data.draw(st.integers(1, 3))
    lengths = data.draw(
        st.lists(st.sampled_from([0, 1, 2, 3, 2**16, 2**31, 2**32 - 1]), max_size=4)
    )
    header = bytes([0, 0, 8, rank]) + b"".join(length.to_bytes(4, "big") for length in lengths)
    content = header + data.draw(st.binary(max_size=30))
    if data.draw(st.booleans()):
        content = data.draw(mutations(content))
    packed = data.draw(st.booleans())
    if packed:
        content = gzip.compress(content, 1) + data.draw(st.sampled_from([b"", b"\0", b"\x1f\x8b"]))
        if data.draw(st.booleans()):
            content = data.draw(mutations(content))
    path = folder / ("fuzzed.gz" if packed else "fuzzed")
    path.write_bytes(content)
    actual = bounded(read, path, rank, error=DataError)
    if actual is not None:
        array, sha256 = actual
        whole = bytes([0, 0, 8, rank]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()
        assert sha256 == hashlib.sha256(whole).hexdigest()


lines = st.sampled_from(
    [
        *["@data", "@classLabel true", "@attribute a relational", "@end a", "%", "'", "\x1b"],
        *[
            "1,?,one",
            "nan:1:one",
            ":one",
            "9" * 5000 + ":one",
            "1," * 3000 + "1:1:one",
            "1:" * 3000,
        ],
    ]
)


@FILES
@given(data=st.data())
def test_any_file_of_series_is_read_or_refused(folder, data):
    suffix, text = data.draw(st.sampled_from([(".ts", TS), (".arff", ARFF)]))
    rows = text.split("\n")
    for _ in range(data.draw(st.integers(0, 2))):
        rows.insert(data.draw(st.integers(0, len(rows))), data.draw(lines))
    content = "\n".join(rows).encode()
    content = data.draw(st.one_of(st.just(content), mutations(content), st.binary(max_size=200)))
    if data.draw(st.booleans()):
        content, suffix = gzip.compress(content, 1), f"{suffix}.gz"
    path = folder / f"fuzzed{suffix}"
    path.write_bytes(content)
    series = bounded(read_series, path, error=DataError)
    if series is not None:
        n, time, channels = series.values.shape
        assert n >= 1 and channels >= 1 and time == series.lengths.max()
        assert np.isfinite(series.values).all() and series.lengths.min() >= 1
        assert series.y.min() >= 0 and series.y.max() < len(series.classes)


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_the_corpus_is_refused(folder, path):
    content = path.read_bytes()
    if path.suffix == ".safetensors":
        assert restore(folder, content) is None
        assert bounded(safetensors.load, path, error=ValueError) is None or "signed" in path.name
    else:
        assert bounded(read, path, 3, error=DataError) is None
