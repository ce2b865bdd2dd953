"""Downloads a published file from its mirrors, with size and time limits and a checksum."""

import hashlib
import socket
import threading
from concurrent.futures import Future
from contextlib import suppress
from http.client import HTTPResponse
from pathlib import Path

from jaxnets.data.catalogue import File
from jaxnets.errors import DataError
from jaxnets.files import atomic_write
from jaxnets.messages import printable

TIMEOUT = 5.0  # seconds to connect to a mirror, and to wait for more data
RATE = 50_000  # minimum bytes per second
ATTEMPTS = 2  # per mirror


def fetch(
    file: File,
    mirrors: tuple[str, ...],
    folder: Path,
    *,
    timeout: float = TIMEOUT,
    rate: float = RATE,
) -> None:
    """Download the file's .gz into `folder`, and verify its SHA-256.

    Args:
      file: the published file.
      mirrors: URL prefixes of its name; tried in this order, each twice.
      folder: the destination, created if missing.
      timeout: seconds to connect to a mirror, and to wait for more data.
      rate: minimum bytes per second; the body may take `timeout + file.gz_bytes / rate` s.

    Raises:
      ConnectionError: no mirror returned the file; lists the error of each.
      DataError: the file cannot be written.
    """
    failures: dict[str, list[str]] = {}
    for url in [mirror + file.gz_name for mirror in mirrors for _ in range(ATTEMPTS)]:
        try:
            content = get(url, file.gz_bytes + 1, timeout, timeout + file.gz_bytes / rate)
        except Exception as error:  # http.client, urllib, ssl and codecs have no common base class
            reason = printable(error) or f"no answer within {timeout:g} s"
        else:
            if hashlib.sha256(content).hexdigest() == file.gz_sha256:
                return save(content, folder / file.gz_name)
            reason = "its SHA-256 is not the published one"
        failures.setdefault(url, []).append(reason)
    raise ConnectionError(
        "; ".join(f"{url}: {', then '.join(dict.fromkeys(r))}" for url, r in failures.items())
    )


def get(url: str, limit: int, timeout: float, seconds: float) -> bytes:
    """The first `limit` bytes at a URL, if they arrive within `seconds` of its response.

    The timeout of `urlopen` applies to each address of a host and to each wait for data, and not to
    the DNS lookup. Waiting for a thread limits the total time.
    """
    response_future: Future[HTTPResponse] = Future()
    body: Future[bytes] = Future()
    arguments = (url, limit, timeout, response_future, body)
    threading.Thread(target=_request, args=arguments, daemon=True).start()
    try:
        response = response_future.result(timeout)
    except TimeoutError:
        response_future.cancel()  # the thread ends when it gets a response
        raise
    try:
        return body.result(seconds)
    except TimeoutError as error:
        _shut_down(response)
        raise TimeoutError(f"timed out: the download took more than {seconds:g} s") from error


def _request(
    url: str,
    limit: int,
    timeout: float,
    response_future: Future[HTTPResponse],
    body: Future[bytes],
) -> None:
    from urllib.error import HTTPError
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=timeout) as response:
            response_future.set_result(response)
            body.set_result(response.read(limit))
    except Exception as error:
        if isinstance(error, HTTPError):  # it is also the open response
            error.close()
        (body if response_future.done() else response_future).set_exception(error)


def _shut_down(response: HTTPResponse) -> None:
    """Shut down a connection that another thread reads from; `close` would wait for the thread."""
    with suppress(OSError, ValueError, AttributeError):  # it may have been closed already
        connection = socket.socket(fileno=response.fileno())
        try:
            connection.shutdown(socket.SHUT_RDWR)
        finally:
            connection.detach()


def save(content: bytes, path: Path) -> None:
    """Write a downloaded file into the cache; raises DataError if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(content)
    except OSError as error:
        raise DataError(
            f"{printable(path)} was downloaded but cannot be written: {printable(error)}. Set "
            "XDG_CACHE_HOME to a writable folder."
        ) from error
