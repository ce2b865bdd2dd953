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
    global_max_pool,
    lowering,
    max_pool,
    pixel_shuffle,
    sum_pool,
    upsample,
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
    strides, dilation = (node.get(name, [1] * len(size)) for name in ("strides", "dilations"))
    window, groups = lowering.dilated(size, dilation), node.get("group", 1)
    pairs = padding(node, x, size)
    if "output_shape" in node:
        spread = [(n - 1) * s + w for n, s, w in zip(x.shape[2:], strides, window, strict=True)]
        total = [n - out for n, out in zip(spread, node["output_shape"], strict=True)]
        pairs = [(t - t // 2, t // 2) for t in total]
    elif pairs != "SAME":  # additional outputs correspond to less cropping by the padding
        more = node.get("output_padding", [0] * len(size))
        pairs = [(before, after - m) for (before, after), m in zip(pairs, more, strict=True)]
    options = {"strides": strides, "padding": pairs, "dilation": dilation, "groups": groups}
    layer = conv_transpose(groups * features, size, **options, use_bias=False)
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


def global_maximum_pool(node, x):
    y = jax.jit(global_max_pool)(channels_last(x))
    return [y.reshape(*x.shape[:2], *[1] * (x.ndim - 2))]


def depth_to_space(node, x):
    factor = node["blocksize"]
    if node.get("mode", b"DCR") == b"DCR":  # rows and columns before channels
        batch, channels, *space = x.shape
        apart = x.reshape(batch, factor**2, channels // factor**2, *space)
        x = np.swapaxes(apart, 1, 2).reshape(x.shape)
    return [channels_first(jax.jit(pixel_shuffle(factor))(channels_last(x)))]


def enlarge(node, x, *operands):
    """Upsample, and Resize by whole factors along the axes of space."""
    axes, scales = node.get("axes", range(x.ndim)), [int(scale) for scale in operands[-1]]
    factors = dict.fromkeys(range(x.ndim), 1) | dict(zip(axes, scales, strict=True))
    layer = upsample([factors[axis] for axis in range(2, x.ndim)], method=node["mode"].decode())
    return [channels_first(jax.jit(layer)(channels_last(x)))]


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
    strides, dilation = (node.get(name, [1] * len(window)) for name in ("strides", "dilations"))
    span, ceil_mode = lowering.dilated(window, dilation), bool(node.get("ceil_mode", 0))
    pairs = padding(node, x, span)
    if zeros_count:  # but the part of the last window beyond the padding is not counted
        wider = lowering.ceil_padding(x.shape[2:], span, strides, pairs) if ceil_mode else pairs
        x, ceil_mode = np.pad(x, [(0, 0), (0, 0), *pairs]), False
        pairs = [(0, more - after) for (_, after), (_, more) in zip(pairs, wider, strict=True)]
    options = {"strides": strides, "padding": pairs, "dilation": dilation, "ceil_mode": ceil_mode}
    return channels_first(jax.jit(pool(window, **options))(channels_last(x)))
