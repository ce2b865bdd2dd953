"""`jaxnets summary`: the content of a saved model."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

import jaxnets
from jaxnets.messages import printable
from jaxnets.trees import flatten_names


@dataclass(frozen=True)
class Options:
    """Show the content of a model that `save_model` wrote: parameters, inputs, classes."""

    model: Annotated[Path, tyro.conf.Positional]
    """The saved model, a .jaxnets file."""


def main(arguments: Sequence[str]) -> None:
    """Print a line per array of the params, and the rest of the file's content.

    Raises:
      ModelFileError: the file is damaged.
    """
    options = tyro.cli(Options, args=arguments, prog="jaxnets summary")
    model: Any = jaxnets.load_model(options.model)
    arrays = {name: np.asarray(leaf) for name, leaf in flatten_names(model.params).items()}
    width = max(map(len, [*arrays, "parameters"]))
    for name, array in arrays.items():
        shape = " x ".join(map(str, array.shape)) or "scalar"
        print(f"{printable(name):<{width}}  {shape:>20}  {array.size:>12,}  {array.dtype}")
    print(f"{'parameters':<{width}}  {'':>20}  {sum(a.size for a in arrays.values()):>12,}")
    print(f"inputs: {', '.join(map(str, model.inputs))}")
    print(f"preprocessing: {model.preprocess}")
    print(f"classes: {', '.join(map(printable, model.classes or ())) or 'no names'}")
    print(f"metadata: {printable(model.metadata)}")
    print(f"written by: {', '.join(f'{name} {v}' for name, v in model.versions.items())}")
