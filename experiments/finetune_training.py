"""The training of `finetune`: pretraining, and training on few images."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.nn import relu

from experiments import study
from jaxnets import Layer, batch_norm, conv, dense, flatten, max_pool, scale_pixels, serial
from jaxnets.data import Split
from jaxnets.training import TrainState, TrainStep, merge_params, partition_by_name
from jaxnets.training.population import evaluate_population, fit_population
from jaxnets.training.train_step import Hparams

STAGES = {"stage1": 8, "stage2": 16, "stage3": 32}  # kernels
BODY = "^(?!head/)"


class Trial(NamedTuple):
    """Hyperparameters for training on few images.

    Attributes:
      pretrained: whether the stages come from another network.
      learning_rate: Adam's initial rate for the head, with cosine decay.
      decay: the ratio of each stage's rate to that of the stage above: 0 trains only the head, 1
        trains all stages at the same rate.
    """

    pretrained: bool
    learning_rate: float
    decay: float


def network(classes: int) -> Layer:
    """Three stages of convolution, batch norm, ReLU and pooling, and one dense head.

    The decay of the running statistics is 0.9 because they must converge within one short run.
    """
    stages = []
    for name, width in STAGES.items():
        normalised = ("norm", batch_norm(decay=0.9))
        convolution = ("conv", conv(width, (3, 3), use_bias=False))
        stages.append((name, serial(convolution, normalised, relu, max_pool((2, 2)))))
    return serial(scale_pixels(), *stages, flatten, ("head", dense(classes)))


def discriminative(hparams: Hparams, steps: int) -> optax.GradientTransformation:
    """Adam with a rate that decays over the steps, and from the head to the first stage."""
    schedule = optax.cosine_decay_schedule(1.0, steps)
    adam = optax.adam(lambda step: hparams["learning_rate"] * schedule(step))
    rules = {
        f"^{stage}/": optax.chain(adam, optax.scale(hparams["decay"] ** depth))
        for depth, stage in enumerate(reversed(STAGES), start=1)
    }
    return partition_by_name(rules, default=adam)


def pretrain(config: Any, split: Split, seeds: list[int]) -> TrainState:
    """A network per seed, trained on a whole data set; NumPy arrays with an axis of seeds."""
    classes, batch_size = int(split.y.max()) + 1, min(128, len(split.y))
    steps = config.pretraining_epochs * (len(split.y) // batch_size)
    cycle = optax.cosine_onecycle_schedule(max(steps, 2), 0.005)
    trained = train_all(
        study.train_step(network(classes), optax.adam(cycle)),
        split,
        keys=jnp.stack([jax.random.key(seed) for seed in seeds]),
        epochs=config.pretraining_epochs,
        batch_size=batch_size,
    )
    return jax.device_get(trained._replace(opt_state=(), key=()))


def train_all(train_step: Any, train: Split, **options: Any) -> TrainState:
    """The members' train states after `fit_population`."""
    return fit_population(train_step, train, strategy="map", **options).train_states


def few(split: Split, count: int, rows: int, seed: int) -> Split:
    """`count` random images of each class, repeated up to this number of rows."""
    random = np.random.default_rng(seed)
    chosen = [random.permutation(np.flatnonzero(split.y == c))[:count] for c in np.unique(split.y)]
    repeated = np.resize(np.concatenate(chosen), rows)
    return Split(split.x[repeated], split.y[repeated])


class Task(NamedTuple):
    """The data and the pretrained networks of one direction.

    Attributes:
      train_step: a step on the few images, as a function of a trial's rates.
      bodies: pretrained networks, by seed.
      train: the split from which the few images are drawn.
      validation: the split for choosing hyperparameters.
      test: the split for the reported results.
    """

    train_step: Callable[[Hparams], TrainStep]
    bodies: dict[int, TrainState]
    train: Split
    validation: Split
    test: Split


def accuracies(
    config: Any, task: Task, count: int, seed: int, trials: Iterable[Trial], split: Split
) -> np.ndarray:
    """The accuracy on `split` after each of the trials (N,), all on the same few images."""
    images = few(task.train, count, config.updates * config.batch_size, seed)
    rates = [trial._asdict() for trial in trials]
    pretrained = [hparams.pop("pretrained") for hparams in rates]
    hparams = stack([jax.tree.map(jnp.float32, each) for each in rates])
    scratch = task.train_step(rates[0]).init(jax.random.key(seed), images.x[:1])
    body = task.bodies[seed]
    transferred = scratch._replace(
        params=merge_params(scratch.params, body.params, BODY),
        model_state=merge_params(scratch.model_state, body.model_state, BODY),
    )
    starts = [transferred if from_body else scratch for from_body in pretrained]
    train_states = train_all(
        task.train_step,
        images,
        keys=jnp.stack([jax.random.key(seed)] * len(starts)),
        epochs=1,
        batch_size=config.batch_size,
        hparams=hparams,
        start=stack(starts),
    )
    options = {"hparams": hparams, "strategy": "map"}
    return evaluate_population(task.train_step, train_states, split, **options)["accuracy"]


@jax.jit  # one program; stacking leaf by leaf would compile one per shape
def stack(trees: list) -> Any:
    """Stack trees of the same structure along a new leading axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)
