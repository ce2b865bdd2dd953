"""One epoch of 784-500-300-10 on MNIST in JAX and optax alone, its steps in one compiled loop."""

import gzip
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax

SIZES, BATCH = (784, 500, 300, 10), 128
optimizer = optax.adam(1e-3)


def read(name, header):
    """The values of an IDX file."""
    folder = Path(find_spec("jaxnets").origin).parent / "data" / "mnist"
    with gzip.open(folder / f"{name}.gz") as file:
        return np.frombuffer(file.read(), np.uint8, offset=header)


def split(name):
    """Images (n, 784), and labels."""
    x = read(f"{name}-images-idx3-ubyte", 16).reshape(-1, 784)
    return jnp.asarray(x), jnp.asarray(read(f"{name}-labels-idx1-ubyte", 8).astype(np.int32))


@jax.jit
def init(key):
    """Kernels and biases by layer, and the state of Adam."""
    kernel = jax.nn.initializers.lecun_normal()
    keys = jax.random.split(key, len(SIZES) - 1)
    shapes = pairwise(SIZES)
    params = [(kernel(k, s), jnp.zeros(s[1])) for k, s in zip(keys, shapes, strict=True)]
    return params, optimizer.init(params)


def forward(params, x):
    """The logits."""
    x = x.astype(jnp.float32) / 255
    *hidden, (kernel, bias) = params
    for w, b in hidden:
        x = jax.nn.relu(x @ w + b)
    return x @ kernel + bias


def loss(params, x, y):
    """The mean cross-entropy."""
    return optax.softmax_cross_entropy_with_integer_labels(forward(params, x), y).mean()


@partial(jax.jit, donate_argnums=0)
def train(carry, x, y, key, start, stop):
    """Steps `start` to `stop` of an epoch, and the sum of their losses."""
    order = jax.random.permutation(key, len(x))

    def step(i, carry):
        params, opt_state, total = carry
        rows = jax.lax.dynamic_slice(order, (i * BATCH,), (BATCH,))
        value, gradient = jax.value_and_grad(loss)(params, x[rows], y[rows])
        updates, opt_state = optimizer.update(gradient, opt_state)
        return optax.apply_updates(params, updates), opt_state, total + value

    return jax.lax.fori_loop(start, stop, step, carry)


@jax.jit
def accuracy(params, x, y):
    """The fraction of images that are classified correctly."""
    return (forward(params, x).argmax(-1) == y).mean()


def main():
    """Train and evaluate."""
    (x, y), (test_x, test_y) = split("train"), split("t10k")
    init_key, order_key = jax.random.split(jax.random.key(0))
    carry = (*init(init_key), jnp.float32(0))
    carry = jax.block_until_ready(train(carry, x, y, order_key, 0, 16))
    print(16, float(carry[2]), flush=True)
    carry = train(carry, x, y, order_key, 16, len(x) // BATCH)
    print(float(accuracy(carry[0], test_x, test_y)))


if __name__ == "__main__":
    main()
