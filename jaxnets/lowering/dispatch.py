"""Chooses the implementation of a convolution: the first row of a table that supports it.

A new implementation is a function in a file of its own, a row here, and an example of what it is
chosen for in `tests/lowering/test_convolution.py`. On GPU and TPU, XLA's is always chosen. The
thresholds are the sizes from which one implementation is faster than the next on CPU, as measured
by `experiments.timings.convolutions`.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
from jax import lax

from jaxnets.layer import Array
from jaxnets.lowering.cook_toom import cook_toom_conv
from jaxnets.lowering.hwnc import hwnc_patches_conv, pointwise_conv
from jaxnets.lowering.padding import Ints, Pairs
from jaxnets.lowering.patches import patches_bytes, patches_conv
from jaxnets.lowering.plain import plain_conv
from jaxnets.lowering.taps import taps_conv

Backend = Literal["cpu", "any"]
Layout = Literal["NHWC", "HWNC"]

MOST_TAPS = 5  # per axis; with more, Cook-Toom loses accuracy in float32
FEWEST_CHANNELS = 4  # of the input; with fewer, patches are faster (measured for 3 x 3)
PATCHES_LIMIT = 2**28  # bytes; above it memory is the bottleneck, not arithmetic
NHWC = lax.ConvDimensionNumbers((0, 3, 1, 2), (3, 2, 0, 1), (0, 3, 1, 2))  # NHWC, HWIO, NHWC


class Convolution(NamedTuple):
    """The properties of a convolution that the choice depends on.

    Attributes:
      layout: the layout of the images.
      taps: the size of the kernel per axis.
      channels: the number of channels of the input.
      strides: per axis.
      padding: (before, after) per axis.
      dilation: per axis.
      groups: the number of groups of channels.
      depthwise: whether each channel is a group.
      dtype: the dtype of the kernel.
      patches: the size of its patches in bytes.
      empty: whether an array has no elements.
    """

    layout: Layout
    taps: Ints
    channels: int
    strides: Ints
    padding: Pairs
    dilation: Ints
    groups: int
    depthwise: bool
    dtype: Any
    patches: int
    empty: bool

    @classmethod
    def of_arrays(
        cls,
        x: Any,
        kernel: Any,
        strides: Ints,
        padding: Pairs,
        dilation: Ints,
        groups: int,
        layout: Layout = "NHWC",
    ) -> "Convolution":
        """From an input (batch, *space, channels) and a kernel, for any target layout."""
        depthwise = groups > 1 and kernel.shape[-2] == 1
        size = patches_bytes(x, kernel, strides)
        taps, channels = tuple(kernel.shape[:-2]), x.shape[-1]
        options = (strides, padding, dilation, groups, depthwise, kernel.dtype, size)
        return cls(layout, taps, channels, *options, 0 in x.shape)

    @classmethod
    def of_equation(cls, eqn: Any) -> "Convolution | None":
        """From a plain convolution of images in a jaxpr, for HWNC; None for any other equation."""
        if eqn is None or eqn.primitive.name != "conv_general_dilated":
            return None
        if eqn.params["dimension_numbers"] != NHWC or set(eqn.params["lhs_dilation"]) != {1}:
            return None
        x, kernel = (atom.aval for atom in eqn.invars)
        names = ("window_strides", "padding", "rhs_dilation", "feature_group_count")
        options = (eqn.params[name] for name in names)
        convolution = cls.of_arrays(x, kernel, *options, layout="HWNC")
        empty = convolution.empty or 0 in eqn.outvars[0].aval.shape
        return convolution._replace(empty=empty)


class Row(NamedTuple):
    """An implementation, and the convolutions that it supports.

    Attributes:
      convolve: `convolve(x, kernel, strides, padding, dilation, groups) -> y` for NHWC, with x
        (batch, *space, channels); `convolve(x, kernel, padding) -> y` for HWNC, with x (height,
        width, batch, channels). The kernel is (*size, channels / groups, features); `padding` has
        (before, after) per axis. JAX differentiates it: for another backward pass, make it a
        `jax.custom_vjp`.
      backend: "cpu", or "any" for XLA's own, which runs on every backend.
      layout: the layout of x and y.
      supports: whether it computes a convolution, and faster than the rows below.
    """

    convolve: Callable[..., Array]
    backend: Backend
    layout: Layout
    supports: Callable[[Convolution], bool]


def _is_dense(c: Convolution) -> bool:
    """Whether it has no strides, dilation or groups, and a kernel of 32 or 64 bits."""
    factors = {*c.strides, *c.dilation, c.groups}
    return factors == {1} and not c.empty and c.dtype in (jnp.float32, jnp.float64)


def _is_pointwise(c: Convolution) -> bool:
    return _is_dense(c) and set(c.taps) == {1} and not any(map(any, c.padding))


def _has_few_channels(c: Convolution) -> bool:
    return _is_dense(c) and c.channels < FEWEST_CHANNELS


def _has_few_taps(c: Convolution) -> bool:
    narrow = all(max(pair) < taps for pair, taps in zip(c.padding, c.taps, strict=True))
    return _is_dense(c) and narrow and max(c.taps) <= MOST_TAPS


def _is_depthwise(c: Convolution) -> bool:
    return c.depthwise


def _fits_in_memory(c: Convolution) -> bool:
    return patches_fit(c.patches)


def _is_any(c: Convolution) -> bool:
    del c
    return True


TABLE = (
    Row(pointwise_conv, "cpu", "HWNC", _is_pointwise),
    Row(hwnc_patches_conv, "cpu", "HWNC", _has_few_channels),
    Row(cook_toom_conv, "cpu", "HWNC", _has_few_taps),
    Row(taps_conv, "cpu", "NHWC", _is_depthwise),
    Row(patches_conv, "cpu", "NHWC", _fits_in_memory),
    Row(plain_conv, "any", "NHWC", _is_any),
)


def choose(backend: str, convolution: Convolution) -> Callable[..., Array] | None:
    """The implementation for a backend; None if there is none for the convolution's layout."""
    for row in TABLE:
        matches = row.backend in (backend, "any") and row.layout == convolution.layout
        if matches and row.supports(convolution):
            return row.convolve
    return None


def patches_fit(size: int) -> bool:
    """Whether patches of `size` bytes are within the limit."""
    return size <= PATCHES_LIMIT
