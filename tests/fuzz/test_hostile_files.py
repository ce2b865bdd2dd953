"""Hostile files for every reader: a one-line error, quickly and in little memory."""

import gzip
import json
import os
import struct
import time
import tracemalloc

import numpy as np
import pytest
from readers import JSON, READERS, Reader

from experiments.bench import plots
from experiments.folder import cut
from jaxnets import files
from jaxnets.data import DataError, catalogue, idx, load
from jaxnets.data.catalogue import File
from jaxnets.errors import JSONError
from jaxnets.json_files import read, read_lines

PEAK = 2**23  # bytes; the files have a few kilobytes, or a header that says gigabytes
SECONDS = 10.0  # a file takes milliseconds, but the machine may be busy


def named(readers):
    return pytest.mark.parametrize("reader", readers, ids=lambda reader: reader.name)


@pytest.fixture
def whole(tmp_path, monkeypatch):
    """A function that writes a valid file for a reader and returns its path."""
    monkeypatch.setattr(plots, "POPULATION", plots.POPULATION)  # to be restored

    def whole(reader):
        path = tmp_path / reader.name
        reader.write(path)
        reader.read(path)
        return path

    return whole


def answer(reader, path):
    """The reader's one-line error, which names the file; None if it reads the file."""
    tracemalloc.start()  # only here: it slows down everything
    began = time.monotonic()
    try:
        reader.read(path)
    except (reader.error, OSError) as error:
        message = str(error)
        listing = "other options" in message  # lists the differences of two valid runs
        assert all(line.isprintable() for line in (message.splitlines() if listing else [message]))
        assert str(path.parent) in message
        return message
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < PEAK
        assert time.monotonic() - began < SECONDS
    return None


@named(READERS)
@pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98])
def test_a_truncated_file_is_refused(reader, share, whole):
    path = whole(reader)
    content = path.read_bytes().removesuffix(b"\n")
    path.write_bytes(content[: int(share * len(content))])
    refused = answer(reader, path) is not None
    assert refused or (reader.name == "any.jsonl" and share == 0.5)  # in the line break


@named(READERS)
def test_a_file_with_a_flipped_bit_is_read_or_refused(reader, whole):
    path = whole(reader)
    content = path.read_bytes()
    for bit in np.random.default_rng(0).choice(8 * len(content), 100):
        flipped = bytearray(content)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        answer(reader, path)


@named(READERS)
@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\n", id="an empty line"),
        pytest.param(bytes(1_000), id="zeros"),
        pytest.param(b"\xff" * 1_000, id="ones, which claim 2**64 bytes"),
        pytest.param(b"\xef\xbb\xbf{}", id="a byte order mark"),
        pytest.param('{"a": "é"}'.encode("latin-1"), id="not UTF-8"),
        pytest.param('{"a": 1}'.encode("utf-16"), id="UTF-16"),
        pytest.param(b"<html>404 Not Found</html>", id="another format"),
        pytest.param(b"[" * 100_000, id="100,000 brackets"),
        pytest.param(b'{"a":' * 100_000, id="100,000 objects"),
        pytest.param(b'{"a": ' + b"[" * 101 + b"]" * 101 + b"}", id="102 deep"),
        pytest.param(b'{"a": NaN}', id="NaN"),
        pytest.param(b'{"a": -Infinity}', id="infinity"),
        pytest.param(b'{"a": 1e999}', id="beyond float64"),
        pytest.param(b'{"a": ' + b"9" * 5_000 + b"}", id="5,000 digits"),
        pytest.param(b'{"a": 1' + b"0" * 308 + b"0}", id="an integer beyond float64"),
        pytest.param(b'{"a": 1, "a": 2}', id="a name twice"),
        pytest.param(b'["\x1b[2J"]', id="a control character"),
        pytest.param(rb'["\u001b[2J\n"]', id="an escaped control character"),
        pytest.param(rb'{"\u001b[2J\n": "\u001b[2J"}' * 2, id="escape sequences"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"3", id="a number"),
        pytest.param(b"{} {}", id="two values"),
    ],
)
def test_an_invalid_file_is_refused(reader, content, whole):
    path = whole(reader)
    path.write_bytes(content)
    assert answer(reader, path)


@named(READERS)
@pytest.mark.parametrize("kind", ["a folder", "a pipe", "an endless device", "nothing", "a loop"])
def test_a_pipe_or_a_device_is_refused_quickly(reader, kind, whole):
    path = whole(reader)
    path.unlink()
    make = {
        "a folder": os.mkdir,
        "a pipe": os.mkfifo,
        "an endless device": lambda path: os.symlink("/dev/zero", path),
        "nothing": lambda path: None,
        "a loop": lambda path: os.symlink(path, path),
    }[kind]
    make(path)
    if kind in ("nothing", "a loop") and reader.name == "result.json":
        assert reader.read(path) == {}  # a seed without results
    else:
        assert answer(reader, path)


@named(READERS)
def test_an_unreadable_file_is_refused(reader, whole, monkeypatch):
    path = whole(reader)
    usual = os.open

    def refuse(name, *arguments, **options):
        if str(name) == str(path):
            raise PermissionError(13, "Permission denied", str(path))
        return usual(name, *arguments, **options)

    monkeypatch.setattr(files.os, "open", refuse)
    assert "Permission denied" in answer(reader, path)


@named(READERS)
def test_a_file_of_gigabytes_is_refused_without_reading_it(reader, whole):
    path = whole(reader)
    os.truncate(path, 2**33)  # sparse: it takes no disk space
    assert answer(reader, path)


@named(JSON)
def test_entries_of_the_wrong_type_are_read_or_refused(reader, whole):
    path = whole(reader)
    lines = path.read_text(encoding="utf-8").splitlines()
    refused = 0
    for row, line in enumerate(lines):
        entries = json.loads(line)
        for name in entries:
            for value in (None, True, -1, 1e300, "x", "\x1b[2J", [], [[]], {}, {"": []}):
                changed = json.dumps(entries | {name: value})
                path.write_text("\n".join([*lines[:row], changed, *lines[row + 1 :]]) + "\n")
                refused += answer(reader, path) is not None
            del (without := dict(entries))[name]
            path.write_text(
                "\n".join([*lines[:row], json.dumps(without), *lines[row + 1 :]]) + "\n"
            )
            refused += answer(reader, path) is not None
    assert refused or reader.name in ("any.json", "any.jsonl")


def test_a_file_or_line_above_the_limit_is_refused_with_the_limit(tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    path.write_text('{"name": "value"}\n')
    monkeypatch.setattr("jaxnets.json_files.LINE_LIMIT", 10)
    monkeypatch.setattr("jaxnets.json_files.FILE_LIMIT", 11)
    with pytest.raises(JSONError, match="line 1, is damaged: it has more than 10 bytes; -"):
        list(read_lines(path, cure="-"))
    with pytest.raises(JSONError, match="it has 18 bytes, but the limit is 11; -"):
        read(path, cure="-")


def test_a_log_is_truncated_before_hostile_lines(tmp_path):
    log = tmp_path / "metrics.jsonl"
    for line in (
        b"[" * 100_000,
        b'{"step": NaN}',
        b'{"step": 1, "step": 2}',
        b"\xff",
        b'{"step": {}}',
    ):
        log.write_bytes(b'{"step": 10}\n' + line + b"\n")
        cut(log, 40)
        assert log.read_bytes() == b'{"step": 10}\n'


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The download cache with a small published data set and without mirrors, and its reader."""
    images, labels = (2, 28, 28), (2,)
    folder = tmp_path / "jaxnets" / "mnist"
    folder.mkdir(parents=True)
    published = []
    for file in catalogue.MNIST.files:
        shape = images if "images" in file.name else labels
        content = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + bytes(
            np.prod(shape)
        )
        (folder / file.gz_name).write_bytes(gzip.compress(content, mtime=0))
        _, sha256 = idx.read(folder / file.gz_name, len(shape))
        published.append(File(file.name, shape, 0, "", sha256))
    small = catalogue.MNIST._replace(files=tuple(published), mirrors=())
    monkeypatch.setitem(catalogue.CATALOGUE, "mnist", small)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Reader(
        folder / published[0].gz_name, None, lambda _: load("mnist", source="download"), DataError
    )


def test_a_damaged_file_in_the_cache_is_refused_with_the_cure(cache):
    path, whole = cache.name, cache.name.read_bytes()
    assert answer(cache, path) is None
    damages = [b"", whole[:9], whole[: len(whole) // 2], whole[:-1], whole + b"x", b"[" * 1_000]
    damages += [whole[:20] + bytes([whole[20] ^ 1]) + whole[21:]]
    for damage in damages:
        path.write_bytes(damage)
        assert "Delete this file" in answer(cache, path)
    path.write_bytes(whole)
    os.truncate(path, 2**33)
    assert "Delete this file" in answer(cache, path)
