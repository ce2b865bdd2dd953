"""The networks of one tab: a loop that trains, sends frames and follows the page's commands."""

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import jax
import numpy as np

from jaxnets.playground.explain import explain
from jaxnets.playground.frames import encode
from jaxnets.playground.listing import listing
from jaxnets.playground.network import hparams_of
from jaxnets.playground.options import LIVE, UNITS, Options, OptionsError, change
from jaxnets.playground.points import make_grid, make_points
from jaxnets.playground.programs import (
    COMPILED,
    GRID,
    LARGE,
    compile_programs,
    compiled,
)

FRAMES_PER_SECOND, MOST_STEPS, HEARTBEAT = 30, 1000, 5.0  # seconds
Send = Callable[[str, dict[str, Any]], None]


class Session:
    """Networks of one structure that train until their tab is closed."""

    def __init__(self, options: Options):
        self.commands: queue.Queue[dict[str, Any]] = queue.Queue(100)
        self.playing, self.per_frame, self.chosen = False, 0, 0
        self.error: str | None = None
        self.lock, self.compiling = threading.Lock(), False
        self._request(options)

    def run(self, send: Send) -> None:
        """Train and send until `send` raises OSError, because the tab is gone."""
        send("wait", {})
        steps = 1
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
            rest = time.perf_counter() - start_time - trained
            # On a busy machine, training takes at least half of the time.
            share = max(1 / FRAMES_PER_SECOND - rest, rest) / max(trained, 1e-5)
            steps = int(min(MOST_STEPS, max(1, steps * min(2.0, max(0.5, share)))))
            time.sleep(max(0.0, 1 / FRAMES_PER_SECOND - trained - rest))

    def start(self, options: Options) -> None:
        """Start anew with these settings, whose programs are compiled."""
        self.options, self.programs = options, compile_programs(options)
        self.points, self.hparams = make_points(options), hparams_of(options)
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
        """Apply new settings; whether they need a new start or other programs."""
        before = self.waiting or self.options
        after = change(before, changes)
        names = {name for name in vars(after) if getattr(after, name) != getattr(before, name)}
        if self.waiting is not None or names - LIVE:
            self._request(after)
            return True
        if names:
            self.options, self.hparams = after, hparams_of(after)
            self.exact = self.exact and self.step == 0
        return False

    def edit(self, layer: Any, row: Any, column: Any, value: Any) -> None:
        """Set a weight of the network on view, or a bias if `row` is None."""
        hidden = self.options.hidden
        head = layer == len(hidden)
        name = "head" if head else f"hidden{_index('layer', layer, len(hidden)) + 1}"
        inputs = UNITS if layer == 0 else hidden[layer - 1]
        column = _index("unit", column, 1 if head else hidden[layer])
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not abs(value) <= 1e6:
            raise OptionsError(f"a weight expects a number up to 1e6, but got {value!r:.40}")
        part = "bias" if row is None else "kernel"
        params = self.states.params
        before = params[name] if head else params[name]["fc"]
        leaf = np.array(before[part])
        where = (column,) if row is None else (_index("input", row, inputs), column)
        leaf[(self.chosen, *where)] = value
        after = before | {part: leaf}
        params = params | {name: after if head else params[name] | {"fc": after}}
        self.states, self.exact = self.states._replace(params=params), False

    def frame(self) -> dict[str, Any]:
        """What changes from frame to frame."""
        arguments = (self.points.x, self.points.y, *self.maps, np.int32(self.points.count))
        seen = jax.device_get(
            self.programs.look(self.states, self.hparams, *arguments, np.int32(self.chosen))
        )
        return encode(seen, len(self.options.hidden)) | {
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
        """Why a network stopped, found out once, or None."""
        failed = np.flatnonzero(self.stopped)
        if failed.size and self.cause is None:
            step = int(self.stopped[failed[0]]) - 1
            self.cause = explain(
                *(self.options, self.points, self.hparams, self.states), int(failed[0]), step
            )
        return self.cause

    def overview(self) -> dict[str, Any]:
        """What changes only with a new start: settings, points and code, and the first frame."""
        x, y, count = self.points
        return self.frame() | {
            "options": vars(self.options),
            "x": np.round(x[:, :2], 3).tolist(),
            "y": np.round(y[:, 0], 3).tolist(),
            "count": count,
            "sides": {"small": GRID, "large": LARGE},
            "code": listing(self.options, max(self.step, 1)),
        }

    def _request(self, options: Options) -> None:
        """Have the programs of these settings compiled in the background."""
        with self.lock:
            self.waiting = options
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
        """Queue a command; False if there are too many."""
        with suppress(queue.Full):
            self.commands.put_nowait(command)
            return True
        return False

    def _take_over(self, send: Send) -> None:
        if self.waiting is not None and compiled(self.waiting) is not None:
            options, self.waiting, self.error = self.waiting, None, None
            self.start(options)
            send("start", self.overview())

    def _follow(self, send: Send, block: bool) -> None:
        """Carry out the commands that have arrived; wait for one if `block`."""
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
        """Do what a command says; the kind of event to answer with."""
        do = command.get("do")
        if do == "speed":
            self.per_frame = _index("steps per frame", command.get("steps"), MOST_STEPS + 1)
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
            self.chosen = _index("seed", command.get("seed"), self.options.seeds)
        elif do == "edit":
            self.edit(*(command.get(name) for name in ("layer", "row", "column", "value")))
        return "start" if do in ("pause", "step", "code") else "frame"


def _index(name: str, value: Any, length: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < length:
        raise OptionsError(f"{name} expects 0 to {length - 1}, but got {value!r:.40}; choose again")
    return value
