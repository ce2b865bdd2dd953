"""Small data sets in IDX files, and isolation from the files and servers of the machine."""

import gzip
import http.server
import struct
import threading

import numpy as np
import pytest
from mirrors import BODY, give

from jaxnets.data import catalogue, sources


@pytest.fixture(autouse=True)
def isolation(monkeypatch, tmp_path):
    """Hide the environment, Debian's files, the cache, the mirrors and proxies."""
    monkeypatch.delenv("JAXNETS_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(sources, "DEBIAN", tmp_path / "debian")
    for name, published in catalogue.CATALOGUE.items():
        monkeypatch.setitem(catalogue.CATALOGUE, name, published._replace(mirrors=()))


@pytest.fixture(scope="session")
def as_idx():
    """The IDX content of an array of bytes."""

    def as_idx(array):
        return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()

    return as_idx


@pytest.fixture(scope="session")
def write_set(as_idx):
    """Write a small random data set as four IDX files; a keyword replaces one of its arrays."""

    def write_set(folder, *, gz=False, train=20, test=10, seed=0, **replaced):
        rng = np.random.default_rng(seed)
        arrays = {}
        for prefix, rows in (("train", train), ("t10k", test)):
            arrays[f"{prefix}_images"] = rng.integers(0, 256, (rows, 28, 28), dtype=np.uint8)
            arrays[f"{prefix}_labels"] = rng.integers(0, 10, rows, dtype=np.uint8)
        arrays |= replaced
        folder.mkdir(parents=True, exist_ok=True)
        for name, array in arrays.items():
            file = f"{name.replace('_', '-')}-idx{3 if 'images' in name else 1}-ubyte"
            if gz:
                (folder / f"{file}.gz").write_bytes(gzip.compress(as_idx(array)))
            else:
                (folder / file).write_bytes(as_idx(array))
        return arrays

    return write_set


@pytest.fixture
def mirror():
    """A server that responds with `mirror.answer(handler)`; `mirror.requests` lists the paths."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            mirror.requests.append(self.path)
            mirror.answer(self)

        def log_message(self, *_):
            pass

    class Mirror(http.server.ThreadingHTTPServer):
        requests: tuple = ()
        block_on_close = False

        def handle_error(self, *_):
            pass  # a client may close the connection early

    with Mirror(("127.0.0.1", 0), Handler) as mirror:
        mirror.requests, mirror.answer = [], give(BODY)
        mirror.url = f"http://127.0.0.1:{mirror.server_port}/"
        threading.Thread(target=mirror.serve_forever, args=[0.01], daemon=True).start()
        yield mirror
        mirror.shutdown()
