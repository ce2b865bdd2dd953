"""ONNX's operators as our layers: a table with one function per operator.

Each takes the node's attributes and its inputs in ONNX's layout (channels after the batch), builds
the layer that they describe, and returns the outputs in ONNX's layout and order.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from onnx_images import (
    average_pool,
    causal_convolution,
    convolution,
    depth_to_space,
    enlarge,
    global_average_pool,
    global_maximum_pool,
    lp_pool,
    maximum_pool,
    transposed_convolution,
)
from onnx_layout import channels_first, channels_last, run
from onnx_losses import cross_entropy, log_likelihood

from jaxnets import (
    batch_norm,
    dense,
    dropout,
    embedding,
    flatten,
    group_norm,
    instance_norm,
    layer_norm,
    local_response_norm,
    network,
    prelu,
    rms_norm,
    scan_over_time,
    serial,
)
from jaxnets.training import momentum


def activation(function):
    def operator(node, x):
        return [run(serial(function), {}, x)[0]]

    return operator


def softmax(node, x):
    axis = node.get("axis", -1)
    y, _ = run(serial(jax.nn.softmax), {}, np.moveaxis(x, axis, -1))
    return [np.moveaxis(y, -1, axis)]


def batch_normalization(node, x, scale, bias, mean, var):
    layer = batch_norm(decay=node.get("momentum", 0.9), epsilon=node.get("epsilon", 1e-5))
    params, state = {"scale": scale, "bias": bias}, {"mean": mean, "var": var}
    train = bool(node.get("training_mode", 0))
    y, state = run(layer, params, channels_last(x), state=state, train=train)
    return [channels_first(y), state["mean"], state["var"]]


def mean_variance_normalization(node, x):
    ones, zeros = np.ones(x.shape[1], np.float32), np.zeros(x.shape[1], np.float32)
    operands = (x, ones, zeros, zeros, ones)
    return batch_normalization({"training_mode": 1, "epsilon": 0.0}, *operands)[:1]


def layer_normalization(node, x, scale, bias):
    rows = x.reshape(*x.shape[: node.get("axis", -1)], -1)  # merges all normalised axes into one
    params = {"scale": scale.ravel(), "bias": bias.ravel()}
    y, _ = run(layer_norm(epsilon=node.get("epsilon", 1e-5)), params, rows)
    return [y.reshape(x.shape)]


def rms_normalization(node, x, scale):
    rows = x.reshape(*x.shape[: node.get("axis", -1)], -1)  # as for layer normalization
    layer = rms_norm(epsilon=node.get("epsilon", 1e-5))
    return [run(layer, {"scale": scale.ravel()}, rows)[0].reshape(x.shape)]


def instance_normalization(node, x, scale, bias):
    layer = instance_norm(epsilon=node.get("epsilon", 1e-5))
    y, _ = run(layer, {"scale": scale, "bias": bias}, channels_last(x))
    return [channels_first(y)]


def group_normalization(node, x, scale, bias):
    layer = group_norm(node["num_groups"], epsilon=node.get("epsilon", 1e-5))
    y, _ = run(layer, {"scale": scale, "bias": bias}, channels_last(x))
    return [channels_first(y)]


def lrn(node, x):
    size = node["size"]
    norm = local_response_norm(
        size,
        alpha=node.get("alpha", 1e-4) / size,
        beta=node.get("beta", 0.75),
        k=node.get("bias", 1.0),
    )
    return [channels_first(norm(channels_last(x)))]


def apply_dropout(node, x, rate=0.5, train=False):
    def mask(key, keep, shape):  # the random masks of ONNX's cases
        return np.random.RandomState(node["seed"]).uniform(size=shape) >= rate

    layer = dropout(float(rate), mask=mask)
    return [run(layer, {}, x, key=jax.random.key(0), train=bool(train))[0]]


def parametric_relu(node, x, slope):
    rows = x.reshape(-1, slope.size)  # a slope per channel
    return [run(prelu(), {"slope": slope.ravel()}, rows)[0].reshape(x.shape)]


def flatten_axes(node, x):
    axis = node.get("axis", 1) % x.ndim
    return [flatten(x.reshape(math.prod(x.shape[:axis]), *x.shape[axis:]))]


def gemm(node, a, b, c=0):
    x, kernel = a.T if node.get("transA") else a, b.T if node.get("transB") else b
    bias = np.broadcast_to(np.ravel(c), kernel.shape[1:])
    params = {"kernel": node.get("alpha", 1.0) * kernel, "bias": node.get("beta", 1.0) * bias}
    return [run(dense(kernel.shape[1]), jax.tree.map(np.float32, params), x)[0]]


def matmul(node, a, b):
    @partial(jnp.vectorize, signature="(k,n),(m,k)->(m,n)")  # a kernel per batch
    def product(kernel, x):
        return run(dense(kernel.shape[1], use_bias=False), {"kernel": kernel}, x)[0]

    rank = max(a.ndim, b.ndim, 2)
    x, kernel = np.array(a, ndmin=rank), np.array(b[:, None] if b.ndim == 1 else b, ndmin=rank)
    single = ([-2] if a.ndim == 1 else []) + ([-1] if b.ndim == 1 else [])
    return [np.squeeze(product(kernel, x), tuple(single))]


def gather(node, data, indices):
    axis = node.get("axis", 0)
    table = np.moveaxis(data, axis, 0)
    layer, rows = embedding(len(table), table[0].size), table.reshape(len(table), -1)
    y, _ = run(layer, {"embedding": rows}, indices.astype(np.int32))
    y = y.reshape(*indices.shape, *table.shape[1:])
    return [np.moveaxis(y, range(indices.ndim), range(axis, axis + indices.ndim))]


def rnn(node, x, weights, recurrent, bias=None):
    """One layer per direction, from (batch, time, ...) to (batch, time, ...)."""
    x = x if node.get("layout") else np.swapaxes(x, 0, 1)
    hidden, direction = node["hidden_size"], node.get("direction", b"forward")
    bias = np.zeros((len(weights), 2 * hidden), np.float32) if bias is None else bias

    @network(x=dense(hidden), h=dense(hidden))
    def cell(inputs, *, x, h):
        memory, now = inputs
        y = jnp.tanh(x(now) + h(memory))
        return y, y

    layer = scan_over_time(cell, lambda x: jnp.zeros((len(x), hidden)))
    outputs, last = [], []
    for number, (w, r, b) in enumerate(zip(weights, recurrent, bias, strict=True)):
        turn = -1 if direction == b"reverse" or number else 1
        b_x, b_h = np.split(b, 2)
        params = {"x": {"kernel": w.T, "bias": b_x}, "h": {"kernel": r.T, "bias": b_h}}
        y, _ = run(layer, params, x[:, ::turn])
        outputs.append(y[:, ::turn])
        last.append(y[:, -1])
    if node.get("layout"):
        return [np.stack(outputs, 2), np.stack(last, 1)]
    return [np.stack(outputs, 2).transpose(1, 2, 0, 3), np.stack(last, 0)]


def momentum_step(node, rate, step, *arrays):
    """One step of momentum: the arrays are the parameters, their gradients, their velocities."""
    n = len(arrays) // 3
    params, gradients, velocities = arrays[:n], arrays[n : 2 * n], arrays[2 * n :]
    share = node["beta"] if step else 1.0
    decayed = jax.tree.map(
        lambda x, g: share * (node["norm_coefficient"] * x + g), params, gradients
    )
    optimizer = momentum(float(rate), decay=node["alpha"])
    state = optimizer.init(params)._replace(velocity=tuple(rate * v for v in velocities))
    updates, state = optimizer.update(decayed, state)
    return [*optax.apply_updates(params, updates), *(v / rate for v in state.velocity)]


OPERATORS = {
    "AveragePool": average_pool,
    "BatchNormalization": batch_normalization,
    "CausalConvWithState": causal_convolution,
    "Conv": convolution,
    "ConvTranspose": transposed_convolution,
    "DepthToSpace": depth_to_space,
    "Dropout": apply_dropout,
    "Flatten": flatten_axes,
    "Gather": gather,
    "Gemm": gemm,
    "GlobalAveragePool": global_average_pool,
    "GlobalMaxPool": global_maximum_pool,
    "GroupNormalization": group_normalization,
    "InstanceNormalization": instance_normalization,
    "LRN": lrn,
    "LayerNormalization": layer_normalization,
    "LpPool": lp_pool,
    "MatMul": matmul,
    "MaxPool": maximum_pool,
    "MeanVarianceNormalization": mean_variance_normalization,
    "Momentum": momentum_step,
    "NegativeLogLikelihoodLoss": log_likelihood,
    "PRelu": parametric_relu,
    "RMSNormalization": rms_normalization,
    "RNN": rnn,
    "Relu": activation(jax.nn.relu),
    "Resize": enlarge,
    "Sigmoid": activation(jax.nn.sigmoid),
    "Softmax": softmax,
    "SoftmaxCrossEntropyLoss": cross_entropy,
    "Tanh": activation(jnp.tanh),
    "Upsample": enlarge,
}
