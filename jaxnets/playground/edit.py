"""A weight or a bias that is set on the page."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxnets.layer import Params
from jaxnets.playground.options import OptionsError


def edited(
    params: Params, seed: int, sizes: Sequence[int], layer: Any, row: Any, column: Any, value: Any
) -> Params:
    """The parameters with a weight of one network changed, or a bias if `row` is None.

    Args:
      params: of all networks, whose hidden layers are stacked.
      seed: the number of the network.
      sizes: its inputs, the units of each hidden layer, its outputs.
      layer: the number of the layer, from 0.
      row: of the weight.
      column: of the weight or the bias.
      value: the new one.

    Raises:
      OptionsError: there is no such weight, or the value is no number up to 1e6.
    """
    layer = index_of("layer", layer, len(sizes) - 1)
    column = index_of("unit", column, sizes[layer + 1])
    place = (column,) if row is None else (index_of("input", row, sizes[layer]), column)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not abs(value) <= 1e6:
        raise OptionsError(f"a weight expects a number up to 1e6, but got {value!r:.40}; change it")
    part, head = "bias" if row is None else "kernel", layer == len(sizes) - 2
    before = params["head"] if head else params["hidden"]["fc"]
    leaf = np.array(before[part])
    leaf[(seed, *place) if head else (seed, layer, *place)] = value
    after = before | {part: leaf}
    return params | ({"head": after} if head else {"hidden": params["hidden"] | {"fc": after}})


def index_of(name: str, value: Any, length: int) -> int:
    """The value, if it is a whole number from 0 to below the length.

    Raises:
      OptionsError: it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < length:
        raise OptionsError(f"{name} expects 0 to {length - 1}, but got {value!r:.40}; choose again")
    return value
