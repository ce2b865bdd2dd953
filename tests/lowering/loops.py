"""Convolution and pooling as NumPy loops in float64, with the gradients of <output, cotangent>."""

import numpy as np


def cotangent(shape):
    """The cotangent for an output of this shape."""
    return np.random.default_rng(2).normal(size=shape)


def convolution(x, kernel, strides, padding, dilation, groups):
    """The output, and the gradients for `x` and `kernel`, tap by tap."""
    x, kernel = _padded(x, padding), np.asarray(kernel, np.float64)
    *size, inputs, features = kernel.shape
    extent = [(k - 1) * d + 1 for k, d in zip(size, dilation, strict=True)]
    y = np.zeros((len(x), *_space(x, extent, strides), features))
    g, dx, dkernel = cotangent(y.shape), np.zeros_like(x), np.zeros_like(kernel)
    share = features // groups
    for position in np.ndindex(*y.shape[1:-1]):
        for tap in np.ndindex(*size):
            at = np.multiply(position, strides) + np.multiply(tap, dilation)
            for group in range(groups):
                some = slice(group * inputs, (group + 1) * inputs)
                part = slice(group * share, (group + 1) * share)
                here, out = (slice(None), *at, some), (slice(None), *position, part)
                weights = (*tap, slice(None), part)
                y[out] += x[here] @ kernel[weights]
                dx[here] += g[out] @ kernel[weights].T
                dkernel[weights] += x[here].T @ g[out]
    return y, (_unpadded(dx, padding), dkernel)


def max_pool(x, window, strides, padding, dilation):
    """The output, and the gradient for `x`, which goes to the first of equal values."""

    def share(values):
        first = np.unravel_index(np.nanargmax(values), values.shape)
        one_hot = np.zeros_like(values)
        one_hot[first] = 1
        return one_hot

    return _pool(share, x, window, strides, padding, dilation)


def avg_pool(x, window, strides, padding, dilation):
    """The output, and the gradient for `x`, which is equal for all values but padding."""

    def share(values):
        real = ~np.isnan(values)
        return real / real.sum()

    return _pool(share, x, window, strides, padding, dilation)


def _pool(share, x, window, strides, padding, dilation):
    x = _padded(x, padding, filling=np.nan)
    extent = [(w - 1) * d + 1 for w, d in zip(window, dilation, strict=True)]
    y = np.zeros((len(x), *_space(x, extent, strides), x.shape[-1]))
    g, dx = cotangent(y.shape), np.zeros_like(x)
    for batch, *position, channel in np.ndindex(*y.shape):
        start = np.multiply(position, strides)
        cut = [slice(a, a + n, d) for a, n, d in zip(start, extent, dilation, strict=True)]
        here, out = (batch, *cut, channel), (batch, *position, channel)
        y[out] = np.nansum(x[here] * share(x[here]))
        dx[here] += g[out] * share(x[here])
    return y, _unpadded(dx, padding)


def _space(x, extent, strides):
    return [(n - e) // s + 1 for n, e, s in zip(x.shape[1:-1], extent, strides, strict=True)]


def _padded(x, padding, filling=0.0):
    return np.pad(np.asarray(x, np.float64), ((0, 0), *padding, (0, 0)), constant_values=filling)


def _unpadded(x, padding):
    inside = [slice(b, n - a) for n, (b, a) in zip(x.shape[1:-1], padding, strict=True)]
    return x[(slice(None), *inside)]
