"""Weights from elsewhere: whether they are the ones that a model needs."""

from typing import Any

from jaxnets.layer import LayerError
from jaxnets.trees import flatten_names


def check_names(tree: dict[str, Any], expected: dict[str, Any]) -> None:
    """Refuse a tree of weights that does not fit, by name and shape.

    Args:
      tree: nested dicts of arrays, as `interop.safetensors.load` gives.
      expected: the same of arrays or shapes: `jax.eval_shape(model.init, key, x)[0]` for params.

    Raises:
      LayerError: names that are missing or too many, or other shapes, every one listed.
    """
    got, wanted = flatten_names(tree), flatten_names(expected)
    wrong = [f"{name} is missing" for name in wanted if name not in got]
    wrong += [f"{name} is not in the model" for name in got if name not in wanted]
    for name in got.keys() & wanted.keys():
        if got[name].shape != wanted[name].shape:
            wrong.append(f"{name} is {got[name].shape} and should be {wanted[name].shape}")
    if wrong:
        listed = "\n  ".join(sorted(wrong))
        raise LayerError(
            f"the weights do not fit; build the model as it was when they were saved:\n  {listed}"
        )
