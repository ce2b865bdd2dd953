"""A generative adversarial network on MNIST (Goodfellow et al. 2014): two networks, one train step.

python -m experiments.gan
python -m experiments.gan --seeds 4

The train step is a class defined in this file, with two networks and an optimizer for each; `fit`
runs it like any other, saves it, and resumes it bit for bit. First the discriminator takes a step
on real and generated digits, then the generator on the loss of being classified as real. The sum of
both losses must stay finite. images.png shows the digits that the first seed's generator makes from
100 fixed random latent points; with --epochs 2 they are still noisy strokes. Takes about 10 minutes
on two CPU cores.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.nn import log_sigmoid, relu
from matplotlib.figure import Figure

from experiments import command_line, configs, figures, reports, runner
from jaxnets import Layer, data, dense, dropout, flatten, serial
from jaxnets.keys import stream
from jaxnets.layer import Array, Key, Params
from jaxnets.training import Batch, TrainState
from jaxnets.training.train_step import Hparams, Sums

GRID = 10  # rows and columns of generated digits
NAMES = ("generator_loss", "discriminator_loss", "fraction_taken_for_real")


@dataclass(frozen=True)
class Config(configs.RecipeConfig):
    """A generative adversarial network on MNIST."""

    epochs: int = 20
    learning_rate: float | None = 0.0005
    """Adam's constant learning rate, for both networks."""
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

    In the train state, `params` and `opt_state` are dicts with an entry per network.
    """

    generator: Layer
    discriminator: Layer
    optimizer: optax.GradientTransformation
    latent: int

    def init(self, key: Key, x: Array) -> TrainState:
        """The initial train state."""
        batch = x.shape[0]
        gen, _ = self.generator.init(stream(key, "generator"), jnp.zeros((batch, self.latent)))
        disc, _ = self.discriminator.init(stream(key, "discriminator"), jnp.zeros((batch, 28 * 28)))
        params = {"generator": gen, "discriminator": disc}
        opt_state = {name: self.optimizer.init(part) for name, part in params.items()}
        return TrainState(jnp.int32(0), params, {}, opt_state, stream(key, "train"))

    def __call__(
        self, train_state: TrainState, batch: Batch, hparams: None = None
    ) -> tuple[TrainState, Sums]:
        """Update both networks once, the discriminator first."""
        del hparams  # already used by the optimizer
        key = stream(train_state.key, "step", train_state.step)
        gen, disc = (train_state.params[name] for name in ("generator", "discriminator"))
        states = dict(train_state.opt_state)

        loss, gradient = jax.value_and_grad(self.discriminator_loss)(disc, gen, batch, key)
        disc, states["discriminator"] = self.update(disc, gradient, states["discriminator"])
        gen_loss, gradient = jax.value_and_grad(self.generator_loss)(gen, disc, batch, key)
        gen, states["generator"] = self.update(gen, gradient, states["generator"])

        params = {"generator": gen, "discriminator": disc}
        after = train_state._replace(step=train_state.step + 1, params=params, opt_state=states)
        sums = self.sums(after.params, batch, key)
        return after, {"objective": loss + gen_loss, **sums}

    def update(self, params: Params, gradient: Params, opt_state: Any) -> tuple[Params, Any]:
        """The parameters and the optimizer's state after a step."""
        updates, opt_state = self.optimizer.update(gradient, opt_state, params)
        return optax.apply_updates(params, updates), opt_state

    def generate(self, params: Params, z: Array) -> Array:
        """Digits (batch, 784) from latent points; -1 is black and 1 white."""
        return self.generator.apply(params, {}, z)[0]

    def classify(self, params: Params, x: Array, key: Key | None) -> Array:
        """The logits (batch,) of being real; in training mode if there is a key."""
        logits, _ = self.discriminator.apply(params, {}, x, key=key, train=key is not None)
        return logits[:, 0]

    def latents(self, batch: Batch, key: Key) -> Array:
        """Standard normal points, (batch, latent)."""
        return jax.random.normal(stream(key, "latents"), (len(batch.weights), self.latent))

    def discriminator_loss(self, disc: Params, gen: Params, batch: Batch, key: Key) -> Array:
        """The mean cross-entropy of classifying real and generated digits, in nats."""
        real = self.classify(disc, pixels(batch.x), stream(key, "real"))
        digits = self.generate(gen, self.latents(batch, key))
        fake = self.classify(disc, digits, stream(key, "made"))
        return mean(-log_sigmoid(real) - log_sigmoid(-fake), batch.weights)

    def generator_loss(self, gen: Params, disc: Params, batch: Batch, key: Key) -> Array:
        """The non-saturating loss: the cross-entropy of being classified as real."""
        digits = self.generate(gen, self.latents(batch, key))
        fake = self.classify(disc, digits, stream(key, "made"))
        return mean(-log_sigmoid(fake), batch.weights)

    def sums(self, params: Params, batch: Batch, key: Key) -> Sums:
        """The sums of both losses, of generated digits classified as real, and of the weights."""
        fake = self.generate(params["generator"], self.latents(batch, key))
        real_logits = self.classify(params["discriminator"], pixels(batch.x), None)
        logits = self.classify(params["discriminator"], fake, None)
        by_example = {
            "generator_loss": -log_sigmoid(logits),
            "discriminator_loss": -log_sigmoid(real_logits) - log_sigmoid(-logits),
            "fraction_taken_for_real": logits > 0,
            "weight": jnp.ones_like(logits),
        }
        return {name: (value * batch.weights).sum() for name, value in by_example.items()}

    def evaluate_batch(self, train_state: TrainState, batch: Batch) -> Sums:
        """The sums for evaluation, with latent points from another stream of keys."""
        return self.sums(train_state.params, batch, stream(train_state.key, "evaluate"))

    def values(self, sums: Sums) -> dict[str, Array]:
        """The means over the examples."""
        return {name: sums[name] / sums["weight"] for name in NAMES}


def pixels(x: Array) -> Array:
    """Images in 0..255, rescaled to the generator's range: (batch, 784) in -1..1."""
    return flatten(x) / 127.5 - 1


def mean(losses: Array, weights: Array) -> Array:
    """The weighted mean over the examples."""
    return (losses * weights).sum() / weights.sum()


def experiment(config: Config) -> None:
    """Train, evaluate once on the test images, and draw generated digits."""
    mnist = data.load("mnist", data_dir=config.data_dir)
    train, validation = data.train_test_split(mnist.train, config.validation, seed=config.seed)
    run = runner.Run("gan", config, mnist)

    def train_step(hparams: Hparams) -> AdversarialStep:
        adam = optax.adam(hparams["learning_rate"], b1=0.5)
        return AdversarialStep(generator, discriminator, adam, config.latent)

    def draw(train_state: TrainState) -> Figure:
        points = jax.random.normal(jax.random.key(0), (GRID * GRID, config.latent))
        generated, _ = jax.jit(generator.apply)(train_state.params["generator"], {}, points)
        images = jax.device_get(generated + 1).reshape(GRID, GRID, 28, 28) / 2
        return figures.sheet(images, f"Generated digits after {train_state.step:,} steps")

    held_out = (validation.x, validation.x)
    result = run.fit(train_step, (train.x, train.x), seeds=config.seeds, validation=held_out)
    run.finish(train_step, result, partial(reports.generators, names=NAMES, draw=draw))


if __name__ == "__main__":
    command_line.main(experiment, Config)
