"""PyTorch, eager, in the faster of its two memory formats."""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from itertools import chain, islice
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from experiments.bench.cases import LEARNING_RATE
from experiments.bench.peers.choose import choose
from experiments.bench.peers.images import TESTED, Split, decay_steps, epochs, images
from experiments.bench.peers.torch_networks import CASES, initialise
from experiments.bench.task import Task

NEEDS = ("torch",)

Loss = Callable[[Tensor, Tensor], Tensor]
Wrap = Callable[[Loss], Loss]
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
TURNS, TURN = 5, 3  # turns of each implementation, and steps per turn


def make(task: Task) -> "Loop":
    """A trainer of the network of the task's case."""
    return Loop(task, {"eager": lambda loss: loss})


class Implementation:
    """A network trained by Adam in one memory format; `wrap` transforms its loss function."""

    def __init__(self, task: Task, train: Split, nhwc: bool, wrap: Wrap):
        self.nhwc, self.mixed = nhwc, task.dtype == "bfloat16"
        self.steps = decay_steps(task, len(train.y))
        self.x = self.to_layout(train.x)
        self.y = torch.tensor(train.y, device=DEVICE).long()
        layout = torch.channels_last if nhwc else torch.contiguous_format
        torch.manual_seed(task.seed)
        members = [task.members] if task.case == "population" else []
        model = choose(task, CASES)(*members).apply(initialise)
        self.model = model.to(DEVICE, memory_format=layout)
        self.first = deepcopy(self.model.state_dict())
        self.loss = wrap(lambda x, y: cross_entropy(self.logits(x), y))
        self.restart()

    def restart(self) -> None:
        """Reset to the initial weights."""
        self.model.load_state_dict(self.first)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=LEARNING_RATE, fused=True)
        self.decay = self.steps and LambdaLR(
            self.optimizer, lambda step: 0.5 + 0.5 * math.cos(math.pi * min(step / self.steps, 1))
        )

    def to_layout(self, x: np.ndarray) -> Tensor:
        """NHWC images on the device, in this implementation's memory format."""
        tensor = torch.tensor(x, device=DEVICE)
        return tensor if self.nhwc else tensor.permute(0, 3, 1, 2).contiguous()

    def logits(self, x: Tensor) -> Tensor:
        """Logits in float32 from uint8 pixels in that format."""
        x = x.permute(0, 3, 1, 2) if self.nhwc else x
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=self.mixed):
            return self.model(x.float().div_(255)).float()

    def train(self, batches: Iterable[Tensor]) -> Tensor:
        """Take one step of Adam per batch of rows; return the last loss."""
        loss = torch.tensor(torch.nan)
        for rows in batches:
            loss = self.loss(self.x.index_select(0, rows), self.y.index_select(0, rows))
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            if self.decay is not None:
                self.decay.step()
        if DEVICE.type == "cuda":
            torch.cuda.synchronize()
        return loss.detach()


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """The mean over a batch, summed over the members for logits (members, batch, classes)."""
    losses = functional.cross_entropy(
        logits.flatten(0, -2), y.expand(logits.shape[:-1]).flatten(), reduction="none"
    )
    return losses.mean() * (logits.shape[0] if logits.ndim == 3 else 1)


class Loop:
    """A `Trainer` that times every implementation in `prepare` and keeps the fastest.

    `notes` names it, and on a GPU the precision of float32 products.
    """

    def __init__(self, task: Task, wraps: Mapping[str, Wrap]):
        torch.backends.cudnn.benchmark = True  # all batches have one shape
        train, self.test = images(task)
        self.epoch_steps, self.members = len(train.y) // task.batch_size, task.members
        orders = (torch.tensor(order, device=DEVICE) for order in epochs(len(train.y), task))
        self.batches: Iterator[Tensor] = chain.from_iterable(orders)
        layouts = (
            {"NCHW": False}
            if task.case in ("mlp", "population")
            else {"NCHW": False, "channels_last": True}
        )
        self.implementations = {
            f"{layout}, {name}": Implementation(task, train, nhwc, wrap)
            for layout, nhwc in layouts.items()
            for name, wrap in wraps.items()
        }
        self.implementation, self.notes = next(iter(self.implementations.values())), ""

    def prepare(self) -> dict[str, float]:
        """Time all of them alternately, keep the fastest; "compile" times its first step."""
        first = {name: self.timed(name, 1) for name in self.implementations}
        rounds = range(TURNS if len(self.implementations) > 1 else 1)
        turns = [{name: self.timed(name, TURN) for name in self.implementations} for _ in rounds]
        seconds = {
            name: median(turn[name] for turn in turns) / TURN for name in self.implementations
        }
        best = min(seconds, key=lambda name: seconds[name])
        self.implementation, self.notes = self.implementations[best], describe(best, seconds)
        self.implementation.restart()
        self.implementations.clear()
        return {"trace": 0.0, "compile": first[best]}

    def timed(self, name: str, n: int) -> float:
        """The seconds of n steps with one implementation."""
        began = time.perf_counter()
        self.implementations[name].train(islice(self.batches, n))
        return time.perf_counter() - began

    def steps(self, n: int) -> float:
        """Train n steps; return the loss of the last one."""
        return self.implementation.train(islice(self.batches, n)).item() / self.members

    def epoch(self) -> None:
        """Train one epoch."""
        self.steps(self.epoch_steps)

    @torch.inference_mode()
    def accuracy(self) -> float:
        """The fraction of the test images that are classified correctly."""
        fastest, (x, y) = self.implementation, self.test
        fastest.model.eval()
        batches = (slice(start, start + TESTED) for start in range(0, len(y), TESTED))
        classes = [
            fastest.logits(fastest.to_layout(x[batch])).argmax(dim=-1).cpu() for batch in batches
        ]
        fastest.model.train()
        return float((torch.cat(classes, dim=-1).numpy() == y).mean())


def describe(best: str, seconds: Mapping[str, float]) -> str:
    """A note with the fastest implementation, all times, and on a GPU the float32 precision."""
    trials = ", ".join(f"{name} {1e3 * s:.2f}" for name, s in seconds.items())
    note = f"{best} (ms per step in a short trial: {trials})"
    if DEVICE.type != "cuda":
        return note
    precision, tf32 = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    return f"{note}; float32 matmul precision {precision}, TF32 in convolutions: {tf32}"
