"""Flax: loads Linen's weights; Linen and NNX modules as a `Layer`, and a `Layer` as a module."""

from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.errors import LayerError
from jaxnets.files import regular_file
from jaxnets.interop.linen import from_linen, to_linen
from jaxnets.interop.nnx import from_nnx
from jaxnets.interop.weights import Flat, below, expected, fitting, read
from jaxnets.layer import Layer, Params, State
from jaxnets.messages import printable
from jaxnets.trees import flatten_names, unflatten_names

__all__ = ["from_linen", "from_nnx", "load", "to_linen"]

GATES = {"LSTM": ("i", "f", "g", "o"), "GRU": ("r", "z", "n")}
COLLECTIONS = ("params", "batch_stats")


def load(
    weights: dict[str, Any] | str | Path, layer: Layer, x: Any, *, dtype: Any = None
) -> tuple[Params, State]:
    """The params and state of `layer` with the variables of a Linen module.

    Modules, params and statistics have the same names in both.
    `nn.RNN(nn.LSTMCell(64), name="rnn")`, or one of `OptimizedLSTMCell`, `GRUCell` and
    `SimpleCell`, becomes `rnn`; the modules `forward_rnn` and `backward_rnn` become `forward` and
    `backward`, the children of `bidirectional`.

    Args:
      weights: what the module's `init` returned, or its "params" alone, nested dicts of arrays; a
        file of either, by `flax.serialization.to_bytes` or .safetensors; or the folder of an Orbax
        checkpoint of either.
      layer: the layer to load them into.
      x: an example batch or a `jax.ShapeDtypeStruct`; only its shape and dtype matter.
      dtype: the dtype to cast floats to; by default the model's, but only if it is wider.

    Raises:
      LayerError: missing, unknown or misfitting weights (wrong shape or dtype), all in one error;
        or a damaged file.
      OSError: the file does not exist.
    """
    tree = unflatten_names(read("interop.flax.load", _from_file(weights)))
    trees = [tree]
    if "params" in tree and not tree.keys() - set(COLLECTIONS):
        trees = [tree[name] for name in COLLECTIONS if name in tree]
    flat: Flat = {}
    for part in trees:
        flat |= _converted("", part)
    return fitting(flat, layer, x, expected(layer, x), dtype=dtype)


def _from_file(weights: Any) -> Any:
    """The tree in a msgpack file or in Orbax's folder; anything else unchanged."""
    if not isinstance(weights, str | Path) or str(weights).endswith(".safetensors"):
        return weights
    is_folder = Path(weights).is_dir()
    try:
        tree = _read_orbax(weights) if is_folder else _read_msgpack(weights)
    except Exception as error:  # msgpack and Orbax raise errors of many types
        if not Path(weights).exists():
            raise
        kind = "an Orbax checkpoint" if is_folder else "what flax.serialization.to_bytes wrote"
        reason = printable(str(error) or repr(error))
        raise LayerError(
            f"{printable(weights)} cannot be read as {kind}: {reason}; save it again"
        ) from error
    if not isinstance(tree, dict):
        raise LayerError(
            f"{printable(weights)} holds a {type(tree).__name__} and no dict; save the variables"
        )
    return tree


def _read_msgpack(path: str | Path) -> Any:
    from flax import serialization

    with regular_file(path) as file:
        return serialization.msgpack_restore(file.read())


def _read_orbax(folder: str | Path) -> Any:
    """The arrays of a checkpoint on the first device, whatever devices they were saved from."""
    import jax
    from orbax import checkpoint

    path = Path(folder).absolute()
    with checkpoint.PyTreeCheckpointer() as checkpointer:
        saved = checkpointer.metadata(path).item_metadata
        restored = jax.tree.map(lambda leaf: checkpoint.RestoreArgs(restore_type=np.ndarray), saved)
        return checkpointer.restore(path, restore_args=restored)


def _converted(path: str, tree: dict[str, Any]) -> Flat:
    """The module's arrays under our names."""
    if (cell := _cell(tree)) is not None:
        return below(path, cell)
    flat: Flat = {}
    for name, child in tree.items():
        if isinstance(child, dict):
            ours = {"cell": "", "forward_rnn": "forward", "backward_rnn": "backward"}
            step = ours.get(name, name)
            flat |= _converted("/".join(filter(None, (path, step))), child)
        else:
            flat |= below(path, {name: child})
    return flat


def _cell(tree: dict[str, Any]) -> Flat | None:
    """The params of a recurrent cell; None for any other module."""
    if {"i", "h"} == tree.keys():
        kernels = {"kernel": tree["i"]["kernel"], "recurrent_kernel": tree["h"]["kernel"]}
        return kernels | {"bias": tree["i"]["bias"]}
    for kind, gates in GATES.items():
        if tree.keys() == {f"{side}{gate}" for side in "ih" for gate in gates}:
            cell = flatten_names(tree)
            joined = {
                ours: np.concatenate([cell[f"{side}{gate}/kernel"] for gate in gates], axis=-1)
                for ours, side in (("kernel", "i"), ("recurrent_kernel", "h"))
            }
            side = "h" if kind == "LSTM" else "i"
            joined["bias"] = np.concatenate([cell[f"{side}{gate}/bias"] for gate in gates])
            return joined | ({"recurrent_bias": cell["hn/bias"]} if kind == "GRU" else {})
    return None
