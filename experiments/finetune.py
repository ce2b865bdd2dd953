"""Moving to little data: a network trained on other pictures and fine-tuned, or from scratch.

python -m experiments.finetune --data-dir FOLDER

A small CNN learns Fashion-MNIST, MNIST, or its digits 0 to 8. Its stages then move, under a new
head, to 10, 50 or 200 images a class of the other set, or of all ten digits, and train as long as a
network from scratch, on the same images in the same order. Learning rates, and how much slower each
stage learns than the one above it (Howard & Ruder 2018, section 3.2), are chosen on 2,000 held-out
images by seeds that are not reported. A seed draws the images, the head, the order, and the network
that was trained before. The test accuracies of both, and the 95 % interval of their paired
difference, are written to `--out` and drawn. Fashion-MNIST does not come with jaxnets: FOLDER holds
its four IDX files; without `--data-dir` it is looked for as `data.load` says, and downloaded. Took
25 minutes on one CPU core beside other work.

Points gained with 10, 50 and 200 images a class, mean over 10 seeds: nine digits to MNIST 8.0, 1.6,
0.7; MNIST to Fashion-MNIST 0.9, 0.5, -0.1*; Fashion-MNIST to MNIST 1.9, -0.1*, 0.0* (*: or none).
"""

import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
from jax.nn import relu

from experiments import common, study
from experiments.finetune_report import draw, tell
from experiments.folder import begin, machine, write_figure, write_json
from jaxnets import (
    Layer,
    batch_norm,
    conv,
    data,
    dense,
    flatten,
    json_files,
    max_pool,
    scale_pixels,
    serial,
)
from jaxnets.data import Dataset, Split
from jaxnets.training import (
    Interrupted,
    RunError,
    TrainState,
    TrainStep,
    merge_params,
    partition_by_name,
)
from jaxnets.training.population import evaluate_population, fit_population, spread
from jaxnets.training.train_step import Hparams

DIRECTIONS = (
    ("Fashion-MNIST", "MNIST"),
    ("MNIST", "Fashion-MNIST"),
    ("nine digits", "MNIST"),
)
STAGES = {"stage1": 8, "stage2": 16, "stage3": 32}  # kernels in each
BODY = "^(?!head/)"
CHOOSING = (1000, 1001)  # seeds that choose, none of which is reported


class Trial(NamedTuple):
    """A way to learn from few images.

    Attributes:
      pretrained: whether the stages come from another network.
      learning_rate: Adam's for the head, at first; it falls along half a cosine wave.
      decay: each stage's rate over that of the layer above it: 0 moves the head alone, 1 all alike.
    """

    pretrained: bool
    learning_rate: float
    decay: float


RATES = (0.003, 0.01, 0.03)
DECAYS = (0.0, 1 / 2.6, 1.0)
WAYS = {
    "from scratch": [Trial(False, rate, 1.0) for rate in RATES],
    "fine-tuned": [Trial(True, rate, decay) for rate in RATES for decay in DECAYS],
}


@dataclass(frozen=True)
class Config:
    """Fine-tuning against training from scratch, on few images."""

    images: tuple[int, ...] = (10, 50, 200)
    """Images a class to learn from."""
    seeds: int = 10
    """Runs that are reported, each with a network, images, a head and an order of its own."""
    pretraining_epochs: int = 1
    """Passes over the other pictures."""
    updates: int = 200
    """Updates on the few images, however few they are."""
    batch_size: int = 50
    """Examples in each."""
    validation: int = 2000
    """Training images of each set held out, to choose by."""
    data_dir: Path | None = None
    """A folder with Fashion-MNIST's IDX files, instead of those found by themselves."""
    out: Path | None = None
    """The folder to write to; by default runs/finetune-TIME."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Go on with the comparisons that the one in --out has not finished."""


def network(classes: int) -> Layer:
    """Three stages of convolution, batch norm, ReLU and pooling under one dense head.

    The running statistics must settle within one short run, hence their decay.
    """
    stages = []
    for name, width in STAGES.items():
        normalised = ("norm", batch_norm(decay=0.9))
        convolution = ("conv", conv(width, (3, 3), use_bias=False))
        stages.append((name, serial(convolution, normalised, relu, max_pool((2, 2)))))
    return serial(scale_pixels(), *stages, flatten, ("head", dense(classes)))


def discriminative(hparams: Hparams, steps: int) -> optax.GradientTransformation:
    """Adam, its rate falling over the steps and from the head down."""
    falling = optax.cosine_decay_schedule(1.0, steps)
    adam = optax.adam(lambda step: hparams["learning_rate"] * falling(step))
    rules = {
        f"^{stage}/": optax.chain(adam, optax.scale(hparams["decay"] ** depth))
        for depth, stage in enumerate(reversed(STAGES), start=1)
    }
    return partition_by_name(rules, default=adam)


def pretrained(config: Config, split: Split, seeds: list[int]) -> TrainState:
    """A network a seed that has learnt a whole data set; leaves have the leading axis of seeds."""
    classes, batch_size = int(split.y.max()) + 1, min(128, len(split.y))
    steps = config.pretraining_epochs * (len(split.y) // batch_size)
    cycle = optax.cosine_onecycle_schedule(max(steps, 2), 0.005)
    return trained(
        study.train_step(network(classes), optax.adam(cycle)),
        split,
        keys=jnp.stack([jax.random.key(seed) for seed in seeds]),
        epochs=config.pretraining_epochs,
        batch_size=batch_size,
    )


def trained(train_step: Any, train: Split, **options: Any) -> TrainState:
    """The members' train states after `fit_population`; where it is interrupted all ends."""
    try:
        return fit_population(train_step, train, strategy="map", **options).train_states
    except Interrupted as interrupted:
        print("interrupted; the comparisons that are done stay, --resume goes on", file=sys.stderr)
        sys.exit(130 if interrupted.signal == signal.SIGINT else 75)


def few(split: Split, count: int, rows: int, seed: int) -> Split:
    """`count` random images of each class, in turn until there are so many rows."""
    random = np.random.default_rng(seed)
    chosen = [random.permutation(np.flatnonzero(split.y == c))[:count] for c in np.unique(split.y)]
    repeated = np.resize(np.concatenate(chosen), rows)
    return Split(split.x[repeated], split.y[repeated])


class Task(NamedTuple):
    """What there is to learn in one direction.

    Attributes:
      train_step: one step on the few images, as a function of a trial's rates.
      bodies: networks trained before, by seed.
      train: where the few images are drawn from.
      validation: what choices are made on.
      test: what results are reported of.
    """

    train_step: Callable[[Hparams], TrainStep]
    bodies: dict[int, TrainState]
    train: Split
    validation: Split
    test: Split


def accuracies(
    config: Config, task: Task, count: int, seed: int, trials: Iterable[Trial], split: Split
) -> np.ndarray:
    """The accuracy on `split` after each of the trials (N,), all on the same few images."""
    images = few(task.train, count, config.updates * config.batch_size, seed)
    rates = [trial._asdict() for trial in trials]
    moves = [hparams.pop("pretrained") for hparams in rates]
    hparams = stacked([jax.tree.map(jnp.float32, each) for each in rates])
    scratch = task.train_step(rates[0]).init(jax.random.key(seed), images.x[:1])
    body = task.bodies[seed]
    moved = scratch._replace(
        params=merge_params(scratch.params, body.params, BODY),
        model_state=merge_params(scratch.model_state, body.model_state, BODY),
    )
    starts = [moved if move else scratch for move in moves]
    found = trained(
        task.train_step,
        images,
        keys=jnp.stack([jax.random.key(seed)] * len(starts)),
        epochs=1,
        batch_size=config.batch_size,
        hparams=hparams,
        start=stacked(starts),
    )
    how = {"hparams": hparams, "strategy": "map"}
    return evaluate_population(task.train_step, found, split, **how)["accuracy"]


def stacked(trees: list) -> Any:
    """One tree of trees alike, its leaves with a leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def compare(config: Config, task: Task, count: int) -> dict[str, Any]:
    """Choose each way's rates on validation data, then report both and their difference."""
    trials = [trial for way in WAYS.values() for trial in way]
    chosen_by = [accuracies(config, task, count, s, trials, task.validation) for s in CHOOSING]
    score = dict(zip(trials, np.mean(chosen_by, 0).tolist(), strict=True))
    best = {way: max(of_way, key=score.__getitem__) for way, of_way in WAYS.items()}
    seeds = range(config.seeds)
    tested = [accuracies(config, task, count, s, best.values(), task.test) for s in seeds]
    scratch, finetuned = np.round(np.array(tested, float), 6).T  # float32 has no more digits
    found = {"from scratch": scratch, "fine-tuned": finetuned, "difference": finetuned - scratch}
    summary = {name: summarised(values) for name, values in found.items()}
    for way, trial in best.items():
        summary[way] |= {"trial": trial._asdict(), "validation_accuracy": score[trial]}
    return summary


def summarised(values: np.ndarray) -> dict[str, Any]:
    """The figures, one a seed, their mean and its 95 % interval by Student's t."""
    found = spread(values)
    interval = [found.low, found.high]
    return {"by_seed": values.tolist(), "mean": found.mean, "interval": interval}


def check(config: Config, splits: list[Split]) -> None:
    """Refuse numbers that do not fit, before anything is trained."""
    there = min(np.bincount(split.y).min() for split in splits)
    most = min(int(there), config.updates * config.batch_size // 10)
    if not config.images or not all(1 <= count <= most for count in config.images):
        raise RunError(f"images expects 1 to {most} a class, but got {config.images}")
    if config.seeds < 2:
        raise RunError(f"an interval expects 2 seeds or more, but got {config.seeds}")


def tasks(
    config: Config, sets: dict[str, Dataset], finished: set[str]
) -> Iterable[tuple[str, Task]]:
    """Each unfinished direction's name and task; its source is learnt when it is its turn."""
    held = {
        name: data.train_test_split(s.train, config.validation, seed=0) for name, s in sets.items()
    }
    check(config, [train for train, _ in held.values()])
    sources = {name: train for name, (train, _) in held.items()}
    nine = sources["MNIST"].y < 9
    sources["nine digits"] = Split(*(part[nine] for part in sources["MNIST"]))
    model = network(10)

    def train_step(hparams: Hparams) -> TrainStep:
        return study.train_step(model, discriminative(hparams, config.updates))

    seeds = [*range(config.seeds), *CHOOSING]
    for source, target in DIRECTIONS:
        if f"{source}, then {target}" in finished:
            continue
        print(f"{len(seeds)} networks learn {source}", flush=True)
        learnt = pretrained(config, sources[source], seeds)
        bodies = {s: jax.tree.map(lambda leaf, i=i: leaf[i], learnt) for i, s in enumerate(seeds)}
        yield f"{source}, then {target}", Task(train_step, bodies, *held[target], sets[target].test)


def load(config: Config) -> dict[str, Dataset]:
    """Both data sets; MNIST as it comes with jaxnets, since both have files of the same names."""
    fashion = data.load("fashion_mnist", data_dir=config.data_dir)
    return {"MNIST": data.load("mnist", source="packaged"), "Fashion-MNIST": fashion}


def experiment(config: Config) -> None:
    """Compare both ways in each direction, at each number of images; write each when it is done."""
    sets = load(config)
    folder, begun = begin("finetune", config, sets["Fashion-MNIST"])
    done = folder / "comparisons.json"
    results = compared(done) if begun and done.exists() else {}
    for direction, task in tasks(config, sets, finished(config, results)):
        for count in map(str, config.images):
            if count not in results.setdefault(direction, {}):
                results[direction][count] = compare(config, task, int(count))
                write_json(done, results)
            tell(f"{direction}, {count} a class", results[direction][count])
    about = {"seeds": config.seeds, "updates": config.updates, "results": results}
    write_json(folder / "result.json", about | machine())
    write_figure(folder / "finetune.png", draw(results, config.seeds))
    print(f"finetune.png and result.json are in {folder}")


def compared(path: Path) -> dict[str, Any]:
    """The comparisons in a file: by direction, by images per class."""
    cure = "delete it, and everything is compared again"
    results = json_files.read(path, cure=cure)
    with json_files.damaged(path, cure):
        if not all(isinstance(found, dict) for each in results.values() for found in each.values()):
            raise ValueError("it holds something else than comparisons")
    return results


def finished(config: Config, results: dict[str, Any]) -> set[str]:
    """The directions whose comparisons are all there, which need no network any more."""
    return {name for name, by_count in results.items() if len(by_count) == len(config.images)}


if __name__ == "__main__":
    common.main(experiment, Config)
