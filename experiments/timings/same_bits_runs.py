"""The runs of `experiments.timings.same_bits`, with the public names of the checkout on the path.

It runs in older checkouts too, so it imports nothing from `experiments`.
"""

import sys
import tempfile
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.nn import relu

from jaxnets import (
    batch_norm,
    conv,
    data,
    dense,
    dropout,
    flatten,
    losses,
    max_pool,
    metrics,
    models,
    scale_pixels,
    serial,
    training,
)
from jaxnets.training import population

NEW = hasattr(training, "make_train_step")  # else the names are those of version 0.1
STEP, HPARAMS = ("make_train_step", "hparams") if NEW else ("make_update", "hyper")
MNIST = data.load("mnist").train
ARRAYS = (MNIST.x[:3000], MNIST.y[:3000])
TRAIN = data.Stream(ARRAYS, workers=3) if sys.argv[3:] == ["stream"] else ARRAYS
VALIDATION = (MNIST.x[3000:4000], MNIST.y[3000:4000])


def mlp(width=64):
    """A small network."""
    return serial(scale_pixels(), ("net", models.mlp((width, 10))))


def cnn():
    """Convolutions, batch norm and dropout."""
    return serial(
        scale_pixels(),
        ("conv1", conv(16, (3, 3), use_bias=False)),
        ("norm1", batch_norm()),
        relu,
        max_pool((2, 2)),
        ("conv2", conv(32, (3, 3))),
        relu,
        max_pool((2, 2)),
        flatten,
        ("drop", dropout(0.3)),
        ("head", dense(10)),
    )


def make(model, optimizer, **options):
    """A train step; `optimizer` is an optimizer, or a function of the hyperparameters."""
    step, loss = getattr(training, STEP), losses.softmax_cross_entropy
    options = {"metrics": {"accuracy": metrics.accuracy}} | options
    if isinstance(optimizer, tuple) or not NEW:
        return step(model, optimizer, loss, **options)
    return lambda hparams: step(model, optimizer(hparams), loss, **options)


def fit(step, train=TRAIN, key=0, epochs=2, batch_size=128, **options):
    """A short run."""
    key = jax.random.key(key)
    return training.fit(step, train, key=key, epochs=epochs, batch_size=batch_size, **options)


def rate(hparams):
    """Adam at the traced learning rate."""
    return optax.adam(hparams["learning_rate"])


def members(strategy):
    """A population of four rates."""
    rates = {"learning_rate": jnp.geomspace(1e-3, 1e-1, 4)}
    result = population.fit_population(
        make(mlp(16), rate),
        TRAIN,
        keys=jax.random.split(jax.random.key(3), 4),
        epochs=2,
        batch_size=100,
        validation=VALIDATION,
        strategy=strategy,
        **{HPARAMS if NEW else "hypers": rates},
    )
    return result.train_states


def resumed():
    """A run that is interrupted in the middle of an epoch, and resumed."""
    step, saved = make(cnn(), optax.adam(1e-3)), []

    def interrupt(progress):
        if progress.step >= 12 and not saved:
            saved.append(progress.step)
            raise KeyboardInterrupt

    with tempfile.TemporaryDirectory() as folder:
        every = {"every": 0.0} if NEW else {}
        if not NEW:
            training.resume.SAVE_SECONDS = 0.0
        options = {"batch_size": 128, "epochs": 2, "chunk_seconds": 0.01}
        try:
            with training.Checkpoints(Path(folder) / "run", **every) as checkpoints:
                fit(step, checkpoints=checkpoints, report=interrupt, **options)
        except KeyboardInterrupt:
            pass
        with training.Checkpoints(Path(folder) / "run", **every) as checkpoints:
            return fit(step, checkpoints=checkpoints, resume=True, **options).train_state


def deck():
    """The network that deck S2 lists, trained with momentum."""
    model = serial(scale_pixels(mean=0.1307), ("lenet", models.lenet_batch_norm()))
    step = make(model, lambda hparams: optax.sgd(hparams["learning_rate"], momentum=0.9))
    return fit(step, epochs=1, **{HPARAMS: {"learning_rate": 0.01}}).train_state


ema = optax.chain(optax.adam(1e-3), training.params_ema(0.9))
RUNS = {
    "mlp": lambda: fit(make(mlp(), optax.adam(1e-3)), validation=VALIDATION).train_state,
    "cnn": lambda: fit(make(cnn(), optax.adam(1e-3)), validation=VALIDATION).train_state,
    "ema": lambda: fit(make(mlp(), ema)).train_state,
    "bfloat16": lambda: (
        fit(make(cnn(), optax.adam(1e-3), compute_dtype=jnp.bfloat16), epochs=1).train_state
    ),
    "patience": lambda: (
        fit(make(mlp(), optax.adam(3e-2)), epochs=20, validation=VALIDATION, patience=2).train_state
    ),
    "pad": lambda: fit(make(cnn(), optax.adam(1e-3)), remainder="pad").train_state,
    "population_vmap": lambda: members("vmap"),
    "population_map": lambda: members("map"),
    "resumed": resumed,
    "two_devices": lambda: fit(make(cnn(), optax.adam(1e-3)), devices=2).train_state,
    "sgd": lambda: (
        fit(
            make(mlp(), lambda hparams: optax.sgd(hparams["learning_rate"])),
            **{HPARAMS: {"learning_rate": 0.1}},
        ).train_state
    ),
    "deck": deck,
}


def leaves(train_state):
    """The leaves of a train state by their current names."""
    train_state = train_state._replace(key=jax.random.key_data(train_state.key))
    if not NEW:
        names = ("step", "params", "model_state", "opt_state", "key")
        train_state = dict(zip(names, train_state, strict=True))
    else:
        train_state = train_state._asdict()
    named = jax.tree.leaves_with_path(train_state)
    return {jax.tree_util.keystr(path): np.asarray(leaf, _storable(leaf)) for path, leaf in named}


def _storable(leaf):
    return np.float32 if leaf.dtype == jnp.bfloat16 else leaf.dtype


if __name__ == "__main__":
    name, path = sys.argv[1:3]
    np.savez(path, **leaves(RUNS[name]()))
