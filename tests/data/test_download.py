"""Downloads are bounded, checked before they are kept, and tried twice; against a local server."""

import hashlib
import http.server
import os
import socket
import threading
import time

import pytest

from jaxnets.data import DataError, catalogue, load
from jaxnets.data.catalogue import File
from jaxnets.data.download import fetch

BODY = b"what the authors published"
FILE = File("labels", (), len(BODY), hashlib.sha256(BODY).hexdigest(), "")
UNREACHABLE = "http://127.0.0.1:9/"  # the discard port, where nothing listens


@pytest.fixture
def mirror():
    """Serve by `mirror.answer(handler)`, to be set; `mirror.asked` lists the paths requested."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            mirror.asked.append(self.path)
            mirror.answer(self)

        def log_message(self, *_):
            pass

    class Mirror(http.server.ThreadingHTTPServer):
        asked: tuple = ()
        block_on_close = False

        def handle_error(self, *_):
            pass  # a client that has read enough and hangs up is no failure of the test

    with Mirror(("127.0.0.1", 0), Handler) as mirror:
        mirror.asked, mirror.answer = [], give(BODY)
        mirror.url = f"http://127.0.0.1:{mirror.server_port}/"
        threading.Thread(target=mirror.serve_forever, args=[0.01], daemon=True).start()
        yield mirror
        mirror.shutdown()


def give(body, status=200):
    def answer(handler):
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def test_a_file_with_the_published_sum_is_kept(mirror, tmp_path):
    fetch(FILE, (mirror.url,), tmp_path / "new")
    assert mirror.asked == ["/labels.gz"]
    assert (tmp_path / "new" / "labels.gz").read_bytes() == BODY
    assert os.listdir(tmp_path / "new") == ["labels.gz"]


@pytest.mark.parametrize("body", [b"X" + BODY[1:], BODY[:-1], b""], ids=["flip", "cut", "empty"])
def test_a_file_with_another_sum_is_refused_and_not_kept(mirror, tmp_path, body):
    mirror.answer = give(body)
    with pytest.raises(ConnectionError, match=r"labels\.gz: its SHA-256 is not the published one"):
        fetch(FILE, (mirror.url,), tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_body_without_end_is_read_no_further_than_the_published_size(mirror, tmp_path):
    def without_end(handler):
        handler.send_response(200)
        handler.end_headers()
        with pytest.raises(OSError):  # the client hangs up
            while True:
                handler.wfile.write(bytes(2**16))

    mirror.answer = without_end
    start = time.monotonic()
    with pytest.raises(ConnectionError, match="SHA-256"):
        fetch(FILE, (mirror.url,), tmp_path)
    assert time.monotonic() - start < 2
    assert os.listdir(tmp_path) == []


def test_a_server_that_fails_once_is_asked_again(mirror, tmp_path):
    answers = iter([give(b"busy", status=503), give(BODY)])
    mirror.answer = lambda handler: next(answers)(handler)
    fetch(FILE, (mirror.url,), tmp_path)
    assert len(mirror.asked) == 2
    assert (tmp_path / "labels.gz").read_bytes() == BODY


def test_a_server_that_fails_twice_is_not_asked_a_third_time(mirror, tmp_path):
    mirror.answer = give(b"", status=404)
    with pytest.raises(ConnectionError, match="404"):
        fetch(FILE, (mirror.url,), tmp_path)
    assert len(mirror.asked) == 2


def test_the_next_mirror_is_asked_where_one_cannot_be_reached(mirror, tmp_path):
    fetch(FILE, (UNREACHABLE, mirror.url), tmp_path)
    assert (tmp_path / "labels.gz").read_bytes() == BODY


def test_a_server_that_speaks_no_http_is_a_failed_attempt(mirror, tmp_path):
    mirror.answer = lambda handler: handler.wfile.write(b"SSH-2.0-OpenSSH\r\n")
    with pytest.raises(ConnectionError, match=r"labels\.gz: "):
        fetch(FILE, (mirror.url,), tmp_path)


@pytest.mark.parametrize("stage", ["headers", "body"])
def test_a_server_that_hangs_is_given_up_on(mirror, tmp_path, stage):
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


def test_a_name_lookup_that_hangs_is_given_up_on(monkeypatch, tmp_path):
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


def drip(start, piece):
    """Send the start, then a piece every 20 ms, for as long as the client stays."""

    def answer(handler):
        handler.wfile.write(start)
        end = time.monotonic() + 20
        try:
            while time.monotonic() < end:
                handler.wfile.write(piece)
                time.sleep(0.02)
        except OSError:
            handler.server.left = True

    return answer


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("start", "piece"),
    [
        pytest.param(OK + b"Content-Length: 26\r\n\r\n", b"w", id="body"),
        pytest.param(OK + b"\r\n", b"w", id="body of unknown length"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nw\r\n", id="chunks"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0", id="a chunk's length"),
        pytest.param(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"a: b\r\n", id="trailers"),
        pytest.param(OK, b"a", id="a header"),
        pytest.param(b"", b"H", id="the status"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 100 C\r\n\r\n", id="100"),
    ],
)
def test_a_server_that_drips_is_given_up_on_at_the_deadline(mirror, tmp_path, start, piece):
    file = FILE._replace(gz_bytes=100_000)
    mirror.answer, began = drip(start, piece), time.monotonic()
    with pytest.raises(ConnectionError, match=r"timed out|no answer within"):
        fetch(file, (mirror.url,), tmp_path, timeout=0.2, rate=1e6)
    assert time.monotonic() - began < 2 * (0.2 + 0.2 + 0.1) + 1
    assert os.listdir(tmp_path) == []


def test_the_connection_of_a_server_that_drips_is_closed(mirror, tmp_path):
    mirror.answer, mirror.left = drip(OK + b"Content-Length: 9999\r\n\r\n", b"w"), False
    with pytest.raises(ConnectionError, match=r"did not come whole within 0\.3"):
        fetch(FILE._replace(gz_bytes=10_000), (mirror.url,), tmp_path, timeout=0.2, rate=1e5)
    end = time.monotonic() + 5
    while not mirror.left and time.monotonic() < end:
        time.sleep(0.01)
    assert mirror.left


def test_a_slow_server_above_the_least_rate_is_waited_for(mirror, tmp_path):
    def slowly(handler):
        handler.wfile.write(OK + f"Content-Length: {len(BODY)}\r\n\r\n".encode())
        for number in range(len(BODY)):
            handler.wfile.write(BODY[number : number + 1])
            time.sleep(0.01)

    mirror.answer = slowly
    fetch(FILE, (mirror.url,), tmp_path, timeout=0.1, rate=10)
    assert (tmp_path / "labels.gz").read_bytes() == BODY


def redirect(address):
    return lambda handler: handler.wfile.write(
        b"HTTP/1.1 302 Found\r\nLocation: " + address + b"\r\nContent-Length: 0\r\n\r\n"
    )


def chunk(length):
    head = OK + b"Transfer-Encoding: chunked\r\n\r\n"
    return lambda handler: handler.wfile.write(head + length + b"\r\nabc\r\n")


# urllib drops the answer open where it cannot read the address in it.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(redirect(b"http://[::1"), id="an address without its bracket"),
        pytest.param(redirect(b"http://a:b:c/"), id="a port that is no number"),
        pytest.param(redirect(b"http://127.0.0.1:99999/"), id="a port beyond 65535"),
        pytest.param(redirect(b"http://" + b"a" * 100 + b".invalid/"), id="a label too long"),
        pytest.param(redirect(b"http://\xff\xfe/"), id="a host of other bytes"),
        pytest.param(redirect(b"http://127.0.0.1/a b\x01"), id="a space in the path"),
        pytest.param(redirect(b"http:///labels.gz"), id="no host"),
        pytest.param(redirect(b"file:///etc/passwd"), id="a file"),
        pytest.param(redirect(b"ftp://127.0.0.1:9/a"), id="another protocol"),
        pytest.param(redirect(b"/labels.gz"), id="a loop"),
        pytest.param(chunk(b"-5"), id="a negative chunk"),
        pytest.param(chunk(b"zz"), id="a chunk that is no number"),
        pytest.param(chunk(b"f" * 16), id="a chunk of 2**64 bytes"),
        pytest.param(chunk(b"9" * 5_000), id="a chunk of 5,000 digits"),
        pytest.param(give(BODY, status=500), id="500"),
        pytest.param(
            lambda handler: handler.wfile.write(OK + b"Content-Length: -1\r\n\r\nabc"),
            id="a negative length",
        ),
        pytest.param(
            lambda handler: handler.wfile.write(OK + b"a: b\r\n" * 200 + b"\r\n"), id="200 headers"
        ),
        pytest.param(
            lambda handler: handler.wfile.write(OK + b"a" * 70_000 + b"\r\n\r\n"), id="a long line"
        ),
        pytest.param(lambda handler: handler.wfile.write(b"HTTP/1.1 abc OK\r\n\r\n"), id="status"),
        pytest.param(lambda handler: None, id="nothing"),
        pytest.param(lambda handler: handler.wfile.write(bytes(range(256))), id="other bytes"),
    ],
)
def test_whatever_a_mirror_answers_the_next_one_is_asked(mirror, tmp_path, answer):
    good = give(BODY)
    mirror.answer = lambda h: good(h) if h.path.startswith("/good") else answer(h)
    fetch(FILE, (mirror.url, mirror.url + "good/"), tmp_path, timeout=2.0)
    assert (tmp_path / "labels.gz").read_bytes() == BODY
    with pytest.raises(ConnectionError) as raised:
        fetch(FILE, (mirror.url, UNREACHABLE), tmp_path, timeout=2.0)
    message = str(raised.value)
    assert message.isprintable()
    assert f"{mirror.url}labels.gz: " in message and f"{UNREACHABLE}labels.gz: " in message


def test_every_reason_of_every_mirror_is_told(mirror, tmp_path):
    answers = iter([give(b"", status=503), give(b"X")])
    mirror.answer = lambda handler: next(answers)(handler)
    with pytest.raises(ConnectionError, match=r"503.*, then its SHA-256 is not.*; http.*refused"):
        fetch(FILE, (mirror.url, UNREACHABLE), tmp_path)


def test_what_a_server_says_reaches_no_terminal_raw(mirror, tmp_path):
    mirror.answer = lambda handler: handler.wfile.write(b"HTTP/1.1 404 \x1b[2J\x9b\r\n\r\n")
    with pytest.raises(ConnectionError, match=r"404: \\x1b\[2J") as raised:
        fetch(FILE, (mirror.url,), tmp_path)
    assert str(raised.value).isprintable()


def test_without_a_home_folder_the_error_names_the_variable_to_set(monkeypatch):
    def no_home():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr("jaxnets.data.sources.Path.home", no_home)
    assert load("mnist").source == "packaged with jaxnets"
    with pytest.raises(DataError, match="no home folder; set XDG_CACHE_HOME"):
        load("mnist", source="download")


def test_a_folder_that_cannot_be_written_is_a_data_error_with_a_cure(mirror, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be kept: .* Set XDG_CACHE_HOME"):
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
    assert sorted(mnist_mirror.asked) == sorted(f"/{f.gz_name}" for f in catalogue.MNIST.files)
    assert first.source == f"downloaded to {tmp_path / 'cache' / 'jaxnets' / 'mnist'}"
    assert first.checksums == catalogue.MNIST.checksums

    assert load("mnist", source="download").source == first.source
    assert len(mnist_mirror.asked) == 4


def test_a_file_damaged_in_the_cache_is_refused_and_an_absent_one_fetched_again(
    mnist_mirror, tmp_path
):
    load("mnist", source="download")
    labels = tmp_path / "cache" / "jaxnets" / "mnist" / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(labels.read_bytes()[:-9])
    with pytest.raises(DataError, match=f"{labels} .*Delete this file"):
        load("mnist", source="download")

    labels.unlink()
    load("mnist", source="download")
    assert mnist_mirror.asked[4:] == ["/t10k-labels-idx1-ubyte.gz"]


def test_offline_the_error_comes_at_once_and_says_what_is_needed_and_where_it_was_sought(
    monkeypatch, tmp_path
):
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
