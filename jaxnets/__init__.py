"""Neural networks in JAX as pairs of pure functions, trained by compiled programs."""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING, Any

from jaxnets import layers
from jaxnets.compose import network, serial
from jaxnets.errors import LayerError
from jaxnets.layer import Layer, stateless
from jaxnets.layers import *  # noqa: F403
from jaxnets.padded import Padded
from jaxnets.recurrence import recurrent, scan_over_time

if TYPE_CHECKING:
    from jaxnets import (
        data,
        export,
        inspect,
        interop,
        losses,
        lowering,
        metrics,
        models,
        saved_model,
        training,
        word_vectors,
    )
    from jaxnets.inspect import summary
    from jaxnets.saved_model import load_model, save_model
    from jaxnets.training import evaluate, fit, make_train_step, predict

    __version__: str

__all__ = [
    "Layer",
    "LayerError",
    "Padded",
    "__version__",
    "data",
    "evaluate",
    "export",
    "fit",
    "inspect",
    "interop",
    "load_model",
    "losses",
    "lowering",
    "make_train_step",
    "metrics",
    "models",
    "network",
    "predict",
    "recurrent",
    "save_model",
    "saved_model",
    "scan_over_time",
    "serial",
    "stateless",
    "summary",
    "training",
    "word_vectors",
]
__all__ += layers.__all__

# Imported lazily, so that `import jaxnets` takes no longer than `import jax`.
_NAMESPACES = (
    *("data", "export", "inspect", "interop", "losses", "lowering", "metrics", "models"),
    *("saved_model", "training", "word_vectors"),
)
_FUNCTIONS = {
    "evaluate": "training",
    "fit": "training",
    "load_model": "saved_model",
    "make_train_step": "training",
    "predict": "training",
    "save_model": "saved_model",
    "summary": "inspect",
}


def __getattr__(name: str) -> Any:
    if name in _NAMESPACES:
        return _import_module(f"jaxnets.{name}")
    if name in _FUNCTIONS:
        return getattr(_import_module(f"jaxnets.{_FUNCTIONS[name]}"), name)
    if name == "__version__":
        return _import_module("importlib.metadata").version("jaxnets")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
