"""Memory, frames and compilations of the playground's server while a page changes its settings.

python -m experiments.bench.playground --minutes 30

A client reads the events of a session of 16 seeds, and sends a command every two seconds: it
changes the rate, the data (including digits and a user's table), the noise, the layers, the batch
and the seed. Every minute it opens another session. Writes the resident memory over time.
"""

import http.client
import itertools
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from urllib.parse import quote

from experiments import command_line
from experiments.folder import new_folder
from jaxnets import json_files
from jaxnets.playground import programs
from jaxnets.playground.server import Server
from jaxnets.training.report import write_json

CHANGES = (
    {"rate": 0.1}, {"data": "spiral"}, {"noise": 0.3}, {"hidden": [8, 8]}, {"batch": 25},
    {"seed": 3}, {"penalty": "L2", "penalty_rate": 0.001}, {"activation": "relu"}, {"share": 80},
    {"rate": 0.01}, {"data": "circle"}, {"noise": 0.0}, {"hidden": [4, 2, 3, 4]},
    {"batch": 10}, {"data": "mnist 4 9"}, {"hidden": [4, 2]}, {"data": "mnist 0-9"},
    {"data": "table", "table": "t.csv", "target": "c"}, {"columns": ["a", "b"]}, {"columns": []},
    {"data": "spiral"}, {"hidden": []}, {"hidden": [4, 2]},
    {"seed": 0}, {"penalty": "none"}, {"activation": "tanh"}, {"share": 50},
)  # fmt: skip


@dataclass(frozen=True)
class Config:
    """How long to measure."""

    minutes: float = 30.0
    """The length of the measurement."""
    out: Path | None = None
    """The file to write; by default playground.json in a new folder, runs/playground-TIME."""


class Page:
    """A client of one session."""

    def __init__(self, server: Server, options: dict):
        self.server = server
        self.origin = f"http://127.0.0.1:{server.server_port}"
        self.connection = http.client.HTTPConnection("127.0.0.1", server.server_port)
        query = f"token={server.token}&options={quote(json.dumps(options))}"
        self.connection.request("GET", f"/events?{query}")
        self.answer = self.connection.getresponse()
        self.session = self.next("session")["name"]

    def next(self, *kinds: str) -> dict:
        """The message of the next event of these kinds."""
        while line := self.answer.readline():
            if line.startswith(b"event: ") and line[7:].decode().strip() in kinds:
                return json_files.decode(self.answer.readline().removeprefix(b"data: "))
        raise RuntimeError("the session ended")

    def send(self, command: dict) -> None:
        """Send a command."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port)
        headers = {"X-Token": self.server.token, "Origin": self.origin}
        connection.request("POST", "/", json.dumps({"session": self.session} | command), headers)
        assert connection.getresponse().status == 200
        connection.close()

    def close(self) -> None:
        """Close the tab."""
        self.answer.close()
        self.connection.close()


def resident_megabytes() -> float:
    """The resident memory of this process, which is server and client."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)


def measure(config: Config) -> dict:
    """Run for the time, and return what was measured."""
    server = Server()
    rows = [f"{a},{b},{(a * b) % 3}" for a in range(20) for b in range(20)]
    server.tables.add("t.csv", "\n".join(["a,b,c", *rows]).encode())
    Thread(target=server.serve_forever, daemon=True).start()
    options = {"seeds": 16}
    page = Page(server, options)
    page.next("start")
    page.send({"do": "play"})
    compiled, cpu_start, start_time = programs.COMPILED[0], time.process_time(), time.monotonic()
    changes, frames, memory, last, minute = itertools.cycle(CHANGES), 0, [], 0.0, 0
    while (seconds := time.monotonic() - start_time) < 60 * config.minutes:
        page.next("frame", "start")
        frames += 1
        if seconds - last > 2:
            last = seconds
            page.send({"do": "change", "options": next(changes)})
            page.send({"do": "play"})
        if seconds >= 60 * minute:
            memory.append(resident_megabytes())
            minute += 1
            other = Page(server, options)
            other.next("start")
            other.close()
    page.close()
    server.shutdown()
    server.server_close()
    return {
        "minutes": config.minutes,
        "frames": frames,
        "frames_per_second": round(frames / seconds, 2),
        "cpu_ms_per_frame": round(1000 * (time.process_time() - cpu_start) / frames, 2),
        "compiled_after_the_start": programs.COMPILED[0] - compiled,
        "resident_megabytes_by_minute": [*memory, resident_megabytes()],
        "load_average": os.getloadavg(),
    }


def experiment(config: Config) -> None:
    """Measure, print, and write the result."""
    result = measure(config)
    out = config.out or new_folder("playground") / "playground.json"
    write_json(out, result)
    print(f"{json.dumps(result)}\nin {out}")


if __name__ == "__main__":
    command_line.main(experiment, Config)
