"""Three clusters of points, a small network that classifies them, and runs of it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnets import batch_norm, dense, dropout, losses, metrics, serial
from jaxnets.training import fit, make_train_step

HPARAMS = {"learning_rate": 0.1}


def clouds(n, seed=0):
    """`n` points (n, 2) in three separate clusters of standard deviation 1, and their classes."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(n) % 3
    x = np.array([[5, 0], [-5, 0], [0, 8]])[y] + rng.normal(size=(n, 2))
    return x.astype(np.float32), y.astype(np.int32)


def sgd(hparams):
    """SGD with momentum at the learning rate of `hparams`."""
    return optax.sgd(hparams["learning_rate"], momentum=0.9)


def by_rate(model, loss=losses.softmax_cross_entropy, optimizer=sgd, **options):
    """A function of `hparams` that returns a train step; only its optimizer reads them."""
    return lambda hparams: make_train_step(model, optimizer(hparams), loss, **options)


# It has state, randomness, and no bias before the norm, whose gradient is rounding error only.
MODEL = serial(
    ("fc1", dense(8, use_bias=False)),
    ("norm", batch_norm()),
    jnp.tanh,
    ("drop", dropout(0.2)),
    ("head", dense(3)),
)
TRAIN_STEP = by_rate(MODEL, metrics={"accuracy": metrics.accuracy})
TRAIN, VALIDATION = clouds(64), clouds(30, seed=1)


def run(train_step=TRAIN_STEP, data=TRAIN, *, seed=0, key=None, epochs=2, batch_size=12, **options):
    """`fit` with the arguments that most tests share; five steps per epoch."""
    key = jax.random.key(seed) if key is None else key
    if not hasattr(train_step, "init"):
        options = {"hparams": HPARAMS} | options
    epochs = None if "steps" in options else epochs
    return fit(train_step, data, key=key, epochs=epochs, batch_size=batch_size, **options)


def plain(train_state):
    """The train state with its key as numbers, for comparison."""
    return train_state._replace(key=jax.random.key_data(train_state.key))
