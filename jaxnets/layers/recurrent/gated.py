"""Recurrent layers: the simple one, long short-term memory and the gated recurrent unit."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer

from jaxnets.checks import as_integers, check_fraction
from jaxnets.dtypes import readable, wide_dtype
from jaxnets.errors import LayerError
from jaxnets.layer import Array, Key, Layer, Params, State
from jaxnets.layers.checks import get_array, require_key
from jaxnets.layers.defaults import GLOROT_UNIFORM, GRU, LSTM, ORTHOGONAL, TANH
from jaxnets.lowering import plain_simple_rnn
from jaxnets.padded import Padded, expect_steps, repad, unpad, without_padding
from jaxnets.recurrence import without_carry

Scan = Callable[..., tuple[tuple[Array, ...], Array]]


def simple_rnn(
    units: int,
    *,
    activation: Callable[[Array], Array] = TANH,
    recurrent_dropout: float | Array = 0.0,
    kernel_init: Initializer = GLOROT_UNIFORM,
    recurrent_init: Initializer = ORTHOGONAL,
) -> Layer:
    """A simple recurrent layer: h_t = activation(x_t W + h_{t-1} U + b), and y_t = h_t.

    From (batch, time, features) to (batch, time, units), for an array or a padded batch; see `lstm`
    for the other arguments, the carry (here h) and dtypes. Params: `kernel` (features, units),
    `recurrent_kernel` (units, units), `bias` (units,). PyTorch has transposed kernels and a second
    bias, which is added to the first. Source: Elman 1990, "Finding structure in time".

    Raises:
      LayerError: as for `lstm`.
    """
    scan = partial(plain_simple_rnn, activation=activation)
    inits = (kernel_init, recurrent_init)
    return _layer("simple_rnn", units, 1, 1, {"bias": jnp.zeros}, inits, recurrent_dropout, scan)


def lstm(
    units: int,
    *,
    recurrent_dropout: float | Array = 0.0,
    kernel_init: Initializer = GLOROT_UNIFORM,
    recurrent_init: Initializer = ORTHOGONAL,
    scan: Scan = LSTM,
) -> Layer:
    """Long short-term memory, with gates i, f, g, o and outputs y_t = h_t.

        z_t = x_t W + h_{t-1} U + b
        c_t = sigmoid(f) * c_{t-1} + sigmoid(i) * tanh(g),  h_t = sigmoid(o) * tanh(c_t)

    From (batch, time, features) to (batch, time, units), for an array or a padded batch, whose
    outputs are 0 in the padding. The carry starts as zeros. Given `((h, c), x)` instead of `x`, it
    starts from that carry, and returns `((h, c), y)` with the carry after each row's last valid
    step: a sequence may come in parts, and `jax.lax.stop_gradient` of the carry between them is
    truncated backpropagation through time.

    Params: `kernel` (features, 4 * units) and `recurrent_kernel` (units, 4 * units), with the gates
    i, f, g, o side by side, and `bias` (4 * units,). Keras has the same arrays. PyTorch has
    transposed kernels, and two biases that are added up; Flax has one kernel per gate: see
    `jaxnets.interop`. Computes in the kernel's dtype, or in float32 if that has 16 bits; the carry
    has the dtype of the computation, the outputs that of the kernel. Source: Hochreiter &
    Schmidhuber 1997; Gers et al. 2000; the forget gate's bias is 1: Jozefowicz et al. 2015;
    orthogonal kernels: Saxe et al. 2014.

    Args:
      units: the number of units, the size of h and c.
      recurrent_dropout: the probability that a unit of h is dropped where it enters the gates, in
        training; the same units at all steps of a sequence. It may be traced. Source: Gal &
        Ghahramani 2016. For inputs, use `dropout` before the layer.
      kernel_init: initialiser of the kernel of each gate, (features, units).
      recurrent_init: initialiser of the recurrent kernel of each gate, (units, units).
      scan: the implementation. The default depends on the backend, and has its own backward pass
        on CPU; `jaxnets.lowering.plain_lstm` is XLA's on every backend.

    Raises:
      LayerError: `units` is not a positive integer, a rate outside [0, 1), training with recurrent
        dropout but without a key, an input without time steps or with other features than the
        kernel's, or a carry of the wrong shape.
    """
    biases = {"bias": _forget_bias_of_one}
    inits = (kernel_init, recurrent_init)
    return _layer("lstm", units, 4, 2, biases, inits, recurrent_dropout, scan)


def gru(
    units: int,
    *,
    recurrent_dropout: float | Array = 0.0,
    kernel_init: Initializer = GLOROT_UNIFORM,
    recurrent_init: Initializer = ORTHOGONAL,
    scan: Scan = GRU,
) -> Layer:
    """The gated recurrent unit, with gates r, z, n and outputs y_t = h_t.

        r = sigmoid(x W_r + h U_r + b_r),  z = sigmoid(x W_z + h U_z + b_z)
        n = tanh(x W_n + b_n + r * (h U_n + c)),  h_t = (1 - z) * n + z * h

    with h = h_{t-1}. From (batch, time, features) to (batch, time, units), for an array or a padded
    batch; see `lstm` for the arguments (XLA's `scan` is `jaxnets.lowering.plain_gru`), the carry
    (here h) and dtypes. Params: `kernel` (features, 3 * units) and `recurrent_kernel` (units,
    3 * units), with the gates r, z, n side by side, `bias` (3 * units,) and `recurrent_bias`
    (units,), which is c. Keras has the gates in the order z, r, n and, like PyTorch, two biases per
    gate, of which those of r and z are added up: see `jaxnets.interop`. Source: Cho et al. 2014,
    with the reset gate after the matmul, as in cuDNN, PyTorch, Flax and Keras.

    Raises:
      LayerError: as for `lstm`.
    """
    biases = {"bias": jnp.zeros, "recurrent_bias": lambda shape: jnp.zeros(units)}
    inits = (kernel_init, recurrent_init)
    return _layer("gru", units, 3, 1, biases, inits, recurrent_dropout, scan)


def _layer(
    kind: str,
    units: int,
    gates: int,
    parts: int,
    biases: dict[str, Callable[[tuple[int, ...]], Array]],
    inits: tuple[Initializer, Initializer],
    rate: float | Array,
    scan: Scan,
) -> Layer:
    """A recurrent layer with this many gates, and a carry of this many parts (batch, units)."""
    name = f"{kind}({units})"
    [units] = as_integers(kind, error=LayerError, units=units)
    check_fraction(name, error=LayerError, recurrent_dropout=rate)

    def init(key: Key, x: Any) -> tuple[Params, State]:
        features = _features(name, without_carry(x)[1])
        kernels = zip(("kernel", "recurrent_kernel"), inits, (features, units), strict=True)
        params = {
            which: _side_by_side(make, kernel_key, gates, (rows, units))
            for kernel_key, (which, make, rows) in zip(jax.random.split(key), kernels, strict=True)
        }
        return params | {which: bias((gates * units,)) for which, bias in biases.items()}, {}

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        start, x = without_carry(x)
        arrays = [get_array(name, params, w) for w in ("kernel", "recurrent_kernel", *biases)]
        _check_features(name, x, arrays[0])
        dtype = wide_dtype(arrays[0].dtype)
        values, lengths = _as_values(x, dtype)
        shape = (values.shape[0], units)
        carry = _as_carry(name, start, shape, parts, dtype)
        kept = _kept(name, key, rate, shape, dtype) if train else None
        weights = tuple(array.astype(dtype) for array in arrays)
        mask = None if lengths is None else x.mask
        carry, y = scan(values, weights, carry, mask, kept)
        y = repad(y.astype(arrays[0].dtype), lengths)
        return (y if start is None else (carry if parts > 1 else carry[0], y)), state

    return Layer(init, apply)


def _side_by_side(make: Initializer, key: Key, gates: int, shape: tuple[int, int]) -> Array:
    """One kernel per gate, each initialised on its own, along the last axis."""
    keys = jax.random.split(key, gates)
    return jnp.concatenate([make(key, shape, jnp.float32) for key in keys], axis=-1)


def _forget_bias_of_one(shape: tuple[int, ...]) -> Array:
    units = shape[0] // 4
    return jnp.zeros(shape).at[units : 2 * units].set(1.0)


def _features(name: str, x: Any) -> int:
    expect_steps(name, x, "(batch, time, features)")
    features = unpad(x)[0].shape[-1]
    if not features:
        raise LayerError(f"{name} expects at least one input feature, but got {unpad(x)[0].shape}")
    return features


def _check_features(name: str, x: Any, kernel: Array) -> None:
    if _features(name, x) != kernel.shape[0]:
        raise LayerError(
            f"{name} expects (batch, time, {kernel.shape[0]}) but got {unpad(x)[0].shape}; "
            "call init with this input"
        )


def _as_values(x: Any, dtype: Any) -> tuple[Array, Any]:
    """The values in this dtype, with 0 in the padding, and the lengths."""
    values, lengths = unpad(x)
    values = jnp.asarray(readable(values), dtype)
    return (values if lengths is None else without_padding(Padded(values, lengths))), lengths


def _as_carry(name: str, carry: Any, shape: tuple[int, int], parts: int, dtype: Any) -> tuple:
    """The initial carry as a tuple of arrays; zeros for None."""
    if carry is None:
        return (jnp.zeros(shape, dtype),) * parts
    arrays = carry if parts > 1 else (carry,)
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(arrays)]
    if not isinstance(arrays, tuple | list) or shapes != [shape] * parts:
        form = "(h, c), two arrays" if parts > 1 else "h, one array"
        raise LayerError(
            f"{name} expects ({form} {shape}, and x), but got a carry of shapes {shapes}; pass the "
            "carry that the layer returned, or zeros"
        )
    return tuple(jnp.asarray(readable(array), dtype) for array in arrays)


def _kept(
    name: str, key: Key | None, rate: float | Array, shape: tuple[int, int], dtype: Any
) -> Array | None:
    """1 / (1 - rate) for the units that are kept and 0 for those dropped; None if all are kept."""
    if isinstance(rate, int | float) and rate == 0:
        return None
    keep = 1.0 - jnp.asarray(rate, dtype)
    kept = jax.random.bernoulli(require_key(name, key), keep, shape)
    return jnp.where(kept, 1 / keep, 0).astype(dtype)
