"""Loads PyTorch's weights into a layer. Does not import PyTorch."""

import math
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.errors import LayerError
from jaxnets.interop.torch_file import read
from jaxnets.interop.torch_names import recognised, renamed
from jaxnets.interop.tracing import usage
from jaxnets.interop.weights import (
    Flat,
    below,
    expected,
    fitting,
    gru_biases,
    weight_specs,
)
from jaxnets.interop.weights import read as read_arrays
from jaxnets.layer import Layer, Params, State
from jaxnets.messages import printable

__all__ = ["load", "read"]

RECURRENT = re.compile(r"(?:(.*)\.)?(weight|bias)_(ih|hh)_l(\d+)(_reverse)?")
KINDS = {
    "weight": ("kernel", "embedding", "scale", "slope"),
    "bias": ("bias",),
    "running_mean": ("mean",),
    "running_var": ("var",),
}
Flattened = Mapping[str, tuple[int, ...] | None]


def load(
    weights: dict[str, Any] | str | Path,
    layer: Layer,
    x: Any,
    *,
    names: Callable[[str], str] | None = None,
    flattened: Flattened | None = None,
    dtype: Any = None,
) -> tuple[Params, State]:
    """The params and state of `layer` with the weights of a PyTorch module.

    A module's name is the layer's, with a dot for a slash: `head.weight` becomes `head/kernel`. The
    names of torchvision's ResNet, VGG, AlexNet, SqueezeNet, MobileNetV2 and ConvNeXt, of GPT-2
    (Hugging Face's and nanoGPT's) and of Hugging Face's BERT are known, for these `models`; for
    other names pass a function:

        load("net.pt", model, x, names=lambda module: module.replace("features.0", "conv1"))

    Kernels are transposed to our axes, also those of transposed and depthwise convolutions, and
    running statistics become the state; `num_batches_tracked` is left out, and so are the prefixes
    of `DataParallel` and `torch.compile`. The layers of a recurrent module `rnn` are `rnn/l0`,
    `rnn/l1`, ..., or `rnn` itself if there is one; those of both directions are `rnn/forward` and
    `rnn/backward`, the children of `bidirectional`:

        torch.nn.LSTM(3, 64, num_layers=2, bidirectional=True)            # named rnn
        ("rnn", serial(("l0", bidirectional(lstm(64))), ("l1", bidirectional(lstm(64)))))

    The two biases of a gate are added up, except those of the GRU's n, whose second bias is
    `recurrent_bias`. `nn.MultiheadAttention` becomes `attention`.

    Args:
      weights: arrays by name, as `module.state_dict()` returns, or a file of them: .safetensors, or
        a .pt file, whose code is not run. `read` returns everything in a .pt file.
      layer: the layer to load them into.
      x: an example batch or a `jax.ShapeDtypeStruct`; only its shape and dtype matter.
      names: a function from the name of a module to the path of our layer.
      flattened: the size of the image before `flatten`, for each dense layer after one:
        {"fc1": (7, 7)}. PyTorch flattens channels first and we flatten them last, so the rows
        of its kernel have another order. None for rows in our order, of a module that flattens
        channels last. The known models need none.
      dtype: the dtype to cast floats to; by default the model's, but only if it is wider.

    Raises:
      LayerError: missing, unknown or misfitting weights (wrong shape or dtype), or a dense layer
        after `flatten` that is not in `flattened`, all in one error.
      OSError: the file does not exist.
    """
    if not isinstance(flattened, Mapping | None):
        raise LayerError(
            f"interop.torch.load expects flattened as a dict, but got {flattened!r}; write "
            'flattened={"fc1": (7, 7)}, with the name of the dense layer'
        )
    specs = expected(layer, x)
    leaves = weight_specs(specs)
    arrays = _without_wrappers(_arrays(weights))
    rename = None if names else recognised(arrays, leaves)
    if names:
        arrays = renamed(arrays, names)
    elif rename:
        arrays = rename(arrays, [path.rpartition("/")[0] for path in leaves])
    flat = _converted(arrays, leaves)
    is_dense = any(leaf.ndim == 2 for path, leaf in flat.items() if path.endswith("kernel"))
    merged = usage(layer, specs, x).flattened if is_dense else {}
    if rename and flattened is None:
        flattened = {module: axes[:-1] for module, axes in merged.items()}
    flat, problems = _in_our_order(flat, merged, flattened or {})
    return fitting(flat, layer, x, specs, dtype=dtype, problems=problems)


def _arrays(weights: Any) -> Flat:
    """The arrays by name, of a dict or a file."""
    if not isinstance(weights, str | Path) or str(weights).endswith(".safetensors"):
        return read_arrays("interop.torch.load", weights)
    tree = read(weights)
    if others := [name for name, value in tree.items() if not isinstance(value, np.ndarray)]:
        [first, *_] = map(printable, others)
        raise LayerError(
            f"interop.torch.load expects a file of arrays by name, but {printable(weights)} has "
            f"{first!r} of another type; pass read(path)[...], the dict in it that is the "
            "state_dict"
        )
    return read_arrays("interop.torch.load", tree)


def _without_wrappers(arrays: Flat) -> Flat:
    """The arrays without what wrappers put before every name, and without counts of batches."""
    for prefix in ("module.", "_orig_mod."):
        if arrays and all(name.startswith(prefix) for name in arrays):
            arrays = {name.removeprefix(prefix): array for name, array in arrays.items()}
    return {n: a for n, a in arrays.items() if n.split(".")[-1] != "num_batches_tracked"}


def _converted(arrays: Flat, leaves: dict[str, Any]) -> Flat:
    """The arrays under our names and with the axes of ours."""
    flat: Flat = {}
    modules: dict[tuple, Flat] = defaultdict(dict)
    for name, array in arrays.items():
        if match := RECURRENT.fullmatch(name):
            module, kind, side, number, reverse = match.groups()
            modules[module or "", number, reverse][f"{kind}_{side}"] = array
        else:
            flat |= _attention(name, array, leaves) or _other(name, array, leaves)
    for (module, number, reverse), parts in modules.items():
        numbers = {n for m, n, _ in modules if m == module}
        both = any(r for m, _, r in modules if m == module)
        steps = [module.replace(".", "/")] if module else []
        steps += [f"l{number}"] if len(numbers) > 1 else []
        steps += ["backward" if reverse else "forward"] if both else []
        flat |= below("/".join(steps), _recurrent(parts))
    return flat


def _other(name: str, array: np.ndarray, leaves: dict[str, Any]) -> Flat:
    """The array by its path in the layer, with the axes in our order; else by PyTorch's name."""
    path = name.replace(".", "/")
    module, _, kind = path.rpartition("/")
    for ours in KINDS.get(kind, ()):
        [target] = below(module, {ours: array})
        if target in leaves:
            moved = array.transpose(*range(2, array.ndim), 1, 0) if ours == "kernel" else array
            return {target: _by_head(moved, leaves[target].shape)}
    return {path: array}


def _by_head(array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """A kernel or a bias of attention with an axis for the heads; others unchanged."""
    by_head = (array.ndim, len(shape)) in ((2, 3), (1, 2)) and array.size == math.prod(shape)
    return array.reshape(shape) if by_head else array


def _attention(name: str, array: np.ndarray, leaves: dict[str, Any]) -> Flat:
    """The parts of the array of `nn.MultiheadAttention` that projects queries, keys, values."""
    if match := re.fullmatch(r"(.*\.)?in_proj_(weight|bias)", name):
        prefix, kind = match[1] or "", match[2]
        flat: Flat = {}
        for part, values in zip(("query", "key", "value"), np.split(array, 3), strict=True):
            flat |= _other(f"{prefix}{part}.{kind}", values, leaves)
        return flat
    renamed = re.sub(r"(^|\.)out_proj\.(weight|bias)$", r"\1out.\2", name)
    return _other(renamed, array, leaves) if renamed != name else {}


def _recurrent(parts: Flat) -> Flat:
    """The params of one direction of one layer; what is not there is left out."""
    kernels = {"weight_ih": "kernel", "weight_hh": "recurrent_kernel"}
    params = {ours: parts[theirs].T for theirs, ours in kernels.items() if theirs in parts}
    if not {"bias_ih", "bias_hh", "weight_hh"} <= parts.keys():
        return params
    first, second = parts["bias_ih"], parts["bias_hh"]
    is_gru = len(second) == 3 * parts["weight_hh"].shape[1]
    return params | (gru_biases(first, second) if is_gru else {"bias": first + second})


def _in_our_order(
    flat: Flat, merged: dict[str, tuple[int, ...]], flattened: Flattened
) -> tuple[Flat, list[str]]:
    """The arrays with the rows of dense kernels after `flatten` in our order, and what is wrong.

    Args:
      flat: the arrays under our names.
      merged: the axes that the rows of such a kernel have in our order, by layer.
      flattened: as for `load`.
    """
    flat, problems = dict(flat), []
    for module in dict.fromkeys([*merged, *flattened]):
        path, axes = "/".join(filter(None, (module, "kernel"))), merged.get(module)
        kernel = flat.get(path)
        if kernel is None or kernel.ndim != 2:
            if module in flattened:
                problems.append(f"{path} is in flattened, but is not a dense kernel of the file")
        elif module not in flattened:
            problems.append(_unknown_order(module, path, axes or ()))
        elif (size := flattened[module]) is not None:
            size, rows = tuple(size), len(kernel)
            if (axes and axes[:-1] != size) or not math.prod(size) or rows % math.prod(size):
                has = f"of {axes}" if axes else f"with {rows} rows"
                problems.append(f"{path} is {has} and does not fit flattened={size}")
            else:
                by_axis = kernel.reshape(-1, *size, kernel.shape[1])
                flat[path] = np.moveaxis(by_axis, 0, -2).reshape(kernel.shape)
    return flat, problems


def _unknown_order(module: str, path: str, axes: tuple[int, ...]) -> str:
    if not axes:
        return (
            f"{path} has rows of a flattened array besides others, which PyTorch may order "
            f'differently; reorder them for this layer, and pass flattened={{"{module}": None}}'
        )
    return (
        f"{path} has rows of a flattened array {axes}, which PyTorch flattens channels first; "
        f'pass flattened={{"{module}": {axes[:-1]}}}, or None for rows in this order'
    )
