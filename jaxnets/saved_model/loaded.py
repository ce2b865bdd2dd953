"""A loaded model: predictions, params, and what was saved with them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import ModelFileError
from jaxnets.layer import Params, State
from jaxnets.metrics import classes as most_probable
from jaxnets.saved_model.inputs import as_inputs
from jaxnets.training.predict import probabilities

BLOCK = 512  # rows per call of the program, a power of two


@dataclass(frozen=True, repr=False)
class LoadedModel:
    """A model from a file; see `load_model`.

    Inputs are what `preprocess` takes, or else those of the model. Lists are converted. Dtypes that
    suggest a missing scaling are refused, such as uint8 for a model of float inputs.

    Attributes:
      path: the file.
      params: the params, nested dicts of arrays.
      state: the state, such as batch-norm statistics.
      classes: the names of the classes, or None.
      preprocess: what is done to the inputs first, or None.
      inputs: the arrays of the model's input, with their shapes and dtypes.
      metadata: what the user saved.
      versions: of the packages that wrote the file.
    """

    path: str
    params: Params
    state: State
    classes: tuple[Any, ...] | None
    preprocess: Any
    inputs: tuple[Any, ...]
    metadata: dict[str, Any]
    versions: dict[str, Any]
    _forward: Callable[[Any, Any, Any], Any] = field(compare=False)

    def predict(self, x: Any) -> np.ndarray:
        """The most probable class of each row, (n,): its name, or its number without `classes`.

        For a regression whose preprocessing scaled the target, the values in its own units.

        Raises:
          ModelFileError: the inputs do not fit, or the program is refused; one line says the cure.
        """
        decode = getattr(self.preprocess, "decode", None)
        if decode and self.classes is None and self.preprocess.scaling is not None:
            return decode(self.predict_outputs(x))
        numbers = np.asarray(most_probable(self.predict_outputs(x)), np.int32)
        if self.classes is None:
            return numbers
        mixed = len(set(map(type, self.classes))) > 1
        return np.array(self.classes, object if mixed else None)[numbers]

    def predict_proba(self, x: Any) -> np.ndarray:
        """The probability of each class, (n, classes); of class 1, (n,), for a single logit."""
        return np.asarray(probabilities(jnp.asarray(self.predict_outputs(x))))

    def predict_outputs(self, x: Any) -> np.ndarray:
        """The raw outputs of the model, (n, ...): logits, or the values of a regression."""
        if self.preprocess is not None:
            x = self.preprocess(x)
        x = as_inputs(self.path, self.inputs, x)
        rows = len(jax.tree.leaves(x)[0])
        outputs = [
            self._block(x, start, min(rows, start + BLOCK)) for start in range(0, rows, BLOCK)
        ]
        return np.concatenate(outputs)

    def _block(self, x: Any, start: int, stop: int) -> np.ndarray:
        """The outputs of some rows, padded to a power of two, so that few programs are compiled."""
        size = 1 << (stop - start - 1).bit_length()
        rows = np.minimum(np.arange(start, start + size), stop - 1)
        y = self._forward(self.params, self.state, jax.tree.map(lambda leaf: leaf[rows], x))
        if jax.tree.structure(y) != jax.tree.structure(0) or y.shape[:1] != (size,):
            raise ModelFileError(
                f"{self.path} expects a model with one array (n, ...) as its output, but got "
                f"{jax.tree.map(lambda leaf: leaf.shape, y)} for {size} rows; load it with the "
                "model that it was saved from"
            )
        return np.asarray(y)[: stop - start]

    def __repr__(self) -> str:
        inputs = ", ".join(map(str, self.inputs))
        size = sum(leaf.size for leaf in jax.tree.leaves(self.params))
        classes = "no classes" if self.classes is None else f"{len(self.classes)} classes"
        return f"LoadedModel({self.path}: {inputs}; {classes}; {size:,} parameters)"
