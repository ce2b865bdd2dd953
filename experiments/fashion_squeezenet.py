"""SqueezeNet on Fashion-MNIST: a published network for photographs, on images of 28 x 28.

python -m experiments.fashion_squeezenet --data-dir FOLDER --out runs/squeezenet

`models.squeezenet_1_1`, with 10 classes and one channel, has 726,474 parameters and neither batch
norm nor a dense layer. Images are mirrored, AdamW's learning rate follows one cycle of 3 epochs,
and nothing was tuned. Fashion-MNIST does not come with jaxnets: FOLDER holds its four IDX files;
without `--data-dir`, `data.load` looks for it and downloads it.

Result of one run: 85.68 % on the test images, evaluated once, after 160 s of CPU time on one core
of an AMD EPYC, compiling included (5.6 minutes by the clock, as other programs used the core, too).
Longer training would improve it: the training accuracy in the last epoch was still 85.6 %. The
result.json of the run is experiments/results/fashion_squeezenet.json.
"""

from dataclasses import dataclass

from experiments import command_line, configs, runner
from jaxnets import data, losses, metrics, models, scale_pixels, serial
from jaxnets.data import augment
from jaxnets.training import TrainStep, make_train_step
from jaxnets.training.train_step import Hparams


@dataclass(frozen=True)
class Config(configs.RecipeConfig):
    """SqueezeNet on Fashion-MNIST."""

    epochs: int = 3
    validation: int = 1000


model = serial(scale_pixels(mean=0.286, std=0.353), ("squeezenet", models.squeezenet_1_1(10)))


def experiment(config: Config) -> None:
    """Train, and evaluate once on the test set."""
    fashion = data.load("fashion_mnist", data_dir=config.data_dir)
    train, validation = data.train_test_split(fashion.train, config.validation, seed=config.seed)
    run = runner.Run("fashion_squeezenet", config, fashion)

    def train_step(hparams: Hparams) -> TrainStep:
        return make_train_step(
            model,
            config.make_optimizer(hparams, len(train.x)),
            losses.softmax_cross_entropy,
            metrics={"accuracy": metrics.accuracy},
            augment=augment.flip(),
        )

    result = run.fit(train_step, train, seeds=config.seeds, validation=validation)
    run.finish(train_step, result)


if __name__ == "__main__":
    command_line.main(experiment, Config)
