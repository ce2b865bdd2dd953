"""A small GPT, character by character, on the docstrings of Python's standard library.

python -m experiments.characters
python -m experiments.characters --prompt "Return the " --temperature 0.5

The transformer predicts each character from those before it; the loss is the mean over a row of
`length` characters, and the metric is in bits per character. Two blocks of width 128 have about
440,000 parameters. samples.txt has continuations of the prompt, as long as the model can read.
"""

import ast
import hashlib
import math
import platform
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax

from experiments import command_line, configs, reports, runner
from jaxnets import losses, metrics, models
from jaxnets.data import Dataset, Split, text, train_test_split
from jaxnets.files import atomic_write
from jaxnets.inspect import plots
from jaxnets.layer import Array, Layer
from jaxnets.training import RunError, TrainState, TrainStep, evaluate, make_train_step
from jaxnets.training.train_step import Hparams

DOCUMENTED = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Config(configs.RecipeConfig):
    """A character-level GPT on the docstrings of Python's standard library."""

    epochs: int = 5
    batch_size: int = 32
    validation: int = 300
    """Rows of the training text held out for validation; never trained on."""
    learning_rate: float | None = 0.003
    characters: int = 1_000_000
    """Characters of text, of which the last tenth is for testing."""
    length: int = 128
    """Characters per row, the most that a prediction can depend on."""
    features: int = 128
    """Features of each character in the transformer."""
    heads: int = 4
    """Heads of attention."""
    blocks: int = 2
    """Transformer blocks."""
    prompt: str = "Return "
    """The start of every sample."""
    samples: int = 4
    """Samples to draw, each of `length` characters."""
    temperature: float = 0.8
    """The sampling temperature; lower gives more predictable text."""
    seeds: ClassVar[int] = 1


def docstrings() -> Iterator[str]:
    """The ASCII docstrings in the standard library, in the order of its files."""
    folder = Path(sysconfig.get_path("stdlib"))
    for path in sorted(folder.rglob("*.py")):
        if {"site-packages", "test", "tests", "idlelib"} & {*path.relative_to(folder).parts}:
            continue
        try:
            tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, ValueError):  # a template, or a test of the parser
            continue
        found = (ast.get_docstring(n) for n in ast.walk(tree) if isinstance(n, DOCUMENTED))
        yield from (doc for doc in found if doc and doc.isascii())


def load(config: Config) -> tuple[Dataset, text.Vocabulary]:
    """Rows of characters, each with the next characters as labels, and their vocabulary."""
    corpus = ""
    for doc in docstrings():
        corpus += f"{doc}\n\n"
        if len(corpus) >= config.characters:
            break
    corpus = corpus[: config.characters]
    vocabulary = text.build_vocabulary([corpus], tokenizer=list)
    indices = vocabulary.encode([corpus])[0]
    rows = (len(indices) - 1) // config.length
    x, y = (indices[i:][: rows * config.length].reshape(rows, -1) for i in (0, 1))
    first = rows - rows // 10
    splits = Split(x[:first], y[:first]), Split(x[first:], y[first:])
    source = f"docstrings of Python {platform.python_version()}, {len(corpus):,} characters"
    digest = hashlib.sha256(corpus.encode()).hexdigest()
    return Dataset(*splits, "characters", source, {"text": digest}, vocabulary.tokens), vocabulary


def loss(logits: Array, labels: Array) -> Array:
    """The mean cross-entropy of each row's characters, (batch,), in nats."""
    return jax.vmap(losses.softmax_cross_entropy)(logits, labels).mean(-1)


def bits(logits: Array, labels: Array) -> Array:
    """The same in bits per character."""
    return loss(logits, labels) / math.log(2)


def experiment(config: Config) -> None:
    """Train, evaluate once on the test rows, and continue the prompt."""
    if not 0 < len(config.prompt) < config.length:
        raise RunError(
            f"--prompt expects from 1 to {config.length - 1} characters, but got "
            f"{len(config.prompt)}; shorten it, or raise --length"
        )
    dataset, vocabulary = load(config)
    train, validation = train_test_split(dataset.train, config.validation, seed=config.seed)
    run = runner.Run("characters", config, dataset)

    def gpt(cache: int | None = None) -> Layer:
        sizes = {"features": config.features, "heads": config.heads, "blocks": config.blocks}
        return models.gpt(len(vocabulary), config.length, **sizes, cache=cache)

    def train_step(hparams: Hparams) -> TrainStep:
        optimizer = config.make_optimizer(hparams, len(train.x))
        return make_train_step(gpt(), optimizer, loss, metrics={"bits": metrics.mean(bits)})

    def samples(train_state: TrainState) -> str:
        prompts = vocabulary.encode([config.prompt] * config.samples)
        steps = config.length - prompts.shape[1]
        options = {"key": jax.random.key(config.seed), "temperature": config.temperature}
        decoder, params = gpt(cache=config.length), train_state.params
        tokens = models.generate(decoder, params, prompts, steps, **options)
        return "\n---\n".join(config.prompt + "".join(vocabulary.decode(row)) for row in tokens)

    def report(run: runner.Run, train_step: Any, result: Any) -> reports.Report:
        test = evaluate(train_step, result.train_state, dataset.test, hparams=config.hparams)
        continued = samples(result.train_state)
        with atomic_write(run.folder / "samples.txt") as file:
            file.write(continued.encode())
        title = f"characters, {config.blocks} blocks{reports.interruption(run, result)}"
        curves = {"curves": plots.curves(result.history, title)}
        bits = f"test: {test['bits']:.3f} bits per character"
        return reports.Report({"test": test}, curves, f"{continued}\n---\n{bits}")

    result = run.fit(train_step, train, validation=validation)
    run.finish(train_step, result, report)


if __name__ == "__main__":
    command_line.main(experiment, Config)
