"""An autoencoder on MNIST: 784 pixels are encoded in 16 numbers, and decoded.

python -m experiments.autoencoder
python -m experiments.autoencoder --seeds 4

The label of an image is the image itself; nothing else differs from a classifier. The loss is the
binary cross-entropy in nats, summed over an image; pixels are interpreted as probabilities of ink.
images.png has test digits above their reconstructions by the first network. Takes about a minute on
two CPU cores.
"""

from dataclasses import dataclass
from functools import partial

import jax
from jax.nn import relu
from matplotlib.figure import Figure

from experiments import command_line, configs, figures, reports, runner
from jaxnets import data, dense, flatten, losses, metrics, scale_pixels, serial
from jaxnets.data import Dataset
from jaxnets.layer import Array
from jaxnets.training import TrainState, TrainStep, make_train_step, predict_outputs
from jaxnets.training.train_step import Hparams

SHOWN = 10  # digits per row


@dataclass(frozen=True)
class Config(configs.RecipeConfig):
    """An autoencoder on MNIST."""

    code: int = 16
    """The size of the code: numbers per image."""


def loss(logits: Array, images: Array) -> Array:
    """The cross-entropy of each image, (batch,)."""
    return losses.binary_cross_entropy(logits, flatten(images) / 255)


def pixel_error(logits: Array, images: Array) -> Array:
    """The mean squared error of each image's pixels in 0..1, (batch,)."""
    return losses.mean_squared_error(jax.nn.sigmoid(logits), flatten(images) / 255)


def experiment(config: Config) -> None:
    """Train, evaluate once on the test images, and draw some of them."""
    mnist = data.load("mnist", data_dir=config.data_dir)
    train, validation = data.train_test_split(mnist.train, config.validation, seed=config.seed)
    run = runner.Run("autoencoder", config, mnist)
    model = serial(
        *[scale_pixels(), flatten],
        *[("encode1", dense(256)), relu, ("encode2", dense(config.code))],
        *[("decode1", dense(256)), relu, ("decode2", dense(28 * 28))],
    )

    def train_step(hparams: Hparams) -> TrainStep:
        optimizer = config.make_optimizer(hparams, len(train.x))
        extra = {"pixel_error": metrics.mean(pixel_error)}
        return make_train_step(model, optimizer, loss, metrics=extra)

    def draw(train_state: TrainState) -> Figure:
        return reconstructions(train_step, train_state, config, mnist)

    held_out = (validation.x, validation.x)
    result = run.fit(train_step, (train.x, train.x), seeds=config.seeds, validation=held_out)
    report = partial(reports.generators, names=("loss", "pixel_error"), draw=draw)
    run.finish(train_step, result, report)


def reconstructions(
    train_step: object, train_state: TrainState, config: Config, mnist: Dataset
) -> Figure:
    """Two rows of test digits, each above its reconstructions."""
    x = mnist.test.x[: 2 * SHOWN]
    logits = predict_outputs(train_step, train_state, x, hparams=config.hparams)
    decoded = jax.nn.sigmoid(logits).reshape(2, SHOWN, 28, 28)
    digits = (x / 255).reshape(2, SHOWN, 28, 28)
    rows = jax.numpy.stack([digits, decoded], axis=1).reshape(4, SHOWN, 28, 28)
    title = f"Test digits, each above its reconstruction from {config.code} numbers"
    return figures.sheet(jax.device_get(rows), title)


if __name__ == "__main__":
    command_line.main(experiment, Config)
