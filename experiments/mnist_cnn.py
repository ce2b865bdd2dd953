"""A convolutional network on MNIST: batch norm, dropout, and images shifted by up to 2 pixels.

python -m experiments.mnist_cnn
python -m experiments.mnist_cnn --seeds 3
"""

from dataclasses import dataclass

from jax.nn import relu

from experiments import command_line, configs, runner
from jaxnets import (
    Layer,
    batch_norm,
    conv,
    data,
    dense,
    dropout,
    flatten,
    losses,
    max_pool,
    metrics,
    scale_pixels,
    serial,
)
from jaxnets.data import augment
from jaxnets.training import TrainStep, make_train_step
from jaxnets.training.train_step import Hparams


@dataclass(frozen=True)
class Config(configs.RecipeConfig):
    """A convolutional network on MNIST."""

    epochs: int = 10


def block(features: int) -> Layer:
    """Convolution, batch norm, ReLU."""
    return serial(("conv", conv(features, (3, 3), use_bias=False)), ("norm", batch_norm()), relu)


model = serial(
    scale_pixels(mean=0.1307, std=0.3081),
    ("block1", block(24)),
    max_pool((2, 2)),
    ("block2", block(48)),
    max_pool((2, 2)),
    ("block3", block(96)),
    flatten,
    ("drop", dropout(0.4)),
    ("fc1", dense(50)),
    relu,
    ("head", dense(10)),
)


def experiment(config: Config) -> None:
    """Train, and evaluate once on the test set."""
    mnist = data.load("mnist", data_dir=config.data_dir)
    train, validation = data.train_test_split(mnist.train, config.validation, seed=config.seed)
    run = runner.Run("mnist_cnn", config, mnist)

    def train_step(hparams: Hparams) -> TrainStep:
        return make_train_step(
            model,
            config.make_optimizer(hparams, len(train.x)),
            losses.softmax_cross_entropy,
            metrics={"accuracy": metrics.accuracy},
            augment=augment.shift(2),
        )

    result = run.fit(train_step, train, seeds=config.seeds, validation=validation)
    run.finish(train_step, result)


if __name__ == "__main__":
    command_line.main(experiment, Config)
