"""Writes a model's file."""

from collections.abc import Sequence, Set
from importlib.metadata import version
from math import isfinite
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets import sealed
from jaxnets.errors import LayerError, ModelFileError
from jaxnets.export.stablehlo import as_output, batch_specs, export_for
from jaxnets.interop import safetensors
from jaxnets.layer import Layer
from jaxnets.messages import printable
from jaxnets.models.recorded import model_call
from jaxnets.saved_model import preprocess as preprocesses
from jaxnets.saved_model.content import FORMAT, PROGRAM, Content, inputs_of
from jaxnets.trees import flatten_names


def save_model(
    path: str | Path,
    model: Layer,
    train_state: Any,
    example: Any,
    *,
    classes: Sequence[Any] | None = None,
    preprocess: Any = None,
    metadata: dict[str, Any] | None = None,
) -> None:
    """Write a trained model to one file, from which `load_model` predicts without its code.

        save_model("digits.jaxnets", model, result.train_state, mnist.test.x, classes=range(10))
        load_model("digits.jaxnets").predict(images)  # in any process with jaxnets

    The file is in the safetensors format, is written atomically, and has its SHA-256 in the header:
    params and state by name; the forward pass with `train=False` as StableHLO, for any number of
    rows, on CPU, CUDA and TPU; and JSON. For a model made by one call of a function of `models`, it
    also has that call. JAX can read a program for six months after it was written; after that, the
    model is built again from its call, or with `load_model(path, model=...)`, both of which need
    nothing but the arrays and JSON. The format of these is "jaxnets model 1", and later versions of
    jaxnets that have another one still read it.

    Args:
      path: the file; an existing one is replaced.
      model: from an input (n, ...) to outputs (n, ...), one array.
      train_state: a `TrainState`, or a pair (params, state).
      example: an input of the model, or `jax.ShapeDtypeStruct`s; only shapes and dtypes matter.
      classes: the name of each class, in the order of the model's outputs; None or () without any.
      preprocess: what is done to the inputs before: `Pixels(...)`, a `data.Scaling`, or any
        `Preprocess`.
      metadata: more to keep, such as the accuracy, in types that JSON has.

    Raises:
      ModelFileError: the arguments do not fit each other, or are not JSON.
      LayerError: the model cannot be traced for any number of rows, or with this example.
      OSError: as the system raises it, for example for a full disk.
    """
    if not isinstance(model, Layer):
        raise ModelFileError(
            f"save_model expects a Layer, but got a {type(model).__name__}; pass train_step.model"
        )
    params, state = _params_and_state(train_state)
    _check_dtypes(params, state)
    if not isinstance(metadata, dict | None):
        raise ModelFileError(
            f"save_model expects metadata as a dict, but got {printable(metadata):.80}; give it a "
            "name, as in metadata={'accuracy': 0.99}"
        )
    program, outputs = _program(model, params, state, example)
    arrays, entries = safetensors.to_arrays({"params": params, "state": state})
    call = model_call(model)
    content = Content(
        inputs_of(example),
        _checked_classes(classes, outputs),
        preprocesses.to_json(preprocess),
        None if call is None else call._asdict(),
        _versions() | {"calling_convention": program.calling_convention_version},
        metadata or {},
    )
    arrays[PROGRAM] = np.frombuffer(program.serialize(), np.uint8)
    sealed.write(Path(path), arrays, entries | {"format": FORMAT, "model": _as_json(content)})


def _params_and_state(train_state: Any) -> tuple[Any, Any]:
    if hasattr(train_state, "params") and hasattr(train_state, "model_state"):
        return train_state.params, train_state.model_state
    if isinstance(train_state, tuple) and len(train_state) == 2:
        return train_state
    raise ModelFileError(
        "save_model expects a TrainState, as result.train_state is, or a pair (params, state), but "
        f"got a {type(train_state).__name__}"
    )


def _check_dtypes(params: Any, state: Any) -> None:
    """Refuse leaves that are not arrays, or whose dtype JAX would not keep in computations."""
    arrays = flatten_names({"params": params, "state": state})
    for path, array in arrays.items():
        dtype = getattr(array, "dtype", None)
        if dtype is None or jnp.issubdtype(dtype, jax.dtypes.prng_key):
            raise ModelFileError(
                f"save_model expects arrays of numbers, but {printable(path)} is a "
                f"{type(array).__name__}; convert numbers by jnp.asarray and lists to dicts, and "
                "leave None out"
            )
        if dtype != (ours := jax.dtypes.canonicalize_dtype(dtype)):
            raise ModelFileError(
                f"save_model expects dtypes that JAX computes with, but {printable(path)} is "
                f"{dtype}; cast it to {ours}, or set jax_enable_x64"
            )


def _program(model: Layer, params: Any, state: Any, example: Any) -> tuple[Any, Any]:
    """The exported program of the leaves of (params, state, example), and its output's shape."""
    structure = jax.tree.structure((params, state, example))

    def forward(*leaves: Any) -> Any:
        params, state, x = jax.tree.unflatten(structure, leaves)
        return as_output(model.apply(params, state, x)[0])

    weights = jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), (params, state))
    specs = batch_specs("save_model", example)
    exported = export_for("save_model", forward, *jax.tree.leaves(weights), *specs)
    outputs = exported.out_avals
    rows = specs[0].shape[0]
    if len(outputs) != 1 or outputs[0].shape[:1] != (rows,) or 0 in outputs[0].shape[1:]:
        raise LayerError(
            "save_model expects a model with one array (n, ...) as its output, but got the shapes "
            f"{[str(output.shape) for output in outputs]}; return the one to predict with"
        )
    return exported, outputs[0]


def _checked_classes(classes: Sequence[Any] | None, outputs: Any) -> tuple[Any, ...] | None:
    if classes is None or (isinstance(classes, tuple) and not classes):  # of a regression
        return None
    is_sequence = not isinstance(classes, str | dict | Set) and hasattr(classes, "__iter__")
    names = tuple(np.asarray(classes, object).tolist()) if is_sequence else ()
    names = tuple(n.item() if isinstance(n, np.generic) else n for n in names)
    width = outputs.shape[1] if len(outputs.shape) > 1 else 1
    expected = 2 if width == 1 else width
    valid = [isinstance(n, str | int) or (isinstance(n, float) and isfinite(n)) for n in names]
    if len(names) != expected or not all(valid):
        raise ModelFileError(
            f"save_model expects classes as {expected} names or numbers, one per class of the "
            f"model, but got {printable(classes):.100}; pass dataset.classes"
        )
    if len(set(names)) < len(names):
        raise ModelFileError(
            f"save_model expects classes to differ, but got {printable(names):.100}; rename them"
        )
    return names


def _as_json(content: Content) -> str:
    try:
        return content.to_json()
    except (TypeError, ValueError, RecursionError) as error:
        raise ModelFileError(
            f"save_model expects metadata and preprocess that JSON can represent, but got: "
            f"{printable(error)}; convert arrays with .tolist()"
        ) from error


def _versions() -> dict[str, str]:
    return {package: version(package) for package in ("jaxnets", "jax", "jaxlib", "numpy")}
