"""A multi-layer perceptron on MNIST: 784-500-300-10 with ReLU.

python -m experiments.mnist_mlp
python -m experiments.mnist_mlp --seeds 5
"""

from dataclasses import dataclass
from functools import partial

import jax
from jax.nn import relu

from experiments import common, population
from jaxnets import data, dense, flatten, losses, metrics, scale_pixels, serial
from jaxnets.training import TrainStep, make_train_step
from jaxnets.training.train_step import Hparams


@dataclass(frozen=True)
class Config(population.Config):
    """A multi-layer perceptron on MNIST."""

    epochs: int = 12
    workers: int = 0
    """Threads that read the examples during training, as a `data.Stream`; 0 holds them all on the
    device. The run is the same bit for bit."""


model = serial(
    scale_pixels(),
    flatten,
    ("fc1", dense(500)),
    relu,
    ("fc2", dense(300)),
    relu,
    ("head", dense(10)),
)


def experiment(config: Config) -> None:
    """Train, and evaluate once on the test set."""
    mnist = data.load("mnist", data_dir=config.data_dir)
    train, validation = data.train_test_split(mnist.train, config.validation, seed=config.seed)
    run = common.Run("mnist_mlp", config, mnist)

    def train_step(hparams: Hparams) -> TrainStep:
        return make_train_step(
            model,
            config.make_optimizer(hparams, len(train.x)),
            partial(losses.softmax_cross_entropy, label_smoothing=0.1),
            # what is reported as loss is the plain one, in nats, not the smoothed one
            metrics={
                "loss": metrics.mean(losses.softmax_cross_entropy),
                "accuracy": metrics.accuracy,
            },
        )

    if config.seeds != 1:
        population.experiment(run, config, train_step, train, validation)
        return
    fitted = run.fit(
        train_step,
        data.Stream(train, workers=config.workers) if config.workers else train,
        key=jax.random.key(config.seed),
        epochs=config.epochs,
        batch_size=config.batch_size,
        hparams=config.hparams,
        validation=validation,
    )
    run.finish(train_step, fitted, hparams=config.hparams)


if __name__ == "__main__":
    common.main(experiment, Config)
