"""Fetching a published file from its mirrors: bounded in bytes and in time, checked, then kept."""

import hashlib
import threading
from concurrent.futures import Future
from http.client import HTTPException
from pathlib import Path

from jaxnets.data.catalogue import File
from jaxnets.data.dataset import DataError
from jaxnets.files import written_whole

TIMEOUT = 5.0  # seconds, to reach a mirror and again for each of its silences
ATTEMPTS = 2  # for each mirror


def fetch(file: File, mirrors: tuple[str, ...], folder: Path, *, timeout: float = TIMEOUT) -> None:
    """Download the file's .gz into `folder`, unless its SHA-256 is not the published one.

    Raises ConnectionError, with what each mirror answered, if none gave it; DataError if it cannot
    be kept.
    """
    failures = {}
    for url in [mirror + file.gz_name for mirror in mirrors for _ in range(ATTEMPTS)]:
        try:
            content = _get(url, file.gz_bytes + 1, timeout)
        except (OSError, HTTPException) as error:
            failures[url] = str(error) or f"no answer within {timeout:g} s"
            continue
        if hashlib.sha256(content).hexdigest() == file.gz_sha256:
            return _keep(content, folder / file.gz_name)
        failures[url] = "its SHA-256 is not the published one"
    raise ConnectionError("; ".join(f"{url}: {failure}" for url, failure in failures.items()))


def _get(url: str, limit: int, timeout: float) -> bytes:
    """The first `limit` bytes behind an address.

    The timeout of `urlopen` holds for each address of a host anew and not for looking up its name;
    waiting for a thread bounds them all together.
    """
    from urllib.error import HTTPError
    from urllib.request import urlopen

    answer: Future = Future()

    def ask() -> None:
        try:
            answer.set_result(urlopen(url, timeout=timeout))
        except HTTPError as error:  # which is the open response as well
            error.close()
            answer.set_exception(error)
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    with answer.result(timeout) as response:
        return response.read(limit)


def _keep(content: bytes, path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as file:
            file.write(content)
    except OSError as error:
        raise DataError(
            f"{path} was downloaded but cannot be kept: {error}. Set XDG_CACHE_HOME to a folder "
            "that can be written."
        ) from error
