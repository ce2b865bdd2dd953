"""Normalisation: over the batch, over one example, or over neighbouring channels."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.checks import as_integers, check_fraction, check_not_negative
from jaxnets.dtypes import as_float, wide_dtype
from jaxnets.errors import LayerError
from jaxnets.layer import Array, Key, Layer, Params, State, stateless
from jaxnets.layers.channels import per_channel
from jaxnets.layers.checks import check_channels, get_array
from jaxnets.padded import Padded, expect_steps, over_steps, repad, unpad, without_padding


def batch_norm(*, decay: float = 0.99, epsilon: float = 1e-5) -> Layer:
    """Normalises each channel to mean 0 and variance 1 over the batch, then scales and shifts it.

    Training uses the batch's statistics and updates the running ones: `decay` is the weight of the
    old value. Evaluation uses the running statistics. Params: `scale`, `bias` (channels,); state:
    `mean`, `var` (channels,), in float32 whatever the input. The variance is biased (ddof=0). An
    empty batch leaves the running statistics unchanged. In a padded batch, only valid steps count.
    Source: Ioffe & Szegedy 2015, algorithm 1.

    Raises:
      LayerError: `decay` outside [0, 1), or an input whose channels differ from the params'.
    """
    check_fraction("batch_norm", error=LayerError, decay=decay)

    def init(key: Key, x: Any) -> tuple[Params, State]:
        del key
        shape = unpad(x)[0].shape[-1:]
        state = {"mean": jnp.zeros(shape, jnp.float32), "var": jnp.ones(shape, jnp.float32)}
        return _scale_and_bias(shape), state

    def apply(
        params: Params, state: State, x: Array, *, key: Key | None = None, train: bool = False
    ) -> tuple[Array, State]:
        del key
        x, lengths, valid = _sequence(x)
        check_channels("batch_norm()", get_array("batch_norm()", params, "scale"), x)
        mean, var = (get_array("batch_norm()", state, name, "state") for name in ("mean", "var"))
        if train and x.size:
            running = (mean, var)
            mean, var = _moments(x, tuple(range(x.ndim - 1)), valid=valid)
            updated = [_moving_average(*p, decay) for p in zip(running, (mean, var), strict=True)]
            if valid is not None:  # without a valid step, there are no statistics
                pairs = zip(updated, running, strict=True)
                updated = [jnp.where(valid.any(), new, old) for new, old in pairs]
            state = {"mean": updated[0], "var": updated[1]}
        return repad(_normalise(x, mean, var, params, epsilon), lengths), state

    return Layer(init, apply)


def layer_norm(*, epsilon: float = 1e-6) -> Layer:
    """Normalises each example's last axis to mean 0, variance 1, then scales and shifts channels.

    Params: `scale`, `bias` (channels,). Source: Ba, Kiros & Hinton 2016, equation 4.

    Raises:
      LayerError: an input whose channels differ from the params'.
    """

    def init(key: Key, x: Any) -> Params:
        del key
        return _scale_and_bias(x.shape[-1:])

    def apply(params: Params, x: Array) -> Array:
        x = as_float(x)
        check_channels("layer_norm()", get_array("layer_norm()", params, "scale"), x)
        mean, var = _moments(x, axes=(-1,), keepdims=True)
        return _normalise(x, mean, var, params, epsilon)

    return stateless(init, apply)


def rms_norm(*, epsilon: float = 1e-6) -> Layer:
    """Divides each example's last axis by its root mean square, then scales the channels.

    Params: `scale` (channels,). Source: Zhang & Sennrich 2019, "Root mean square layer
    normalization", equation 4.

    Raises:
      LayerError: an input whose channels differ from the params'.
    """

    def init(key: Key, x: Any) -> Params:
        del key
        return {"scale": jnp.ones(x.shape[-1:], jnp.float32)}

    def apply(params: Params, x: Array) -> Array:
        scale, x = get_array("rms_norm()", params, "scale"), as_float(x)
        check_channels("rms_norm()", scale, x)
        a = x.astype(wide_dtype(x.dtype))
        mean_square = jnp.square(a).mean(-1, keepdims=True)
        return (a * (jax.lax.rsqrt(mean_square + epsilon) * per_channel(scale, a))).astype(x.dtype)

    return stateless(init, apply)


def instance_norm(*, epsilon: float = 1e-6) -> Layer:
    """Normalises each channel of each example over space: `group_norm` with one channel per group.

    From (batch, *space, channels). Params: `scale`, `bias` (channels,). Source: Ulyanov, Vedaldi &
    Lempitsky 2016, "Instance normalization".

    Raises:
      LayerError: an input without spatial axes, or whose channels differ from the params'.
    """
    name = "instance_norm()"

    def expect_space(x: Any) -> None:
        if len(x.shape) < 3:
            raise LayerError(f"{name} expects (batch, *space, channels) but got {x.shape}")

    def init(key: Key, x: Any) -> Params:
        del key
        expect_space(x)
        return _scale_and_bias(x.shape[-1:])

    def apply(params: Params, x: Array) -> Array:
        x = as_float(x)
        expect_space(x)
        check_channels(name, get_array(name, params, "scale"), x)
        mean, var = _moments(x, axes=tuple(range(1, x.ndim - 1)), keepdims=True)
        return _normalise(x, mean, var, params, epsilon)

    return stateless(init, apply)


def group_norm(groups: int, *, epsilon: float = 1e-6) -> Layer:
    """Normalises each example's channels in `groups` groups, over all positions of a group.

    Each group has mean 0 and variance 1; then channels are scaled and shifted. From (batch, ...,
    channels). One group is layer norm over the whole example; as many groups as channels,
    `instance_norm`. Params: `scale`, `bias` (channels,). Source: Wu & He 2018, equations 1 to 7.

    Raises:
      LayerError: `groups` is not a positive integer or does not divide the channels, or an input
        whose channels differ from the params'.
    """
    name = f"group_norm({groups})"
    [groups] = as_integers(name, error=LayerError, groups=groups)

    def expect_groups(x: Any) -> None:
        if len(x.shape) < 2 or x.shape[-1] % groups:
            raise LayerError(
                f"{name} expects (batch, ..., channels) with channels in {groups} groups, but got "
                f"{x.shape}; choose a number of groups that divides the channels"
            )

    def init(key: Key, x: Any) -> Params:
        del key
        expect_groups(x)
        return _scale_and_bias(x.shape[-1:])

    def apply(params: Params, x: Array) -> Array:
        x = as_float(x)
        expect_groups(x)
        check_channels(name, get_array(name, params, "scale"), x)
        size = x.shape[-1] // groups
        grouped = x.reshape(*x.shape[:-1], groups, size)
        moments = _moments(grouped, axes=(*range(1, x.ndim - 1), x.ndim), keepdims=True)
        mean, var = (jnp.repeat(m.squeeze(-1), size, axis=-1) for m in moments)
        return _normalise(x, mean, var, params, epsilon)

    return stateless(init, apply)


def local_response_norm(
    size: int = 5, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0
) -> Callable[[Array], Array]:
    """Divides each value by its neighbours' activity: a / (k + alpha * sum of a^2)^beta.

    From (..., channels). The sum is over `size` channels centred at the value's channel, fewer at
    the edges. The defaults are AlexNet's: Krizhevsky et al. 2012, section 3.3. There, as here and
    in TensorFlow, alpha multiplies the sum. PyTorch, Caffe and MATLAB divide alpha by `size`: their
    alpha is `size` times this one. k is by default 1 in TensorFlow, PyTorch and Caffe, 2 in MATLAB.

    Raises:
      LayerError: `size` is not an odd positive integer, alpha or beta is negative, or k is not
        positive.
    """
    name = f"local_response_norm({size})"
    [size] = as_integers(name, error=LayerError, size=size)
    check_not_negative(name, error=LayerError, alpha=alpha, beta=beta)
    if size % 2 == 0:
        raise LayerError(
            f"{name} expects an odd size, with one channel in the middle, but got {size}; pass "
            f"size={size + 1}"
        )
    if not k > 0:
        raise LayerError(f"{name} expects k above 0, so that 0 / 0 cannot occur, but got {k!r}")

    def apply(x: Array) -> Array:
        x = as_float(x)
        a = x.astype(wide_dtype(x.dtype))
        window, strides = (*(1,) * (a.ndim - 1), size), (1,) * a.ndim
        zero = a.dtype.type(0)
        total = jax.lax.reduce_window(jnp.square(a), zero, jax.lax.add, window, strides, "SAME")
        return (a / (k + alpha * total) ** beta).astype(x.dtype)

    return apply


def _scale_and_bias(channels: tuple[int, ...]) -> Params:
    return {"scale": jnp.ones(channels, jnp.float32), "bias": jnp.zeros(channels, jnp.float32)}


def _moving_average(old: Array, new: Array, decay: float) -> Array:
    """The exponential moving average, without a gradient, in the dtype of the old value."""
    return (decay * old + (1 - decay) * jax.lax.stop_gradient(new)).astype(old.dtype)


def _sequence(x: Any) -> tuple[Array, Any, Array | None]:
    """The values as floats with 0 in the padding, the lengths, and which values are valid."""
    if not isinstance(x, Padded):
        return as_float(x), None, None
    expect_steps("batch_norm()", x, "(batch, time, ..., channels)")
    x = x._replace(values=as_float(x.values))
    return without_padding(x), x.lengths, over_steps(x.mask, x.values)


def _moments(
    x: Array, axes: tuple[int, ...], keepdims: bool = False, valid: Array | None = None
) -> tuple[Array, Array]:
    """Mean and biased variance, in float32 or wider, in two passes to avoid cancellation."""
    x = x.astype(wide_dtype(x.dtype))
    if valid is None:
        mean = x.mean(axes, keepdims=True)
        var = jnp.square(x - mean).mean(axes, keepdims=True)
    else:
        count = jnp.maximum(jnp.broadcast_to(valid, x.shape).sum(axes, keepdims=True), 1)
        mean = x.sum(axes, keepdims=True) / count
        var = jnp.where(valid, jnp.square(x - mean), 0).sum(axes, keepdims=True) / count
    return (mean, var) if keepdims else (mean.reshape(x.shape[-1:]), var.reshape(x.shape[-1:]))


def _normalise(x: Array, mean: Array, var: Array, params: Params, epsilon: float) -> Array:
    mean, var, scale, bias = (
        per_channel(v, x) for v in (mean, var, params["scale"], params["bias"])
    )
    return ((x - mean) * (jax.lax.rsqrt(var + epsilon) * scale) + bias).astype(x.dtype)
