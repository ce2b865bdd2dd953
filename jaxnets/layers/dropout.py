"""Dropout of units, and of whole examples."""

from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp

from jaxnets.checks import check_fraction
from jaxnets.dtypes import as_float, wide_dtype
from jaxnets.errors import LayerError
from jaxnets.layer import Array, Key, Layer, Params, State
from jaxnets.layers.checks import require_key
from jaxnets.layers.defaults import BERNOULLI


def dropout(
    rate: float | Array,
    *,
    mode: Literal["inverted", "classic"] = "inverted",
    mask: Callable[[Key, Array, tuple[int, ...]], Array] = BERNOULLI,
) -> Layer:
    """Drops each unit with probability `rate` in training; the mean is preserved.

    Args:
      rate: the probability that a unit is set to 0; it may be traced, as a hyperparameter.
      mode: "inverted" divides the units that are kept by the keep probability, 1 - rate, and is
        the identity in evaluation (Srivastava et al. 2014, section 10). "classic" does not scale in
        training, and multiplies by 1 - rate in evaluation (Hinton et al. 2012).
      mask: `mask(key, keep, shape)` is True where a unit is kept. A function that ignores its
        arguments gives a fixed mask; one that returns axes of length 1 drops whole channels.

    Raises:
      LayerError: `rate` outside [0, 1), an unknown mode, a mask that is not a function or has the
        wrong shape, or training without a key.
    """
    check_fraction("dropout", error=LayerError, rate=rate)
    if mode not in ("inverted", "classic"):
        raise LayerError(f'dropout expects mode "inverted" or "classic", but got {mode!r}')
    if not callable(mask):
        raise LayerError(
            f"dropout expects mask to be a function (key, keep, shape), but got {type(mask)}; "
            f"for a fixed mask write mask=lambda key, keep, shape: kept"
        )

    def init(key: Key, x: Any) -> tuple[Params, State]:
        del key, x
        return {}, {}

    def apply(
        params: Params, state: State, x: Array, *, key: Key | None = None, train: bool = False
    ) -> tuple[Array, State]:
        del params
        x = as_float(x)
        keep = 1.0 - jnp.asarray(rate, wide_dtype(x.dtype))  # in bfloat16, 1 - 0.001 would be 1
        if not train:
            return (x if mode == "inverted" else (x * keep).astype(x.dtype)), state
        kept = mask(require_key("dropout", key), keep, x.shape)
        _expect_mask_for(x, kept)
        scaled = x / keep if mode == "inverted" else x
        return jnp.where(kept, scaled, 0).astype(x.dtype), state

    return Layer(init, apply)


def stochastic_depth(rate: float | Array) -> Layer:
    """Drops each example as a whole with probability `rate` in training: `dropout` by example.

    For the branch of a residual block, `x + drop(branch(x))`, which an example then skips. Those
    that are kept are divided by 1 - rate; evaluation is the identity. Source: Huang et al. 2016,
    "Deep networks with stochastic depth"; also called drop path (Larsson et al. 2017).

    Args:
      rate: the probability that an example is set to 0; it may be traced, as a hyperparameter.

    Raises:
      LayerError: `rate` outside [0, 1), or training without a key.
    """
    check_fraction("stochastic_depth", error=LayerError, rate=rate)
    return dropout(rate, mask=_by_example)


def _by_example(key: Key, keep: Array, shape: tuple[int, ...]) -> Array:
    return BERNOULLI(key, keep, (*shape[:1], *(1,) * (len(shape) - 1)))


def _expect_mask_for(x: Array, kept: Array) -> None:
    fits = (k in (1, n) for k, n in zip(kept.shape, x.shape, strict=False))
    if kept.ndim != x.ndim or not all(fits):
        raise LayerError(
            f"dropout expects a mask of shape {x.shape}, or of length 1 along shared axes, but got "
            f"{kept.shape}; return an array of the shape argument's shape"
        )
