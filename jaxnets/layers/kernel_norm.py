"""Wrappers of a layer that normalise its kernel."""

from typing import Any

import jax
import jax.numpy as jnp

from jaxnets.dtypes import wide_dtype
from jaxnets.errors import LayerError
from jaxnets.keys import stream
from jaxnets.layer import Array, Key, Layer, Params, State, check_layer
from jaxnets.layers.channels import per_channel
from jaxnets.layers.checks import get_array


def weight_norm(layer: Layer) -> Layer:
    """The layer with a kernel g v / |v|, whose length and direction are separate parameters.

    The norm is over all axes of the kernel but the last: one per feature of `dense` and `conv`.
    Params: those of the layer, whose `kernel` is v, and `length` (features,), which is g. Initially
    the kernel is that of the layer; one of zeros stays zero. Source: Salimans & Kingma 2016,
    "Weight normalization", equation 2.

    Raises:
      LayerError: a layer whose params have no kernel, such as a network; wrap the layers in it.
    """
    check_layer("weight_norm", layer)

    def init(key: Key, x: Any) -> tuple[Params, State]:
        params, state = layer.init(key, x)
        kernel = _kernel("weight_norm", params)
        return params | {"length": _length(kernel).ravel()}, state

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        kernel = _kernel("weight_norm", params)
        v, g = kernel.astype(wide_dtype(kernel.dtype)), get_array("weight_norm", params, "length")
        scaled = v * (per_channel(g, v) / _length(v))
        inner = _without(params, "length") | {"kernel": scaled.astype(kernel.dtype)}
        return layer.apply(inner, state, x, key=key, train=train)

    return Layer(init, apply)


def spectral_norm(layer: Layer) -> Layer:
    """The layer with its kernel divided by its largest singular value, by power iteration.

    The kernel counts as a matrix W (inputs, features): all axes but the last are one. Training
    makes one step v = W u / |W u|, u = W^T v / |W^T v|, and divides by v^T W u; u and v count as
    constants there. Evaluation divides by v^T W u with the last u and v. Params: those of the
    layer; state: that of the layer, and the vectors `u` (features,) and `v` (inputs,), in float32
    or wider. `init` makes 15 steps; an empty batch changes neither vector. A kernel of zeros stays
    zero. Source: Miyato et al. 2018, "Spectral normalization for generative adversarial networks",
    algorithm 1.

    Raises:
      LayerError: a layer whose params have no kernel, such as a network; wrap the layers in it.
    """
    check_layer("spectral_norm", layer)

    def init(key: Key, x: Any) -> tuple[Params, State]:
        params, state = layer.init(key, x)
        w = _matrix(_kernel("spectral_norm", params))
        u = jax.random.normal(stream(key, "spectral_norm"), w.shape[-1:], jnp.float32)
        u, v = _power_iteration(w, u, steps=15)
        return params, state | {"u": u, "v": v}

    def apply(
        params: Params, state: State, x: Any, *, key: Key | None = None, train: bool = False
    ) -> tuple[Any, State]:
        kernel = _kernel("spectral_norm", params)
        u, v = (get_array("spectral_norm", state, name, "state") for name in ("u", "v"))
        w = _matrix(kernel)
        if train and x.size:
            updated = _power_iteration(jax.lax.stop_gradient(w), u, steps=1)
            u, v = (new.astype(old.dtype) for new, old in zip(updated, (u, v), strict=True))
        largest = v @ w @ u
        scaled = (w / jnp.where(largest == 0, 1, largest)).reshape(kernel.shape)
        params = params | {"kernel": scaled.astype(kernel.dtype)}
        y, inner = layer.apply(params, _without(state, "u", "v"), x, key=key, train=train)
        return y, inner | {"u": u, "v": v}

    return Layer(init, apply)


def _kernel(name: str, params: Params) -> Array:
    if "kernel" not in params:
        raise LayerError(
            f"{name} expects a layer with a kernel, such as dense or conv, but its params are "
            f"{sorted(params)}; wrap the layers of a network one by one"
        )
    return jnp.asarray(params["kernel"])


def _without(tree: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: leaf for name, leaf in tree.items() if name not in names}


def _length(v: Array) -> Array:
    """The norm over all axes but the last, with keepdims=True; at least a tiny number."""
    squares = jnp.square(v).sum(tuple(range(v.ndim - 1)), keepdims=True)
    return jnp.sqrt(jnp.maximum(squares, jnp.finfo(v.dtype).tiny))


def _matrix(kernel: Array) -> Array:
    """The kernel as (inputs, features), in float32 or wider."""
    return kernel.astype(wide_dtype(kernel.dtype)).reshape(-1, kernel.shape[-1])


def _power_iteration(w: Array, u: Array, steps: int) -> tuple[Array, Array]:
    v = w[:, 0]
    for _ in range(steps):
        v = _unit(w @ u)
        u = _unit(v @ w)
    return u, v


def _unit(x: Array) -> Array:
    return x / jnp.maximum(jnp.linalg.norm(x), jnp.finfo(x.dtype).tiny)
