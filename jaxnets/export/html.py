"""A page on which one draws an image and the network names its class."""

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxnets.errors import LayerError
from jaxnets.export.steps import steps_of
from jaxnets.files import atomic_write
from jaxnets.layer import Layer, Params, State
from jaxnets.messages import printable


def html(
    path: str | Path,
    model: Layer,
    params: Params,
    state: State,
    example: Any,
    *,
    classes: Sequence[Any],
    scale: float | None = None,
    shift: float = 0.0,
) -> None:
    """Write a page to draw on, with the probability of each class and what the first layer sees.

        export.html("draw.html", model, params, state, mnist.test.x, classes=mnist.classes)

    One file of HTML and JavaScript, which opens from disk and makes no network requests. The
    drawing is scaled and centred like the images of MNIST. Weights are stored in float32, or in
    float16 if that represents them exactly, as for `models.pretrained`.

    Args:
      path: the file; an existing one is replaced. It is written atomically.
      model: from grey images to logits: convolutions, pools, batch norm, dense layers and
        elementwise functions.
      params: its params.
      state: its state.
      example: images (n, height, width) or (n, height, width, 1), or a `jax.ShapeDtypeStruct`.
      classes: the name of each class.
      scale: the model's input is a pixel from 0 to 255, times the scale, plus the shift; needed
        for images of floats, by default 1 for integers.
      shift: see `scale`.

    Raises:
      LayerError: the model has other operations, such as attention, or an argument does not fit.
      OSError: as the system raises it, for example for a full disk.
    """
    shape = tuple(getattr(example, "shape", ()))
    if len(shape) not in (3, 4) or shape[3:] not in ((), (1,)) or 0 in shape[1:]:
        raise LayerError(
            f"export.html expects grey images (n, height, width, 1), but got {shape}; pass x[None] "
            "for one image"
        )
    if scale is None and not np.issubdtype(example.dtype, np.integer):
        raise LayerError(
            f"export.html expects the scale from pixels of 0 to 255 to the model's {example.dtype} "
            "input, but got none; pass scale=1 / 255 as in training"
        )
    steps = steps_of(model, params, state, example)
    names = [str(name) for name in classes]
    _check_outputs(model, params, state, example, names)
    factors = {"scale": 1.0 if scale is None else float(scale), "shift": float(shift)}
    network = {"size": shape[1:3], "classes": names, **factors, "steps": steps}
    content = json.dumps(network).replace("<", "\\u003c")  # so that no name ends the script
    page = files("jaxnets.export").joinpath("page.html").read_text(encoding="utf-8")
    with atomic_write(path) as file:
        file.write(page.replace("{{network}}", content).encode())


def _check_outputs(
    model: Layer, params: Params, state: State, example: Any, names: list[str]
) -> None:
    x = jax.ShapeDtypeStruct((1, *example.shape[1:]), example.dtype)
    shape = jax.eval_shape(lambda x: model.apply(params, state, x)[0], x).shape
    if len(shape) > 2:
        raise LayerError(
            f"export.html expects a model with logits (n, classes), but got outputs {shape}; "
            "use one that classifies images"
        )
    outputs = max(shape[1] if shape[1:] else 1, 2)
    if len(names) != outputs:
        raise LayerError(
            f"export.html expects {outputs} classes, one for each output of the model, but got "
            f"{printable(names):.80}; pass dataset.classes"
        )
