"""A multi-layer perceptron on MNIST: 784-500-300-10 with ReLU.

python -m experiments.mnist_mlp
python -m experiments.mnist_mlp --seeds 5
"""

from dataclasses import dataclass
from functools import partial

from jax.nn import relu

from experiments import command_line, configs, runner
from jaxnets import data, dense, flatten, losses, metrics, scale_pixels, serial
from jaxnets.training import TrainStep, make_train_step
from jaxnets.training.train_step import Hparams


@dataclass(frozen=True)
class Config(configs.RecipeConfig):
    """A multi-layer perceptron on MNIST."""

    epochs: int = 6
    workers: int = 0
    """Threads that read the examples as a `data.Stream`; with 0, or several seeds, the data stay on
    the device. The results are bit-identical."""


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
    run = runner.Run("mnist_mlp", config, mnist)

    def train_step(hparams: Hparams) -> TrainStep:
        return make_train_step(
            model,
            config.make_optimizer(hparams, len(train.x)),
            partial(losses.softmax_cross_entropy, label_smoothing=0.1),
            # the reported loss is the cross-entropy in nats, without smoothing
            metrics={
                "loss": metrics.mean(losses.softmax_cross_entropy),
                "accuracy": metrics.accuracy,
            },
        )

    examples = train
    if config.workers and config.seeds == 1:  # populations train from memory
        examples = data.Stream(train, workers=config.workers)
    result = run.fit(train_step, examples, seeds=config.seeds, validation=validation)
    run.finish(train_step, result)


if __name__ == "__main__":
    command_line.main(experiment, Config)
