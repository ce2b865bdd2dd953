"""A generative adversarial network on MNIST (Goodfellow et al. 2014): two networks, one train step.

python -m experiments.gan
python -m experiments.gan --seeds 4

The train step is an object of this file: it has two networks, each with its own optimizer, and the
loop of `fit` runs it like any other, saves it, and goes on after a kill bit for bit. First the
discriminator steps, on real and made digits; then the generator, so as to be taken for real by it.
What must stay finite is the sum of both losses. images.png has what the first network makes of a
fixed grid of latent points: after two epochs noisy strokes, but each of a digit's form. Takes about
10 minutes on two CPU cores.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.nn import log_sigmoid, relu
from matplotlib.figure import Figure

from experiments import common, generative, population
from jaxnets import Layer, data, dense, dropout, flatten, serial
from jaxnets.keys import stream
from jaxnets.layer import Array, Key, Params
from jaxnets.training import Batch, TrainState
from jaxnets.training.train_step import Hparams, Sums

GRID = 10  # rows and columns of made digits
NAMES = ("generator", "discriminator", "taken_for_real")


@dataclass(frozen=True)
class Config(population.Config):
    """A generative adversarial network on MNIST."""

    epochs: int = 20
    learning_rate: float | None = 0.0005
    """Adam's, of both networks, at every step."""
    latent: int = 32
    """Dimensions of the latent points."""


generator = serial(
    *[("fc1", dense(256)), relu, ("fc2", dense(512)), relu],
    *[("head", dense(28 * 28)), jnp.tanh],
)
leaky_relu = partial(jax.nn.leaky_relu, negative_slope=0.2)
discriminator = serial(
    *[("fc1", dense(512)), leaky_relu, ("drop1", dropout(0.3))],
    *[("fc2", dense(256)), leaky_relu, ("drop2", dropout(0.3)), ("head", dense(1))],
)


@dataclass(frozen=True)
class AdversarialStep:
    """A step of the discriminator, then one of the generator.

    In the train state, `params` and `opt_state` have both networks' by their names.
    """

    generator: Layer
    discriminator: Layer
    optimizer: optax.GradientTransformation
    latent: int

    def init(self, key: Key, x: Array) -> TrainState:
        """The first train state."""
        batch = x.shape[0]
        made, _ = self.generator.init(stream(key, "generator"), jnp.zeros((batch, self.latent)))
        judge, _ = self.discriminator.init(
            stream(key, "discriminator"), jnp.zeros((batch, 28 * 28))
        )
        params = {"generator": made, "discriminator": judge}
        opt_state = {name: self.optimizer.init(part) for name, part in params.items()}
        return TrainState(jnp.int32(0), params, {}, opt_state, stream(key, "train"))

    def __call__(
        self, train_state: TrainState, batch: Batch, hparams: None = None
    ) -> tuple[TrainState, Sums]:
        """Step both networks once, the discriminator first."""
        del hparams  # they are in the optimizer
        key = stream(train_state.key, "step", train_state.step)
        made, judge = (train_state.params[name] for name in ("generator", "discriminator"))
        states = dict(train_state.opt_state)

        loss, gradient = jax.value_and_grad(self.discriminator_loss)(judge, made, batch, key)
        judge, states["discriminator"] = self.stepped(judge, gradient, states["discriminator"])
        made_loss, gradient = jax.value_and_grad(self.generator_loss)(made, judge, batch, key)
        made, states["generator"] = self.stepped(made, gradient, states["generator"])

        params = {"generator": made, "discriminator": judge}
        after = train_state._replace(step=train_state.step + 1, params=params, opt_state=states)
        sums = self.sums(after.params, batch, key)
        return after, {"objective": loss + made_loss, **sums}

    def stepped(self, params: Params, gradient: Params, opt_state: Any) -> tuple[Params, Any]:
        """The parameters and the optimizer's state after a step."""
        updates, opt_state = self.optimizer.update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    def make(self, params: Params, z: Array) -> Array:
        """Digits (batch, 784), from -1, black, to 1, white, from latent points."""
        return self.generator.apply(params, {}, z)[0]

    def judge(self, params: Params, x: Array, key: Key | None) -> Array:
        """The logits (batch,) of being real; with a key as in training."""
        logits, _ = self.discriminator.apply(params, {}, x, key=key, train=key is not None)
        return logits[:, 0]

    def latents(self, batch: Batch, key: Key) -> Array:
        """Standard normal points, (batch, latent)."""
        return jax.random.normal(stream(key, "latents"), (len(batch.weights), self.latent))

    def discriminator_loss(self, judge: Params, made: Params, batch: Batch, key: Key) -> Array:
        """The cross-entropy of telling real from made, in nats, its mean over the batch."""
        real = self.judge(judge, pixels(batch.x), stream(key, "real"))
        fake = self.judge(judge, self.make(made, self.latents(batch, key)), stream(key, "made"))
        return mean(-log_sigmoid(real) - log_sigmoid(-fake), batch.weights)

    def generator_loss(self, made: Params, judge: Params, batch: Batch, key: Key) -> Array:
        """That of being taken for real, which does not saturate."""
        fake = self.judge(judge, self.make(made, self.latents(batch, key)), stream(key, "made"))
        return mean(-log_sigmoid(fake), batch.weights)

    def sums(self, params: Params, batch: Batch, key: Key) -> Sums:
        """Of both losses, of made digits that are taken for real, and of the weights."""
        fake = self.make(params["generator"], self.latents(batch, key))
        real_logits = self.judge(params["discriminator"], pixels(batch.x), None)
        logits = self.judge(params["discriminator"], fake, None)
        by_example = {
            "generator": -log_sigmoid(logits),
            "discriminator": -log_sigmoid(real_logits) - log_sigmoid(-logits),
            "taken_for_real": logits > 0,
            "weight": jnp.ones_like(logits),
        }
        return {name: (value * batch.weights).sum() for name, value in by_example.items()}

    def evaluate_batch(self, train_state: TrainState, batch: Batch) -> Sums:
        """The same on other digits, and on the latent points of an own stream."""
        return self.sums(train_state.params, batch, stream(train_state.key, "evaluate"))

    def values(self, sums: Sums) -> dict[str, Array]:
        """The means over the examples."""
        return {name: sums[name] / sums["weight"] for name in NAMES}


def pixels(x: Array) -> Array:
    """Images of 0..255 as the generator makes them, (batch, 784) in -1..1."""
    return flatten(x) / 127.5 - 1


def mean(losses: Array, weights: Array) -> Array:
    """The mean over the examples that count."""
    return (losses * weights).sum() / weights.sum()


def experiment(config: Config) -> None:
    """Train, evaluate once on the test images, and draw made digits."""
    mnist = data.load("mnist", data_dir=config.data_dir)
    train, validation = data.train_test_split(mnist.train, config.validation, seed=config.seed)
    run = common.Run("gan", config, mnist)

    def train_step(hparams: Hparams) -> AdversarialStep:
        adam = optax.adam(hparams["learning_rate"], b1=0.5)
        return AdversarialStep(generator, discriminator, adam, config.latent)

    def draw(train_state: TrainState) -> Figure:
        points = jax.random.normal(jax.random.key(0), (GRID * GRID, config.latent))
        made, _ = jax.jit(generator.apply)(train_state.params["generator"], {}, points)
        images = jax.device_get(made + 1).reshape(GRID, GRID, 28, 28) / 2
        return generative.sheet(images, f"Made digits after {train_state.step:,} steps")

    held_out = (validation.x, validation.x)
    fitted = population.fit(run, config, train_step, (train.x, train.x), validation=held_out)
    generative.finish(run, config, train_step, fitted, NAMES, draw)


if __name__ == "__main__":
    common.main(experiment, Config)
