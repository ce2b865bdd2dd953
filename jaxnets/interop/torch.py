"""Loads PyTorch's weights: RNN, LSTM, GRU, Linear and Embedding. Does not import PyTorch."""

import re
from collections import defaultdict
from pathlib import Path
from typing import Any

from jaxnets.interop.weights import Flat, below, expected, fitting, gru_biases, read
from jaxnets.layer import Layer, Params, State
from jaxnets.trees import flatten_names

RECURRENT = re.compile(r"(?:(.*)\.)?(weight|bias)_(ih|hh)_l(\d+)(_reverse)?")


def load(state_dict: dict[str, Any] | str | Path, layer: Layer, x: Any) -> tuple[Params, State]:
    """The params and state of `layer` with the weights of a PyTorch module.

    A module's name is the layer's: `head.weight` becomes `head/kernel`. The layers of a recurrent
    module `rnn` are `rnn/l0`, `rnn/l1`, ..., or `rnn` itself if there is one; those of both
    directions are `rnn/forward` and `rnn/backward`, the children of `bidirectional`:

        torch.nn.LSTM(3, 64, num_layers=2, bidirectional=True)            # named rnn
        ("rnn", serial(("l0", bidirectional(lstm(64))), ("l1", bidirectional(lstm(64)))))

    Kernels are transposed. The two biases of a gate are added up, but for the GRU's n, whose second
    bias is `recurrent_bias`.

    Args:
      state_dict: arrays by name, as `module.state_dict()` returns, or a .safetensors file of them.
      layer: the layer to load them into.
      x: an example batch or a `jax.ShapeDtypeStruct`; only its shape and dtype matter.

    Raises:
      LayerError: weights that are missing, that have no place in the layer, or that differ in
        shape or dtype; lists all of them.
    """
    arrays, specs = read("interop.torch.load", state_dict), expected(layer, x)
    names = flatten_names(specs[0])
    flat: Flat = {}
    modules: dict[tuple, Flat] = defaultdict(dict)
    for name, array in arrays.items():
        if match := RECURRENT.fullmatch(name):
            module, kind, side, number, reverse = match.groups()
            modules[module or "", number, reverse][f"{kind}_{side}"] = array
        else:
            flat |= _other(name.replace(".", "/"), array, names)
    for (module, number, reverse), parts in modules.items():
        numbers = {n for m, n, _ in modules if m == module}
        both = any(r for m, _, r in modules if m == module)
        steps = [module.replace(".", "/")] if module else []
        steps += [f"l{number}"] if len(numbers) > 1 else []
        steps += ["backward" if reverse else "forward"] if both else []
        flat |= below("/".join(steps), _recurrent(parts))
    return fitting(flat, specs)


def _other(path: str, array: Any, names: Any) -> Flat:
    """A transposed kernel or an embedding, if the layer has one there; else the array itself."""
    module, _, kind = path.rpartition("/")
    for ours, values in (("kernel", array.T), ("embedding", array)):
        renamed = below(module, {ours: values})
        if kind == "weight" and array.ndim == 2 and renamed.keys() <= names.keys():
            return renamed
    return {path: array}


def _recurrent(parts: Flat) -> Flat:
    """The params of one direction of one layer; what is not there is left out."""
    kernels = {"weight_ih": "kernel", "weight_hh": "recurrent_kernel"}
    params = {ours: parts[theirs].T for theirs, ours in kernels.items() if theirs in parts}
    if not {"bias_ih", "bias_hh", "weight_hh"} <= parts.keys():
        return params
    first, second = parts["bias_ih"], parts["bias_hh"]
    is_gru = len(second) == 3 * parts["weight_hh"].shape[1]
    return params | (gru_biases(first, second) if is_gru else {"bias": first + second})
