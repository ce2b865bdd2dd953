"""Frames per second that headless Chromium draws of the playground, while networks train.

python tests/playground/measure_frames.py

Needs two idle cores: the browser draws on one, the server trains on the other.
"""

import tempfile
import threading
import time

from browser import Browser

from jaxnets.playground.options import Options, change
from jaxnets.playground.programs import compile_programs
from jaxnets.playground.server import Server

SECONDS = 10


def measure(seeds: int) -> float:
    """Frames per second of the default network with this number of seeds."""
    compile_programs(change(Options(), {"seeds": seeds}))
    with Server() as server, tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = Browser(folder)
        try:
            browser.open(f"{server.url}#seeds={seeds}")
            browser.wait("document.body && document.body.dataset.frames")
            browser.run("document.getElementById('play').click()")
            browser.wait("document.getElementById('play').textContent === 'Pause'")
            start, before = time.perf_counter(), int(browser.run("document.body.dataset.frames"))
            time.sleep(SECONDS)
            frames = int(browser.run("document.body.dataset.frames")) - before
            return frames / (time.perf_counter() - start)
        finally:
            browser.close()
            server.shutdown()


if __name__ == "__main__":
    for seeds in (1, 16, 64):
        print(f"{seeds} seeds: {measure(seeds):.1f} frames per second", flush=True)
