"""Fetching a published file from its mirrors: bounded in bytes and in time, checked, then kept."""

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

TIMEOUT = 5.0  # seconds, to reach a mirror and again for each of its silences
RATE = 50_000  # bytes per second, at least: a slower mirror is given up on
ATTEMPTS = 2  # for each mirror


def fetch(
    file: File,
    mirrors: tuple[str, ...],
    folder: Path,
    *,
    timeout: float = TIMEOUT,
    rate: float = RATE,
) -> None:
    """Download the file's .gz into `folder`, unless its SHA-256 is not the published one.

    Args:
      file: what is fetched.
      mirrors: the addresses that its name follows, asked in this order, each twice.
      folder: where it is kept; made where it is missing.
      timeout: seconds to reach a mirror, and again for each of its silences.
      rate: bytes per second at least; the whole body has `timeout + file.gz_bytes / rate` seconds.

    Raises:
      ConnectionError: no mirror gave the file; says what each answered.
      DataError: it cannot be kept.
    """
    failures: dict[str, list[str]] = {}
    for url in [mirror + file.gz_name for mirror in mirrors for _ in range(ATTEMPTS)]:
        try:
            content = _get(url, file.gz_bytes + 1, timeout, timeout + file.gz_bytes / rate)
        except Exception as error:  # http.client, urllib, ssl and codecs share no class of errors
            reason = printable(error) or f"no answer within {timeout:g} s"
        else:
            if hashlib.sha256(content).hexdigest() == file.gz_sha256:
                return _keep(content, folder / file.gz_name)
            reason = "its SHA-256 is not the published one"
        failures.setdefault(url, []).append(reason)
    raise ConnectionError(
        "; ".join(f"{url}: {', then '.join(dict.fromkeys(r))}" for url, r in failures.items())
    )


def _get(url: str, limit: int, timeout: float, seconds: float) -> bytes:
    """The first `limit` bytes behind an address, if they come within so many seconds.

    The timeout of `urlopen` holds for each address of a host anew, for each silence of a server,
    and not for looking up a name; waiting for a thread bounds them all together.
    """
    answer: Future[HTTPResponse] = Future()
    body: Future[bytes] = Future()
    threading.Thread(target=_ask, args=(url, limit, timeout, answer, body), daemon=True).start()
    try:
        response = answer.result(timeout)
    except TimeoutError:
        answer.cancel()  # the thread ends when it has an answer after all
        raise
    try:
        return body.result(seconds)
    except TimeoutError as error:
        _hang_up(response)
        raise TimeoutError(f"timed out: it did not come whole within {seconds:g} s") from error


def _ask(
    url: str, limit: int, timeout: float, answer: Future[HTTPResponse], body: Future[bytes]
) -> None:
    from urllib.error import HTTPError
    from urllib.request import urlopen

    try:
        with urlopen(url, timeout=timeout) as response:
            answer.set_result(response)
            body.set_result(response.read(limit))
    except Exception as error:
        if isinstance(error, HTTPError):  # which is the open response as well
            error.close()
        (body if answer.done() else answer).set_exception(error)


def _hang_up(response: HTTPResponse) -> None:
    """End a connection under the thread that reads from it, which closing would wait for."""
    with suppress(OSError, ValueError, AttributeError):  # it may just have ended by itself
        connection = socket.socket(fileno=response.fileno())
        try:
            connection.shutdown(socket.SHUT_RDWR)
        finally:
            connection.detach()


def _keep(content: bytes, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(content)
    except OSError as error:
        raise DataError(
            f"{printable(path)} was downloaded but cannot be kept: {printable(error)}. Set "
            "XDG_CACHE_HOME to a folder that can be written."
        ) from error
