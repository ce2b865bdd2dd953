"""The effect of initial weights: symmetric collapse, and gradients that vanish or explode.

python -m experiments.initialisation

First, a network with one hidden layer is trained on MNIST from zero weights and from Glorot's. From
zero weights every hidden unit receives the same gradient, so all units stay equal. Second, the norm
of the gradient is measured in each layer of an untrained deep network, by activation and
initialisation. Both are plotted and written to `--out`. Takes about 20 s on two CPU cores. With
seed 0, zero weights give 1 distinct unit of 32 and 30.7 % test accuracy, Glorot's give 32 units and
93.3 %. Through 20 layers with ReLU between them the gradient keeps its magnitude with He's
initialisation; with normal weights of standard deviation 0.01 it shrinks to 1e-22 of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.nn import initializers as init
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments import command_line, configs, runner
from experiments.figures import COLOURS
from jaxnets import Layer, data, dense, flatten, losses, metrics, scale_pixels, serial
from jaxnets.data import Dataset
from jaxnets.inspect import layer_norms
from jaxnets.training import Batch, TrainState, TrainStep, evaluate, make_train_step

ACTIVATIONS = {"tanh": jnp.tanh, "logistic": jax.nn.sigmoid, "ReLU": jax.nn.relu}
STARTS = {"zeros": init.zeros, "Glorot": init.glorot_normal()}
INITIALISERS = {
    "normal, sd 0.01": init.normal(0.01),
    "normal, sd 0.5": init.normal(0.5),
    "Glorot: variance 2 / (in + out)": init.glorot_normal(),
    "He: variance 2 / in": init.he_normal(),
}


@dataclass(frozen=True)
class Config(configs.Config):
    """The effect of initial weights, on MNIST."""

    units: int = 32
    """Hidden units of the trained network."""
    steps: int = 600
    """Optimizer steps of the trained network."""
    every: int = 20
    """Steps between two measurements of its weights."""
    learning_rate: float = 0.5
    """The learning rate of gradient descent."""
    batch_size: int = 128
    """Examples per step, and per measured gradient."""
    depth: int = 20
    """Layers of the deep network, whose gradients are measured."""
    width: int = 100
    """Units in each hidden layer of the deep network."""
    seed: int = 0
    """The seed of the weights and of the order of the examples."""


def network(sizes: list[int], activation: Callable, kernel_init: Callable) -> Layer:
    """A multi-layer perceptron on images, its layers named layer1, layer2, ..."""
    stages = []
    for i, size in enumerate(sizes, start=1):
        stages += [(f"layer{i}", dense(size, kernel_init=kernel_init)), activation]
    return serial(scale_pixels(mean=0.1307, std=0.3081), flatten, *stages[:-1])


def training(config: Config, mnist: Dataset) -> dict[str, dict[str, Any]]:
    """Train one hidden layer from each initialisation; return distinct units, loss, accuracy."""
    sizes, key = [config.units, 10], jax.random.key(config.seed)
    model = network(sizes, jax.nn.sigmoid, init.zeros)
    train_step = make_train_step(
        model, optax.sgd(config.learning_rate), losses.softmax_cross_entropy
    )
    first, runs = train_step.init(key, mnist.train.x[:1]), {}
    advance = jax.jit(partial(several_updates, train_step, jax.device_put(mnist.train)))
    for name, kernel_init in STARTS.items():
        params, _ = network(sizes, jax.nn.sigmoid, kernel_init).init(key, mnist.train.x[:1])
        end, history = train_and_measure(
            config, advance, first._replace(params=params), len(mnist.train.x)
        )
        test = evaluate(train_step, end, mnist.test, metrics={"accuracy": metrics.accuracy})
        runs[name] = {**history, "test_accuracy": float(test["accuracy"])}
    return runs


def several_updates(
    train_step: TrainStep, train: tuple, train_state: TrainState, rows: Array
) -> tuple[TrainState, Array]:
    """Take one step per row of `rows` (steps, batch); also return the mean loss."""
    x, y = train

    def step(train_state: TrainState, rows: Array) -> tuple[TrainState, Array]:
        train_state, sums = train_step(train_state, Batch(x[rows], y[rows], jnp.ones(len(rows))))
        return train_state, sums["objective"]

    train_state, objectives = jax.lax.scan(step, train_state, rows)
    return train_state, objectives.mean()


def train_and_measure(
    config: Config, advance: Callable, train_state: TrainState, examples: int
) -> tuple[TrainState, dict[str, list]]:
    """Train; return the distinct units and the loss after every `config.every` steps."""
    random = np.random.default_rng(config.seed)
    history = {"updates": [], "distinct_units": [], "rank": [], "loss": []}
    for updates in range(config.every, config.steps + 1, config.every):
        rows = random.integers(examples, size=(config.every, config.batch_size))
        train_state, loss = advance(train_state, rows)
        kernel = np.asarray(train_state.params["layer1"]["kernel"])
        history["updates"].append(updates)
        history["distinct_units"].append(distinct_columns(kernel))
        history["rank"].append(int(np.linalg.matrix_rank(kernel, rtol=1e-3)))
        history["loss"].append(float(loss))
    return train_state, history


def distinct_columns(kernel: np.ndarray) -> int:
    """The number of distinct units: weights that are equal up to rounding count as one."""
    gaps = np.abs(kernel[:, :, None] - kernel[:, None, :]).max(0)
    same = gaps <= 1e-4 * np.abs(kernel).max()
    return int((~np.tril(same, -1).any(1)).sum())


def gradients(config: Config, mnist: Dataset) -> dict[str, dict[str, dict[str, float]]]:
    """The gradient norm of every parameter, by activation, initialisation and path."""
    sizes = [config.width] * (config.depth - 1) + [10]
    x = jnp.asarray(mnist.train.x[: config.batch_size])
    y = jnp.asarray(mnist.train.y[: config.batch_size])
    weights = {  # which do not depend on the activation
        name: network(sizes, jnp.tanh, kernel_init).init(jax.random.key(config.seed), x)[0]
        for name, kernel_init in INITIALISERS.items()
    }
    by_activation = {}
    for activation, function in ACTIVATIONS.items():
        model = network(sizes, function, init.zeros)

        def loss(params, model=model):
            return losses.softmax_cross_entropy(model.apply(params, {}, x)[0], y).mean()

        norms = jax.jit(lambda params, loss=loss: layer_norms(jax.grad(loss)(params)))
        by_activation[activation] = {
            name: {path: float(norm) for path, norm in norms(params).items()}
            for name, params in weights.items()
        }
    return by_activation


def draw_training(runs: dict[str, dict[str, Any]]) -> Figure:
    """Distinct hidden units and loss against updates, a curve per initialisation."""
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    figure.suptitle("From zero weights, all hidden units stay equal")
    left, right = figure.subplots(1, 2)
    for (name, run), colour in zip(runs.items(), COLOURS, strict=False):
        label = f"{name}: test accuracy {run['test_accuracy']:.1%}"
        left.plot(run["updates"], run["distinct_units"], color=colour, lw=2.5, label=label)
        right.plot(run["updates"], run["loss"], color=colour, lw=2.5, label=label)
    left.set(ylabel="distinct hidden units", ylim=(0, None))
    left.yaxis.set_major_locator(MaxNLocator(integer=True))
    right.set(ylabel="training loss (nats)", ylim=(0, None))
    for axes in (left, right):
        axes.set(xlabel="updates", xlim=(0, None))
        axes.grid(alpha=0.3)
    right.legend()
    return figure


def draw_gradients(norms: dict[str, dict[str, dict[str, float]]], depth: int) -> Figure:
    """Gradient norm against layer, a panel per activation and a curve per initialisation."""
    figure = Figure(figsize=(13, 5.4), layout="constrained")
    figure.suptitle(f"The gradient at each of {depth} layers, before training")
    layers = range(1, depth + 1)
    panels = figure.subplots(1, len(norms), sharey=True)
    for axes, (activation, by_initialiser) in zip(panels, norms.items(), strict=True):
        for (name, norm), colour in zip(by_initialiser.items(), COLOURS, strict=False):
            values = [norm[f"layer{i}/bias"] for i in layers]
            axes.plot(layers, values, ".-", color=colour, lw=2, ms=8, label=name)
        axes.set_title(activation)
        axes.set(yscale="log", xlabel="layer (1 is next to the input)")
        axes.set_xticks([1, *range(5, depth + 1, 5)])
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("norm of the gradient of the biases\n(nats per unit of input)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, title="weights", loc="outside lower center", ncols=len(labels))
    return figure


def experiment(config: Config) -> dict[str, Any]:
    """Train from zero and from Glorot's weights, measure the deep network, and draw both."""
    mnist = data.load("mnist", data_dir=config.data_dir)
    run = runner.Run("initialisation", config, mnist)
    runs = training(config, mnist)
    norms = gradients(config, mnist)
    for name, history in runs.items():
        print(
            f"{name}: {history['distinct_units'][-1]} distinct hidden units of {config.units}, "
            f"of rank {history['rank'][-1]}; test accuracy {history['test_accuracy']:.1%}"
        )
    drawn = {"collapse": draw_training(runs), "gradients": draw_gradients(norms, config.depth)}
    return run.write({"training": runs, "gradient_norms": norms}, drawn)


if __name__ == "__main__":
    command_line.main(experiment, Config)
