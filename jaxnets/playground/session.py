"""The networks of one tab: a loop that trains, sends frames and follows the page's commands."""

import queue
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import jax
import numpy as np

from jaxnets.messages import printable
from jaxnets.playground.edit import edited, index_of
from jaxnets.playground.explain import explain
from jaxnets.playground.frames import encode
from jaxnets.playground.listing import listing
from jaxnets.playground.look import Maps
from jaxnets.playground.network import hparams_of
from jaxnets.playground.options import LIVE, NAME, TABLE, UNITS, Options, OptionsError, change
from jaxnets.playground.points import Points, make_grid, make_points
from jaxnets.playground.programs import (
    COMPILED,
    GRID,
    LARGE,
    compile_programs,
    compiled,
)
from jaxnets.playground.tables import Table

FRAMES_PER_SECOND, MOST_STEPS, HEARTBEAT = 40, 1000, 5.0  # the last in seconds
Send = Callable[[str, dict[str, Any]], None]


class Session:
    """Networks of one structure that train until their tab is closed."""

    def __init__(self, options: Options, tables: Mapping[str, Table] | None = None):
        self.tables = {} if tables is None else tables  # which may be empty yet
        self.commands: queue.Queue[dict[str, Any]] = queue.Queue(100)
        self.playing, self.per_frame, self.chosen = False, 0, 0
        self.error: str | None = None
        self.lock, self.compiling = threading.Lock(), False
        self._request(options)

    def run(self, send: Send) -> None:
        """Train and send until `send` raises OSError, because the tab is gone."""
        send("wait", {})
        steps, due = 1, 0.0
        while True:
            if self.waiting is not None:
                self._take_over(send)
            self._follow(send, block=not self.playing or not hasattr(self, "states"))
            if not self.playing or not hasattr(self, "states"):
                continue
            steps = self.per_frame or steps
            start_time = time.perf_counter()
            self.advance(steps)
            trained = time.perf_counter() - start_time
            send("frame", self.frame())
            now = time.perf_counter()
            rest = now - start_time - trained
            # On a busy machine, training takes at least half of the time.
            share = max(1 / FRAMES_PER_SECOND - rest, rest) / max(trained, 1e-5)
            steps = int(min(MOST_STEPS, max(1, steps * min(2.0, max(0.5, share)))))
            # Frames are due at even intervals, however long the last sleep was.
            due = max(due + 1 / FRAMES_PER_SECOND, now - 1 / FRAMES_PER_SECOND)
            time.sleep(max(0.0, due - now))

    def start(self, options: Options, points: Points) -> None:
        """Start anew with these settings, whose programs are compiled, and their points."""
        self.options, self.programs, self.points = options, compile_programs(options), points
        self.hparams = hparams_of(options, points.outputs)
        self.maps = [make_grid(options, side) for side in (GRID, LARGE)]
        self.seeds = np.arange(options.seeds, dtype=np.uint32) + np.uint32(options.seed)
        self.states = self.programs.init(self.seeds, self.hparams)
        self.stopped = np.zeros(options.seeds, np.int32)
        self.step, self.exact, self.cause = 0, True, None
        self.chosen = min(self.chosen, options.seeds - 1)

    def advance(self, steps: int) -> None:
        """Train for some steps."""
        stop = self.step + steps
        sizes = (self.points.count, self.options.batch, self.step, stop)
        self.states, stopped = self.programs.advance(
            *(self.states, self.stopped, self.hparams, self.points.x, self.points.y),
            *map(np.int32, sizes),
        )
        self.stopped, self.step = np.array(stopped), stop
        if self.stopped.all():
            self.playing = False

    def change(self, changes: Any) -> bool:
        """Apply new settings; return whether they need a restart or other programs."""
        before = self.waiting or self.options
        after = change(before, changes)
        names = {name for name in vars(after) if getattr(after, name) != getattr(before, name)}
        if self.waiting is not None or names - LIVE:
            self._request(after)
            return True
        if names:
            self.options, self.hparams = after, hparams_of(after, self.points.outputs)
            self.exact = self.exact and self.step == 0
        return False

    def edit(self, layer: Any, row: Any, column: Any, value: Any) -> None:
        """Set a weight of the network on view, or a bias if `row` is None."""
        sizes = (UNITS, *self.options.hidden, self.points.outputs)
        params = edited(self.states.params, self.chosen, sizes, layer, row, column, value)
        self.states, self.exact = self.states._replace(params=params), False

    def frame(self) -> dict[str, Any]:
        """What changes from frame to frame."""
        counts = np.array([self.points.count, self.points.total], np.int32)
        maps = Maps(self.points.x, self.points.y, self.maps[0], self.maps[1], counts)
        seen = jax.device_get(
            self.programs.look(self.states, self.hparams, maps, np.int32(self.chosen))
        )
        return encode(seen, len(self.options.hidden), self.points.outputs) | {
            "step": self.step,
            "epoch": self.step / (self.points.count // self.options.batch),
            "stopped": self.stopped.tolist(),
            "cause": self._explanation(),
            "chosen": self.chosen,
            "playing": self.playing,
            "exact": self.exact,
            "waiting": self.waiting is not None,
            "error": self.error,
            "compiled": COMPILED[0],
        }

    def _explanation(self) -> str | None:
        """The reason why a network stopped, computed only once; None if none stopped."""
        failed = np.flatnonzero(self.stopped)
        if failed.size and self.cause is None:
            step = int(self.stopped[failed[0]]) - 1
            self.cause = explain(
                *(self.options, self.points, self.hparams, self.states), int(failed[0]), step
            )
        return self.cause

    def overview(self) -> dict[str, Any]:
        """What changes only with a new start: settings, points and code, and the first frame."""
        x, y, count, total, classes = self.points
        table = self.tables.get(self.options.table)
        return self.frame() | {
            "options": vars(self.options),
            "x": np.round(x[:total, :2], 3).tolist(),
            "y": np.round(y[:total, 0], 3).tolist(),
            "count": count,
            "classes": [printable(name)[:NAME] for name in classes],
            "inputs": np.any(x, 0).tolist(),
            "table": table.describe() if table is not None and self.options.data == TABLE else None,
            "sides": {"small": GRID, "large": LARGE},
            "code": listing(self.options, max(self.step, 1), self.points.outputs),
        }

    def _request(self, options: Options) -> None:
        """Have the programs of these settings compiled in the background."""
        points = make_points(options, self.tables)
        with self.lock:
            self.waiting, self.arriving = options, points
            if compiled(options) is None and not self.compiling:
                self.compiling = True
                threading.Thread(target=self._compile, daemon=True).start()

    def _compile(self) -> None:
        """Compile the latest settings that wait, until there are none."""
        while True:
            with self.lock:
                options = self.waiting
                if options is None or compiled(options) is not None:
                    self.compiling = False
                    break
            try:
                compile_programs(options)
            except Exception as error:  # shown on the page: an optimizer may refuse a network
                self.error = f"{type(error).__name__}: {error}"
                if self.waiting is options:
                    self.waiting = None
        self.put({"do": "look"})

    def put(self, command: dict[str, Any]) -> bool:
        """Queue a command; return False if there are too many."""
        with suppress(queue.Full):
            self.commands.put_nowait(command)
            return True
        return False

    def _take_over(self, send: Send) -> None:
        if self.waiting is not None and compiled(self.waiting) is not None:
            options, self.waiting, self.error = self.waiting, None, None
            self.start(options, self.arriving)
            send("start", self.overview())

    def _follow(self, send: Send, block: bool) -> None:
        """Execute the next command, if one has arrived; wait for one if `block`."""
        try:
            command = self.commands.get(timeout=HEARTBEAT) if block else self.commands.get_nowait()
        except queue.Empty:
            if block:
                send("wait", {})
            return
        try:
            event = self._carry_out(command)
        except OptionsError as error:
            send("refused", {"message": str(error)})
            return
        if self.waiting is not None:
            self._take_over(send)
        if hasattr(self, "states"):
            send(event, self.overview() if event == "start" else self.frame())
        elif self.error:
            send("refused", {"message": self.error})

    def _carry_out(self, command: dict[str, Any]) -> str:
        """Execute a command; return the kind of event to answer with."""
        do = command.get("do")
        if do == "speed":
            self.per_frame = index_of("steps per frame", command.get("steps"), MOST_STEPS + 1)
            return "frame"
        if do == "change":
            self.change(command.get("options"))
            return "start" if self.waiting is None else "frame"
        if not hasattr(self, "states"):
            self.playing = do == "play"
            return "frame"
        if do == "play":
            self.playing = not self.stopped.all()
        elif do == "pause":
            self.playing = False
        elif do == "step":
            self.playing = False
            self.advance(1)
        elif do == "reset":
            self._request(self.waiting or self.options)
        elif do == "choose":
            self.chosen = index_of("seed", command.get("seed"), self.options.seeds)
        elif do == "edit":
            place = (command.get(name) for name in ("layer", "row", "column", "value"))
            self.edit(*place)
        return "start" if do in ("pause", "step", "code") else "frame"
