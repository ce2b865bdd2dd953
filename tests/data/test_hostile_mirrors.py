"""Mirrors that misbehave: the download stops at the deadline and tries the next one."""

import os
import time

import pytest
from mirrors import BODY, FILE, UNREACHABLE, give

from jaxnets.data.download import fetch


def drip(start, piece):
    """Send the start, then a piece every 20 ms, while the client is connected."""

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
def test_a_server_that_sends_too_slowly_times_out(mirror, tmp_path, start, piece):
    file = FILE._replace(gz_bytes=50_000)
    mirror.answer, began = drip(start, piece), time.monotonic()
    with pytest.raises(ConnectionError, match=r"timed out|no answer within"):
        fetch(file, (mirror.url,), tmp_path, timeout=0.1, rate=1e6)
    assert time.monotonic() - began < 2 * (0.1 + 0.1 + 0.05) + 1
    assert os.listdir(tmp_path) == []


def test_the_connection_is_closed_after_a_timeout(mirror, tmp_path):
    mirror.answer, mirror.left = drip(OK + b"Content-Length: 9999\r\n\r\n", b"w"), False
    with pytest.raises(ConnectionError, match=r"took more than 0\.2"):
        fetch(FILE._replace(gz_bytes=10_000), (mirror.url,), tmp_path, timeout=0.1, rate=1e5)
    end = time.monotonic() + 5
    while not mirror.left and time.monotonic() < end:
        time.sleep(0.01)
    assert mirror.left


def test_a_slow_server_above_the_minimum_rate_succeeds(mirror, tmp_path):
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


# urllib does not close a response with an invalid address.
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
def test_after_any_invalid_response_the_next_mirror_is_tried(mirror, tmp_path, answer):
    good = give(BODY)
    mirror.answer = lambda h: good(h) if h.path.startswith("/good") else answer(h)
    fetch(FILE, (mirror.url, mirror.url + "good/"), tmp_path, timeout=2.0)
    assert (tmp_path / "labels.gz").read_bytes() == BODY
    with pytest.raises(ConnectionError) as raised:
        fetch(FILE, (mirror.url, UNREACHABLE), tmp_path, timeout=2.0)
    message = str(raised.value)
    assert message.isprintable()
    assert f"{mirror.url}labels.gz: " in message and f"{UNREACHABLE}labels.gz: " in message


def test_the_error_lists_every_failure_of_every_mirror(mirror, tmp_path):
    answers = iter([give(b"", status=503), give(b"X")])
    mirror.answer = lambda handler: next(answers)(handler)
    with pytest.raises(ConnectionError, match=r"503.*, then its SHA-256 is not.*; http.*refused"):
        fetch(FILE, (mirror.url, UNREACHABLE), tmp_path)


def test_a_servers_response_is_escaped_in_messages(mirror, tmp_path):
    mirror.answer = lambda handler: handler.wfile.write(b"HTTP/1.1 404 \x1b[2J\x9b\r\n\r\n")
    with pytest.raises(ConnectionError, match=r"404: \\x1b\[2J") as raised:
        fetch(FILE, (mirror.url,), tmp_path)
    assert str(raised.value).isprintable()
