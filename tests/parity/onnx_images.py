"""ONNX's convolutions and pools as our layers."""

import jax
import numpy as np
from onnx_layout import channels_first, channels_last, run

from jaxnets import (
    avg_pool,
    conv,
    conv_transpose,
    depthwise_conv,
    global_avg_pool,
    max_pool,
    sum_pool,
)


def convolution(node, x, kernel, bias=None):
    features, _, *size = kernel.shape
    params = {"kernel": np.moveaxis(kernel, (0, 1), (-1, -2))}
    params |= {} if bias is None else {"bias": bias}
    layer = conv(
        features,
        size,
        strides=node.get("strides", 1),
        padding=padding(node, x, size),
        dilation=node.get("dilations", 1),
        groups=node.get("group", 1),
        use_bias=bias is not None,
    )
    return [channels_first(run(layer, params, channels_last(x))[0])]


def transposed_convolution(node, x, kernel):
    _, features, *size = kernel.shape
    strides = node.get("strides", [1] * len(size))
    pairs = padding(node, x, size)
    if "output_shape" in node:
        spread = [(n - 1) * s + k for n, s, k in zip(x.shape[2:], strides, size, strict=True)]
        total = [n - out for n, out in zip(spread, node["output_shape"], strict=True)]
        pairs = [(t - t // 2, t // 2) for t in total]
    elif pairs != "SAME":  # additional outputs correspond to less cropping by the padding
        more = node.get("output_padding", [0] * len(size))
        pairs = [(before, after - m) for (before, after), m in zip(pairs, more, strict=True)]
    layer = conv_transpose(features, size, strides=strides, padding=pairs, use_bias=False)
    params = {"kernel": np.moveaxis(kernel, (0, 1), (-1, -2))}
    return [channels_first(run(layer, params, channels_last(x))[0])]


def causal_convolution(node, x, kernel, bias=None, past=None):
    size = kernel.shape[-1]
    params = {"kernel": kernel.transpose(2, 1, 0)} | ({} if bias is None else {"bias": bias})
    if past is not None:
        x = np.concatenate([past, x], -1)
    pairs = "VALID" if past is not None else ((size - 1, 0),)
    layer = depthwise_conv((size,), padding=pairs, use_bias=bias is not None)
    y, _ = run(layer, params, channels_last(x))
    return [channels_first(jax.nn.silu(y) if "activation" in node else y)]


def average_pool(node, x):
    return [pooling(avg_pool, node, x, zeros_count=node.get("count_include_pad", 0))]


def maximum_pool(node, x):
    return [pooling(max_pool, node, x)]


def lp_pool(node, x):
    sums = pooling(sum_pool, node, np.abs(x) ** node["p"])
    return [sums ** (1 / node["p"])]


def global_average_pool(node, x):
    y = jax.jit(global_avg_pool)(channels_last(x))
    return [y.reshape(*x.shape[:2], *[1] * (x.ndim - 2))]


def global_max_pool(node, x):
    return [pooling(max_pool, {"kernel_shape": x.shape[2:]}, x)]


def padding(node, x, size):
    """The node's padding of the spatial axes of `x`, for `conv` or a pool."""
    automatic = node.get("auto_pad", b"NOTSET")
    if automatic == b"SAME_UPPER":
        return "SAME"
    strides = node.get("strides", [1] * len(size))
    if automatic == b"SAME_LOWER":  # with odd padding, one more row before than after
        pairs = jax.lax.padtype_to_pads(x.shape[2:], size, strides, "SAME")
        return [(after, before) for before, after in pairs]
    pads = node.get("pads", [0] * 2 * len(size))
    return list(zip(pads[: len(size)], pads[len(size) :], strict=True))


def pooling(pool, node, x, *, zeros_count=False):
    """The output of a pool; with `zeros_count`, the node's padding is included as zeros."""
    window = tuple(node["kernel_shape"])
    strides = node.get("strides", [1] * len(window))
    pairs = padding(node, x, window)
    more = _more(x.shape[2:], window, strides, pairs) if node.get("ceil_mode") else None
    if zeros_count:
        x = np.pad(x, [(0, 0), (0, 0), *pairs])
        pairs = [(0, 0)] * len(window)
    if more:
        pairs = [(before, after + m) for (before, after), m in zip(pairs, more, strict=True)]
    return channels_first(jax.jit(pool(window, strides=strides, padding=pairs))(channels_last(x)))


def _more(extent, window, strides, pairs):
    """The extra padding for a last, partial window, which must not start in the padding."""
    more = []
    for n, w, s, (before, after) in zip(extent, window, strides, pairs, strict=True):
        missing = (w - n - before - after) % s
        starts = n + before + after + missing - w
        more.append(missing if starts < n + before else 0)
    return more
