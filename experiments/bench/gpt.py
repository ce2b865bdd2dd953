"""A GPT's training step compared with PyTorch's on a CPU: forward, backward and Adam, CPU time.

python -m experiments.bench.gpt
python -m experiments.bench.gpt --out experiments/results/bench_gpt.json

Both have the same sizes, the same loss (the mean cross-entropy of all tokens) and Adam. This
library runs its steps in one compiled loop, as training does; PyTorch runs them eagerly, with its
own modules and its fused attention. They take turns, and the ratio of CPU times is computed for
each round; on a shared processor, wall times would depend on the other programs. Run it pinned to
one core (`taskset -c 0`) for the figures of a single thread.
"""

import importlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
import optax

from experiments import command_line
from experiments.bench.records import processor
from experiments.bench.recurrent import Step, seconds
from experiments.timings import turns
from experiments.timings.turns import describe, in_turn, ratio, summary
from jaxnets import losses, models
from jaxnets.training import Batch, make_train_step

RATE = 1e-3


@dataclass(frozen=True)
class Config(turns.Config):
    """A small GPT, timed."""

    batch_size: int = 16
    """Sequences per batch."""
    length: int = 128
    """Tokens per sequence."""
    vocabulary: int = 96
    """Different tokens."""
    features: int = 128
    """Features of each token in the transformer."""
    heads: int = 4
    """Heads of attention."""
    blocks: int = 2
    """Transformer blocks."""
    rounds: int = 7
    """Rounds that are counted."""
    repeats: int = 4
    """Training steps per measurement."""


def data_of(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """Random tokens (batch, length), and the token after each."""
    shape = (config.batch_size, config.length + 1)
    tokens = np.random.default_rng(0).integers(0, config.vocabulary, shape, np.int32)
    return tokens[:, :-1], tokens[:, 1:]


def loss(logits: Any, labels: Any) -> Any:
    """The mean cross-entropy of each sequence's tokens, (batch,), in nats."""
    return jax.vmap(losses.softmax_cross_entropy)(logits, labels).mean(-1)


def ours(config: Config) -> Step:
    """This library's `models.gpt` and train step, the steps in one compiled loop."""
    sizes = {"features": config.features, "heads": config.heads, "blocks": config.blocks}
    model = models.gpt(config.vocabulary, config.length, **sizes)
    train_step = make_train_step(model, optax.adam(RATE), loss)
    x, y = map(jax.numpy.asarray, data_of(config))
    batch = Batch(x, y, jax.numpy.ones(len(x)))
    train_state = train_step.init(jax.random.key(0), x)

    @jax.jit
    def run(train_state: Any, batch: Batch) -> Any:
        return jax.lax.fori_loop(
            0, config.repeats, lambda _, state: train_step(state, batch)[0], train_state
        )

    return lambda: jax.block_until_ready(run(train_state, batch))


def torch_model(config: Config) -> Any:
    """The same GPT of PyTorch's modules: pre-norm blocks, tanh GELU, causal fused attention."""
    torch = importlib.import_module("torch")
    nn, f = torch.nn, torch.nn.functional
    features, heads = config.features, config.heads

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(features), nn.LayerNorm(features)
            self.project, self.out = (
                nn.Linear(features, 3 * features),
                nn.Linear(features, features),
            )
            self.fc1, self.fc2 = (
                nn.Linear(features, 4 * features),
                nn.Linear(4 * features, features),
            )

        def forward(self, x: Any) -> Any:
            split = self.project(self.norm1(x)).unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
            read = f.scaled_dot_product_attention(*split, is_causal=True)
            x = x + self.out(read.transpose(1, 2).flatten(2))
            return x + self.fc2(f.gelu(self.fc1(self.norm2(x)), approximate="tanh"))

    class GPT(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(config.vocabulary, features)
            self.positions = nn.Embedding(config.length, features)
            self.blocks = nn.Sequential(*(Block() for _ in range(config.blocks)))
            self.norm = nn.LayerNorm(features)
            self.head = nn.Linear(features, config.vocabulary, bias=False)

        def forward(self, x: Any) -> Any:
            x = self.tokens(x) + self.positions.weight[: x.shape[1]]
            return self.head(self.norm(self.blocks(x)))

    return GPT()


def torch(config: Config) -> Step:
    """PyTorch's eager steps, with as many threads as there are cores."""
    library = importlib.import_module("torch")
    library.set_num_threads(len(os.sched_getaffinity(0)))
    model = torch_model(config)
    optimizer = library.optim.Adam(model.parameters(), lr=RATE)
    x, y = (library.from_numpy(a.astype(np.int64)) for a in data_of(config))

    def run() -> None:
        for _ in range(config.repeats):
            optimizer.zero_grad()
            library.nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten()).backward()
            optimizer.step()

    return run


PEERS: dict[str, Callable[[Config], Step]] = {"jaxnets": ours, "PyTorch": torch}


def main(config: Config) -> None:
    """Time both, print a line, and write the result."""
    steps = {name: make(config) for name, make in PEERS.items()}
    both = in_turn({name: partial(seconds, s) for name, s in steps.items()}, config.rounds)
    times = {name: [each.cpu for each in t] for name, t in both.items()}
    milliseconds = {name: [1000 * s / config.repeats for s in t] for name, t in times.items()}
    over = ratio(times["jaxnets"], times["PyTorch"])
    summaries = {name: summary(values) for name, values in milliseconds.items()}
    print(f"{describe(summaries)}; ours over PyTorch's {over['median']:.2f}", flush=True)
    names = ("batch_size", "length", "vocabulary", "features", "heads", "blocks")
    sizes = {name: getattr(config, name) for name in names}
    cores = len(os.sched_getaffinity(0))
    result = {"pinned_to": cores, "processor": processor(), "ours_over_PyTorch": over}
    turns.write("bench_gpt", config.out, {**sizes, "cpu_milliseconds": summaries, **result})


if __name__ == "__main__":
    command_line.main(main, Config, keep_compiled=False)
