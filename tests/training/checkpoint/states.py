"""Small train states to save, and helpers to compare what is restored."""

import jax
import jax.numpy as jnp
import optax
from helpers import normal

from jaxnets.training import TrainState


def train_state(*, width=4, depth=1, dtype=jnp.float32, tx=None, impl="threefry2x32"):
    """The train state of a small network, with every kind of leaf."""
    params = {
        f"fc{n}": {"kernel": normal(width, width, seed=n).astype(dtype), "bias": jnp.zeros(width)}
        for n in range(depth)
    }
    state = {"norm": {"mean": jnp.arange(2.0), "count": jnp.uint8(3)}, "none": None}
    opt_state = (tx or optax.adam(1e-3)).init(params)
    return TrainState(jnp.int32(7), params, state, opt_state, jax.random.key(5, impl=impl))


def plain(tree):
    """The tree with keys as their data, so that it can be compared."""

    def leaf(x):
        is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
        return jax.random.key_data(x) if is_key else x

    return jax.tree.map(leaf, tree)


def steps(folder):
    """The steps a folder holds, by the names of its files."""
    return sorted(int(path.stem.removeprefix("step-")) for path in folder.iterdir())
