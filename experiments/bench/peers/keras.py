"""Keras 3 on JAX, with `fit`; batching, shuffling and scaling are as in its guides."""

import os
import time
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"  # read when Keras is imported

import jax
import keras
import numpy as np
from keras import layers

from experiments.bench.cases import LEARNING_RATE, NORM_DECAY, NORM_EPSILON
from experiments.bench.peers.choose import choose
from experiments.bench.peers.images import TESTED, decay_steps, images
from experiments.bench.task import Task

NEEDS = ("keras",)
KERNELS = "lecun_normal"  # as in `cases`
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def make(task: Task) -> "Fit":
    """A trainer of the network of the task's case."""
    return Fit(task)


class Fit:
    """A `Trainer` that calls `fit`; its loss is the mean of the last call's steps."""

    def __init__(self, task: Task):
        network = choose(task, CASES)
        keras.utils.set_random_seed(task.seed)
        keras.config.set_dtype_policy(POLICIES[task.dtype])
        self.train, self.test = images(task)
        self.batch_size = task.batch_size
        self.epoch_steps = len(self.train.y) // task.batch_size
        head = layers.Dense(10, kernel_initializer=KERNELS, dtype="float32")
        scale = layers.Rescaling(1 / 255)
        self.model = keras.Sequential([layers.Input((28, 28, 1)), scale, *network(), head])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        steps, rate = decay_steps(task, len(self.train.y)), LEARNING_RATE
        decay = keras.optimizers.schedules.CosineDecay(rate, steps) if steps else rate
        self.model.compile(keras.optimizers.Adam(decay), loss)
        self.model.optimizer.build(self.model.trainable_variables)

    def prepare(self) -> dict[str, float]:
        """Compile by taking a step, which is then undone; "compile" is its time."""
        variables = [*self.model.variables, *self.model.optimizer.variables]
        first = [np.array(variable.value) for variable in variables]
        began = time.perf_counter()
        self.fit(1)
        seconds = time.perf_counter() - began
        for variable, value in zip(variables, first, strict=True):
            variable.assign(value)
        return {"trace": 0.0, "compile": seconds}

    def fit(self, n: int) -> float:
        """Train n steps of one epoch; return their mean loss."""
        fitted = self.model.fit(
            *self.train, batch_size=self.batch_size, steps_per_epoch=n, shuffle=True, verbose=0
        )
        jax.block_until_ready([variable.value for variable in self.model.variables])
        return fitted.history["loss"][-1]

    def steps(self, n: int) -> float:
        """Train n steps, at most an epoch per call of `fit`."""
        epochs, rest = divmod(n, self.epoch_steps)
        counts = [self.epoch_steps] * epochs + [rest] * (rest > 0)
        return [self.fit(count) for count in counts][-1]

    def epoch(self) -> None:
        """Train one epoch."""
        self.fit(self.epoch_steps)

    def accuracy(self) -> float:
        """The fraction of the test images that are classified correctly."""
        x, y = self.test
        logits = self.model.predict(x, batch_size=TESTED, verbose=0)
        return float((logits.argmax(axis=-1) == y).mean())


def mlp() -> list[layers.Layer]:
    """784-500-300 with ReLU; a dense layer of 10 follows."""
    return [layers.Flatten(), dense(500), dense(300)]


def cnn_bn() -> list[layers.Layer]:
    """Three 3x3 convolutions with batch norm, and a dense layer; a dense layer of 10 follows."""
    first, second = [*normed(16), layers.MaxPool2D()], [*normed(32), layers.MaxPool2D()]
    return [*first, *second, *normed(64), layers.Flatten(), dense(50)]


def cnn_5x5() -> list[layers.Layer]:
    """Two 5x5 convolutions and a dense layer; a dense layer of 10 follows."""
    convolutions = [
        layer
        for features in (32, 64)
        for layer in (
            conv(features, 5, activation="relu"),
            layers.MaxPool2D(),
        )
    ]
    return [*convolutions, layers.Flatten(), dense(256)]


def normed(features: int) -> list[layers.Layer]:
    """A 3x3 convolution without a bias, batch norm and ReLU."""
    norm = layers.BatchNormalization(momentum=NORM_DECAY, epsilon=NORM_EPSILON)
    return [conv(features, 3, use_bias=False), norm, layers.ReLU()]


def conv(features: int, size: int, **options: Any) -> layers.Layer:
    """A convolution padded as "SAME"."""
    return layers.Conv2D(features, size, padding="same", kernel_initializer=KERNELS, **options)


def dense(features: int) -> layers.Layer:
    """A dense layer and ReLU."""
    return layers.Dense(features, activation="relu", kernel_initializer=KERNELS)


CASES = {"mlp": mlp, "cnn_bn": cnn_bn, "cnn_5x5": cnn_5x5}
