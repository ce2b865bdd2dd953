"""Records the name and arguments of a model, with which a saved model can be built again."""

import functools
import inspect
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxnets.layer import Layer

_ATTRIBUTE = "jaxnets_model"  # of the layer's apply, which is a new function for every model


class ModelCall(NamedTuple):
    """The name of a function of `jaxnets.models`, and the arguments that it was called with."""

    name: str
    arguments: dict[str, Any]


def recorded(function: Callable[..., Layer]) -> Callable[..., Layer]:
    """The function, with its name and arguments recorded in the models that it returns.

    A call is not recorded if JSON cannot represent an argument, such as an activation function.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def build(*args: Any, **kwargs: Any) -> Layer:
        model = function(*args, **kwargs)
        arguments = signature.bind(*args, **kwargs).arguments
        if _is_json(arguments):
            setattr(model.apply, _ATTRIBUTE, ModelCall(function.__name__, dict(arguments)))
        return model

    return build


def model_call(model: Layer) -> ModelCall | None:
    """The call that built the model; None for any other layer."""
    return getattr(model.apply, _ATTRIBUTE, None)


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError):
        return False
    return True
