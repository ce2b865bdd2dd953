"""Three clouds of points, a small network that tells them apart, and runs of it."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnets import batch_norm, dense, dropout, losses, metrics, serial
from jaxnets.training import fit, make_update

HYPER = {"learning_rate": 0.1}


def clouds(n, seed=0):
    """`n` points (n, 2) about three corners, two units wide and far apart, and their classes."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(n) % 3
    x = np.array([[5, 0], [-5, 0], [0, 8]])[y] + rng.normal(size=(n, 2))
    return x.astype(np.float32), y.astype(np.int32)


def sgd(hyper):
    """Momentum at the rate that `hyper` says."""
    return optax.sgd(hyper["learning_rate"], momentum=0.9)


# It has all there is: params with and without a penalty, a state, and chance.
MODEL = serial(
    ("fc1", dense(8)),
    ("norm", batch_norm()),
    jnp.tanh,
    ("drop", dropout(0.2)),
    ("head", dense(3)),
)
UPDATE = make_update(
    MODEL, sgd, losses.softmax_cross_entropy, metrics={"accuracy": metrics.accuracy}
)
TRAIN, VALIDATION = clouds(64), clouds(30, seed=1)


def run(
    update=UPDATE, train=TRAIN, *, seed=0, key=None, epochs=2, batch_size=12, hyper=HYPER, **options
):
    """`fit` with the arguments that most tests share; five steps an epoch."""
    key = jax.random.key(seed) if key is None else key
    return fit(update, train, key=key, epochs=epochs, batch_size=batch_size, hyper=hyper, **options)


def plain(train_state):
    """The train state with its key as numbers, so that it can be compared."""
    return train_state._replace(key=jax.random.key_data(train_state.key))
