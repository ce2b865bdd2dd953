"""Reads a model's file, which may be damaged or malicious."""

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxnets import models, sealed
from jaxnets.errors import LayerError, ModelFileError, ModelFileWarning
from jaxnets.export.stablehlo import foreign_calls
from jaxnets.interop import safetensors
from jaxnets.layer import Layer
from jaxnets.messages import printable
from jaxnets.saved_model import preprocess as preprocesses
from jaxnets.saved_model.content import FORMAT, PROGRAM, Content
from jaxnets.saved_model.loaded import LoadedModel
from jaxnets.tensors import Tensors
from jaxnets.trees import check_names

Forward = Callable[[Any, Any, Any], Any]  # (params, state, x) -> y
CURE = "load another file, or save the model again"


def load_model(path: str | Path, model: Layer | None = None) -> LoadedModel:
    """The model in a file of `save_model`, ready to predict.

    Without `model`, predictions run the file's program, which is compiled when it is first used.
    If this JAX refuses the program, for example because it is too old, a model of `jaxnets.models`
    is built again from the name and arguments in the file, with a `ModelFileWarning`; for any other
    model `predict` raises an error, while `params` and the other attributes can be used.

    The SHA-256 of the file is verified first, nothing is unpacked, and nothing in it is run as
    Python. A program may only use XLA's own operations. But the compiler itself is not hardened
    against malicious programs: load a file that you do not trust by `load_model(path, model=...)`,
    which reads only its arrays and JSON.

    Args:
      path: the file.
      model: the layer that was saved, to use instead of the program; it may be changed, as long as
        its params and state have the same names and shapes.

    Raises:
      ModelFileError: the file is damaged or does not hold a model, or `model` does not fit it.
      OSError: it does not exist, or cannot be read.
    """
    where = printable(path)
    try:
        stored = sealed.read(Path(path))
        _check_format(stored.metadata)
        content, program, tree = _parts(stored)
        preprocess = _preprocess(content)
    except ModelFileError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ModelFileError(f"{where} cannot be loaded: {printable(error)}; {CURE}") from error
    parts = content.classes, preprocess, content.inputs, content.metadata, content.versions
    if model is None:
        forward = _of_program(where, program, content, tree)
    else:
        _check_model(where, model, tree, content)
        forward = _of_model(model)
    return LoadedModel(where, tree["params"], tree["state"], *parts, forward)


def _check_format(metadata: dict[str, str]) -> None:
    if (got := metadata.get("format")) != FORMAT:
        raise ValueError(f"its format is {got!r}, but this jaxnets reads {FORMAT!r}")


def _parts(stored: Tensors) -> tuple[Content, bytes, dict[str, Any]]:
    arrays = dict(stored.arrays)
    program = arrays.pop(PROGRAM)
    tree = safetensors.to_tree(arrays, stored.metadata)
    if set(tree) != {"params", "state"} or program.dtype != np.uint8:
        raise ValueError("it has other arrays than params, state and a program")
    return Content.from_json(stored.metadata["model"]), program.tobytes(), tree


def _preprocess(content: Content) -> Any:
    """The preprocessing; one of an unknown kind raises when it is used."""
    try:
        return preprocesses.from_json(content.preprocess)
    except ModelFileError as error:
        message = str(error)

    def unknown(x: Any) -> Any:
        del x
        raise ModelFileError(message)

    return unknown


def _of_model(model: Layer) -> Forward:
    return jax.jit(lambda params, state, x: model.apply(params, state, x)[0])


def _check_model(where: str, model: Layer, tree: dict[str, Any], content: Content) -> None:
    """Refuse a model with other params or state than the file's; only for a single input array."""
    if not isinstance(model, Layer):
        raise ModelFileError(
            f"load_model expects model as a Layer, but got a {type(model).__name__}; build it as "
            "it was saved"
        )
    if content.inputs[0].path:
        return
    [array] = content.inputs
    x = jax.ShapeDtypeStruct((1, *array.shape), array.dtype)
    try:
        params, state = jax.eval_shape(model.init, jax.random.key(0), x)
        check_names(tree, {"params": params, "state": state})
    except LayerError as error:
        raise ModelFileError(f"{where} does not fit the model: {printable(error)}") from error


def _of_program(where: str, program: bytes, content: Content, tree: dict[str, Any]) -> Forward:
    """The file's program; if it is refused, the library's model of the same name and arguments."""

    @cache  # so that it is compiled once
    def forward() -> Forward:
        try:
            return _run(program, tree)
        except Exception as error:
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            refused = (
                f"{where} has a program that jax {jax.__version__} refuses "
                f"({printable(reason):.150}; it was written by jax "
                f"{printable(content.versions.get('jax'))})"
            )
        model = _rebuilt(refused, content, tree)
        _check_model(where, model, tree, content)
        warnings.warn(f"{refused}; built the model again from its name", ModelFileWarning, 2)
        return _of_model(model)

    return lambda params, state, x: forward()(params, state, x)


def _run(program: bytes, tree: dict[str, Any]) -> Forward:
    exported = jax.export.deserialize(bytearray(program))
    _check_convention(exported.calling_convention_version)
    if calls := foreign_calls(exported):
        raise ValueError(f"it calls {', '.join(calls)}, which may run any code")
    leaves = jax.tree.leaves((tree["params"], tree["state"]))
    expected = [(aval.shape, aval.dtype) for aval in exported.in_avals[: len(leaves)]]
    if expected != [(leaf.shape, leaf.dtype) for leaf in leaves]:
        raise ValueError("it takes other arrays than the params and the state of the file")
    call = jax.jit(exported.call)
    return lambda params, state, x: call(*jax.tree.leaves((params, state, x)))


def _check_convention(version: int) -> None:
    """Refuse a calling convention that this JAX lacks, which JAX itself does not check."""
    oldest = jax.export.minimum_supported_calling_convention_version
    newest = jax.export.maximum_supported_calling_convention_version
    if not oldest <= version <= newest:
        raise ValueError(f"its calling convention is {version}, but {oldest} to {newest} are run")


def _rebuilt(refused: str, content: Content, tree: dict[str, Any]) -> Layer:
    """The library's model of the name and arguments in the file."""
    call, cure = content.library_model, "load it with load_model(path, model=...)"
    if call is None:
        raise ModelFileError(f"{refused}, and it is not a model of jaxnets.models; {cure}")
    name: Any = call.get("name")
    arguments: Any = call.get("arguments")
    is_model = name in models.__all__ and name not in models.NO_MODELS
    largest = sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
    try:
        if not is_model or any(n > largest for n in _integers(arguments)):
            raise ValueError("no such model")
        return getattr(models, name)(**arguments)
    except Exception as error:
        raise ModelFileError(
            f"{refused}, and jaxnets has no models.{printable(name)} with these arguments; {cure}"
        ) from error


def _integers(value: Any) -> list[int]:
    """All integers in a JSON value; a size above the bytes of the arrays cannot be right."""
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return [number for part in parts for number in _integers(part)]
    return [value] if isinstance(value, int) else []
