"""Fine-tuning a pretrained network on few images, compared with training from scratch.

python -m experiments.finetune --data-dir FOLDER --out runs/finetune
python -m experiments.finetune --data pets --images 10 50

A small CNN is trained on Fashion-MNIST, on MNIST, or on its digits 0 to 8. Its stages get a new
head and are then trained on 10, 50 or 200 images per class of the other set, or of all ten digits,
for as many steps as a network from scratch, on the same images in the same order. The learning
rates, and the ratio between those of successive stages (Howard & Ruder 2018, section 3.2), are
chosen on 2,000 held-out images with seeds that are not reported. A seed determines the images, the
head, the order, and the pretrained network. The test accuracies of both, and the 95 % interval of
their paired difference, are written to `--out` and drawn; experiments/results/finetune.json is the
result.json of a run. Fashion-MNIST does not come with jaxnets: FOLDER holds its four IDX files;
without `--data-dir`, `data.load` looks for it and downloads it. Took 25 minutes on one CPU core
that was also used by other processes.

With `--data`, the few images are of a folder of your own pictures, one folder per class, as grey
images of 28 x 28 pixels, and the pretrained networks are those of MNIST. A fifth of each class is
the test set, and a fifth of the rest is for choosing the rates.

Points gained with 10, 50 and 200 images per class, mean over 10 seeds: nine digits to MNIST 8.0,
1.6, 0.7; MNIST to Fashion-MNIST 0.9, 0.5, -0.1*; Fashion-MNIST to MNIST 1.9, -0.1*, 0.0* (*: the 95
% interval includes 0).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from experiments import command_line, configs, runner, study
from experiments.finetune_report import describe, draw
from experiments.finetune_training import (
    Task,
    Trial,
    accuracies,
    discriminative,
    network,
    pretrain,
)
from experiments.folder import machine
from jaxnets import data, json_files
from jaxnets.data import Dataset, Split
from jaxnets.training import RunError, TrainStep
from jaxnets.training.population import spread
from jaxnets.training.report import write_json
from jaxnets.training.train_step import Hparams

DIRECTIONS = (
    ("Fashion-MNIST", "MNIST"),
    ("MNIST", "Fashion-MNIST"),
    ("nine digits", "MNIST"),
)
CHOOSING = (1000, 1001)  # seeds for choosing the rates, not reported
MEMORY = 2**36  # bytes; pictures stay in memory, since they are indexed at random
RATES = (0.003, 0.01, 0.03)
DECAYS = (0.0, 1 / 2.6, 1.0)
METHODS = {
    "from scratch": [Trial(False, rate, 1.0) for rate in RATES],
    "fine-tuned": [Trial(True, rate, decay) for rate in RATES for decay in DECAYS],
}


@dataclass(frozen=True)
class Config(configs.Config):
    """Fine-tuning on few images, compared with training from scratch."""

    images: tuple[int, ...] = (10, 50, 200)
    """Training images per class."""
    seeds: int = 10
    """Reported runs, each with its own pretrained network, images, head and order."""
    pretraining_epochs: int = 1
    """Epochs of pretraining."""
    updates: int = 200
    """Optimizer steps on the few images, for any number of images."""
    batch_size: int = 50
    """Examples per update."""
    validation: int = 2000
    """Held-out training images of each set, for choosing hyperparameters."""
    data_dir: Path | None = None
    """A folder with Fashion-MNIST's IDX files, instead of those that `data.load` finds."""
    data: Path | None = None
    """A folder of pictures, one folder per class, instead of Fashion-MNIST."""
    resume: configs.Flag = False
    """Run the comparisons that the run in --out has not finished."""


def compare(config: Config, task: Task, count: int) -> dict[str, Any]:
    """Choose each method's rates on validation data; summarize the test accuracies."""
    trials = [trial for trials in METHODS.values() for trial in trials]
    validated = [accuracies(config, task, count, s, trials, task.validation) for s in CHOOSING]
    score = dict(zip(trials, np.mean(validated, 0).tolist(), strict=True))
    best = {name: max(trials, key=score.__getitem__) for name, trials in METHODS.items()}
    seeds = range(config.seeds)
    tested = [accuracies(config, task, count, s, best.values(), task.test) for s in seeds]
    scratch, finetuned = np.round(np.array(tested, float), 6).T  # about the precision of float32
    by_seed = {"from scratch": scratch, "fine-tuned": finetuned, "difference": finetuned - scratch}
    summaries = {name: summary(values) for name, values in by_seed.items()}
    for name, trial in best.items():
        summaries[name] |= {"trial": trial._asdict(), "validation_accuracy": score[trial]}
    return summaries


def summary(values: np.ndarray) -> dict[str, Any]:
    """The values by seed, their mean and its 95 % interval by Student's t."""
    _, mean, _, low, high, *_ = spread(values)
    return {"by_seed": values.tolist(), "mean": mean, "interval": [low, high]}


def check(config: Config, splits: list[Split]) -> None:
    """Refuse numbers of images and seeds that are impossible, before anything is trained."""
    fewest = min(np.bincount(split.y).min() for split in splits)
    most = min(int(fewest), config.updates * config.batch_size // 10)
    if not config.images or not all(1 <= count <= most for count in config.images):
        raise RunError(f"--images expects 1 to {most} per class, but got {config.images}")
    if config.seeds < 2:
        raise RunError(f"--seeds expects at least 2, for an interval, but got {config.seeds}")


def tasks(
    config: Config, sets: dict[str, Dataset], finished: set[str]
) -> Iterable[tuple[str, Task]]:
    """Pretrain the networks of each unfinished direction, and yield its name and task."""
    directions = DIRECTIONS if config.data is None else [("MNIST", name) for name in sets][1:]
    held = {
        name: data.split_by_class(s.train, 0.2, seed=0)
        if config.data is not None and name != "MNIST"
        else data.train_test_split(s.train, config.validation, seed=0)
        for name, s in sets.items()
    }
    check(config, [held[target][0] for _, target in directions])
    sources = {name: train for name, (train, _) in held.items()}
    nine = sources["MNIST"].y < 9
    sources["nine digits"] = Split(*(part[nine] for part in sources["MNIST"]))
    seeds = [*range(config.seeds), *CHOOSING]
    for source, target in directions:
        if f"{source}, then {target}" in finished:
            continue
        print(f"pretraining {len(seeds)} networks on {source}", flush=True)
        states = pretrain(config, sources[source], seeds)
        bodies = {s: jax.tree.map(lambda leaf, i=i: leaf[i], states) for i, s in enumerate(seeds)}
        train_step = make_step(config, len(sets[target].classes))
        yield f"{source}, then {target}", Task(train_step, bodies, *held[target], sets[target].test)


def make_step(config: Config, classes: int) -> Callable[[Hparams], TrainStep]:
    """A train step on the few images, as a function of a trial's rates."""
    model = network(classes)

    def train_step(hparams: Hparams) -> TrainStep:
        return study.train_step(model, discriminative(hparams, config.updates))

    return train_step


def load(config: Config) -> dict[str, Dataset]:
    """Both data sets; MNIST as packaged with jaxnets, since the files have the same names."""
    digits = data.load("mnist", source="packaged")
    if config.data is not None:
        pictures = data.from_folder(config.data, size=28, grey=True, memory=MEMORY)
        return {"MNIST": digits, f"pictures of {pictures.name}": pictures}
    return {"MNIST": digits, "Fashion-MNIST": data.load("fashion_mnist", data_dir=config.data_dir)}


def experiment(config: Config) -> None:
    """Compare both methods in each direction, for each number of images; save each comparison."""
    sets = load(config)
    run = runner.Run("finetune", config, [*sets.values()][-1])
    path = run.folder / "comparisons.json"
    results = read_comparisons(path) if run.resumes and path.exists() else {}
    for direction, task in tasks(config, sets, finished_directions(config, results)):
        for count in map(str, config.images):
            if count not in results.setdefault(direction, {}):
                results[direction][count] = compare(config, task, int(count))
                write_json(path, results)
            comparison = describe(results[direction][count])
            print(f"{direction}, {count} per class: {comparison}", flush=True)
    result = {"seeds": config.seeds, "updates": config.updates, "results": results}
    run.write(result | machine(), {"finetune": draw(results, config.seeds)})


def read_comparisons(path: Path) -> dict[str, Any]:
    """The comparisons in a file: by direction, by images per class."""
    cure = "delete it to repeat all comparisons"
    results = json_files.read(path, cure=cure)
    with json_files.as_json_errors(path, cure):
        if not all(isinstance(one, dict) for each in results.values() for one in each.values()):
            raise ValueError("it holds something other than comparisons")
    return results


def finished_directions(config: Config, results: dict[str, Any]) -> set[str]:
    """The directions with all comparisons finished, which need no pretrained network."""
    return {name for name, by_count in results.items() if len(by_count) == len(config.images)}


if __name__ == "__main__":
    command_line.main(experiment, Config)
