"""Downloads from a local server: limits, checksums and retries."""

import os
import socket
import threading
import time

import pytest
from mirrors import BODY, FILE, UNREACHABLE, give

from jaxnets.data import DataError, catalogue, load
from jaxnets.data.download import fetch


def test_a_file_with_the_published_checksum_is_saved(mirror, tmp_path):
    fetch(FILE, (mirror.url,), tmp_path / "new")
    assert mirror.requests == ["/labels.gz"]
    assert (tmp_path / "new" / "labels.gz").read_bytes() == BODY
    assert os.listdir(tmp_path / "new") == ["labels.gz"]


@pytest.mark.parametrize("body", [b"X" + BODY[1:], BODY[:-1], b""], ids=["flip", "cut", "empty"])
def test_a_file_with_another_checksum_is_refused_and_not_saved(mirror, tmp_path, body):
    mirror.answer = give(body)
    with pytest.raises(ConnectionError, match=r"labels\.gz: its SHA-256 is not the published one"):
        fetch(FILE, (mirror.url,), tmp_path)
    assert os.listdir(tmp_path) == []


def test_an_endless_body_is_read_only_up_to_the_published_size(mirror, tmp_path):
    def without_end(handler):
        handler.send_response(200)
        handler.end_headers()
        with pytest.raises(OSError):  # the client closes the connection
            while True:
                handler.wfile.write(bytes(2**16))

    mirror.answer = without_end
    start = time.monotonic()
    with pytest.raises(ConnectionError, match="SHA-256"):
        fetch(FILE, (mirror.url,), tmp_path)
    assert time.monotonic() - start < 2
    assert os.listdir(tmp_path) == []


def test_a_server_that_fails_once_is_tried_again(mirror, tmp_path):
    answers = iter([give(b"busy", status=503), give(BODY)])
    mirror.answer = lambda handler: next(answers)(handler)
    fetch(FILE, (mirror.url,), tmp_path)
    assert len(mirror.requests) == 2
    assert (tmp_path / "labels.gz").read_bytes() == BODY


def test_a_server_that_fails_twice_is_not_tried_a_third_time(mirror, tmp_path):
    mirror.answer = give(b"", status=404)
    with pytest.raises(ConnectionError, match="404"):
        fetch(FILE, (mirror.url,), tmp_path)
    assert len(mirror.requests) == 2


def test_the_next_mirror_is_tried_if_one_is_unreachable(mirror, tmp_path):
    fetch(FILE, (UNREACHABLE, mirror.url), tmp_path)
    assert (tmp_path / "labels.gz").read_bytes() == BODY


def test_a_server_that_does_not_speak_http_is_a_failed_attempt(mirror, tmp_path):
    mirror.answer = lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH\r\n")
    with pytest.raises(ConnectionError, match=r"labels\.gz: "):
        fetch(FILE, (mirror.url,), tmp_path)


@pytest.mark.parametrize("stage", ["headers", "body"])
def test_a_server_that_hangs_times_out(mirror, tmp_path, stage):
    hold = threading.Event()

    def hang(handler):
        if stage == "body":
            handler.send_response(200)
            handler.end_headers()
            handler.wfile.flush()
        hold.wait(10)

    mirror.answer = hang
    start = time.monotonic()
    with pytest.raises(ConnectionError, match=r"timed out|no answer within"):
        fetch(FILE, (mirror.url,), tmp_path, timeout=0.1)
    assert time.monotonic() - start < 2
    hold.set()


def test_a_dns_lookup_that_hangs_times_out(monkeypatch, tmp_path):
    hold = threading.Event()

    def lookup(*_, **__):
        hold.wait(10)
        raise OSError("released")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    start = time.monotonic()
    with pytest.raises(ConnectionError, match=r"no answer within 0\.1 s"):
        fetch(FILE, ("http://one.invalid/", "http://two.invalid/"), tmp_path, timeout=0.1)
    assert time.monotonic() - start < 2
    hold.set()


def test_without_a_home_folder_the_error_names_the_variable_to_set(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("jaxnets.data.sources.Path.home", no_home)
    assert load("mnist").source == "packaged with jaxnets"
    with pytest.raises(DataError, match="no home folder; set XDG_CACHE_HOME"):
        load("mnist", source="download")


def test_a_folder_that_is_not_writable_is_a_data_error_with_a_cure(mirror, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be written: .* Set XDG_CACHE_HOME"):
        fetch(FILE, (mirror.url,), tmp_path / "file")


@pytest.fixture
def mnist_mirror(mirror, monkeypatch):
    """A mirror of the MNIST files that jaxnets packages."""
    packaged = os.path.join(os.path.dirname(catalogue.__file__), "mnist")

    def answer(handler):
        with open(packaged + handler.path, "rb") as file:
            give(file.read())(handler)

    mirror.answer = answer
    published = catalogue.CATALOGUE["mnist"]._replace(mirrors=(mirror.url,))
    monkeypatch.setitem(catalogue.CATALOGUE, "mnist", published)
    return mirror


def test_loading_downloads_each_file_once_and_then_reads_the_cache(mnist_mirror, tmp_path):
    first = load("mnist", source="download")
    assert sorted(mnist_mirror.requests) == sorted(f"/{f.gz_name}" for f in catalogue.MNIST.files)
    assert first.source == f"downloaded to {tmp_path / 'cache' / 'jaxnets' / 'mnist'}"
    assert first.checksums == catalogue.MNIST.checksums

    assert load("mnist", source="download").source == first.source
    assert len(mnist_mirror.requests) == 4


def test_a_damaged_file_in_the_cache_is_refused_and_a_missing_one_downloaded(
    mnist_mirror, tmp_path
):
    load("mnist", source="download")
    labels = tmp_path / "cache" / "jaxnets" / "mnist" / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(labels.read_bytes()[:-9])
    with pytest.raises(DataError, match=f"{labels} .*Delete this file"):
        load("mnist", source="download")

    labels.unlink()
    load("mnist", source="download")
    assert mnist_mirror.requests[4:] == ["/t10k-labels-idx1-ubyte.gz"]


def test_offline_the_error_is_immediate_and_lists_the_files_and_places(monkeypatch, tmp_path):
    fashion = catalogue.FASHION_MNIST._replace(mirrors=(UNREACHABLE,))
    monkeypatch.setitem(catalogue.CATALOGUE, "fashion_mnist", fashion)
    start = time.monotonic()
    with pytest.raises(DataError) as raised:
        load("fashion_mnist")
    assert time.monotonic() - start < 5
    message = str(raised.value)
    for file in fashion.files:
        assert f"{file.gz_name}  SHA-256 {file.gz_sha256}" in message
    for place in (tmp_path / "debian" / "fashion-mnist", tmp_path / "cache" / "jaxnets"):
        assert str(place) in message
    assert f"{UNREACHABLE}train-images-idx3-ubyte.gz: " in message
    assert "data_dir" in message
    assert "JAXNETS_DATA_DIR" in message
