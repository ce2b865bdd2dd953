"""Batches of sequences of different lengths: `Padded`, and what layers along time need of it."""

from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import LayerError

CURE = (
    "wrap what works on one step at a time, as in each_step(dense(10)), or collapse time before "
    "it with last_step, mean_over_time or max_over_time"
)


class PaddedError(LayerError, AttributeError):
    """A padded batch is used as an array."""


class Padded(NamedTuple):
    """A batch of sequences of different lengths, padded to the longest.

    A pytree: it can be an input, a label, or an output of a model. Layers along time take it, or a
    plain array in which every step is valid: the recurrent layers, convolution and maximum, mean
    and sum pooling in one dimension, `batch_norm`, `last_step`, `mean_over_time` and
    `max_over_time`. What works on one step at a time is wrapped in `each_step`; all other layers
    refuse a padded batch. The padding may hold anything, NaN included: it changes no output and no
    gradient. What a layer returns in the padding is 0.

    Attributes:
      values: (batch, time, ...); row b is valid in steps 0 to lengths[b] - 1.
      lengths: integers (batch,), from 0 to time.

    >>> x = Padded.of([[1.0, 2.0, 3.0], [4.0]])
    >>> x.lengths, x.mask.tolist()
    (array([3, 1], dtype=int32), [[True, True, True], [True, False, False]])
    """

    values: Any
    lengths: Any

    @staticmethod
    def of(rows: Sequence[Any], time: int | None = None) -> "Padded":
        """The padded batch of these sequences, each an array (steps, ...), padded with 0.

        Args:
          rows: at least one sequence; they have the same shape except for the number of steps.
          time: the number of steps to pad to, by default that of the longest.

        Raises:
          LayerError: no sequences, sequences of different shapes, or one longer than `time`.
        """
        arrays = [np.asarray(row) for row in rows]
        lengths = np.array([len(a) if a.ndim else -1 for a in arrays], np.int32)
        time = int(lengths.max(initial=0)) if time is None else time
        shapes = {a.shape[1:] for a in arrays}
        if len(shapes) != 1 or not (lengths.min() >= 0 and lengths.max() <= time):
            raise LayerError(
                f"Padded.of expects at least one array (steps, ...), of at most {time} steps and "
                "equal shapes after the first axis, but got the shapes "
                f"{sorted({a.shape for a in arrays})[:5]}; cut longer ones"
            )
        dtype = np.result_type(*arrays)
        values = np.zeros((len(arrays), time, *shapes.pop()), dtype)
        for row, array in zip(values, arrays, strict=True):
            row[: len(array)] = array
        return Padded(values, lengths)

    @property
    def mask(self) -> jax.Array:
        """Whether a step is valid, bool (batch, time)."""
        return jnp.arange(self.values.shape[1])[None] < jnp.asarray(self.lengths)[:, None]

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("_"):  # which tools look for, such as copy and numpy
            raise AttributeError(name)
        raise PaddedError(f"expected an array with .{name}, but got a Padded batch; {CURE}")

    def __jax_array__(self) -> NoReturn:
        raise PaddedError(f"expected an array, but got a Padded batch; {CURE}")

    def _refuse(self, *others: Any) -> NoReturn:
        del others
        raise PaddedError(f"expected an array, but got a Padded batch; {CURE}")

    # A tuple would concatenate, repeat and index without an error.
    __array__ = __add__ = __radd__ = __mul__ = __rmul__ = __getitem__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __sub__ = __rsub__ = __truediv__ = __rtruediv__ = __pow__ = __matmul__ = __neg__ = _refuse


def unpad(x: Any) -> tuple[Any, Any]:
    """`(values, lengths)` of a padded batch; `(x, None)` of an array."""
    return tuple(x) if isinstance(x, Padded) else (x, None)


def repad(values: Any, lengths: Any) -> Any:
    """A padded batch of these values, with 0 in the padding; the values if there are no lengths."""
    return values if lengths is None else Padded(without_padding(Padded(values, lengths)), lengths)


def without_padding(x: Padded, fill: Any = 0) -> Any:
    """The values, with `fill` in the padding.

    The gradient for the padding is 0 whatever it holds: nothing is multiplied by a mask, since
    0 * NaN is NaN.
    """
    values = jnp.asarray(x.values)
    return jnp.where(over_steps(x.mask, values), values, jnp.asarray(fill, values.dtype))


def with_valid_steps(x: Padded) -> Any:
    """The values, with a valid step of the batch in place of each step of padding.

    So a function of one step that has finite values and derivatives on the data also has them in
    the padding; on padding of zeros, `log` would not. A row is filled with its own first step, an
    empty row with that of another; if all are empty, with ones.
    """
    values, lengths = jnp.asarray(x.values), jnp.asarray(x.lengths)
    if 0 in values.shape[:2]:
        return values
    filled = lengths > 0
    rows = jnp.where(filled, jnp.arange(lengths.shape[0]), jnp.argmax(filled))
    steps = jnp.where(filled.any(), values[rows, 0], jnp.ones((), values.dtype))
    return without_padding(x, jax.lax.stop_gradient(steps)[:, None])


def reverse_steps(x: Any) -> Any:
    """The steps of each row in reverse order; the padding of a padded batch stays at the end."""
    values, lengths = unpad(x)
    if lengths is None:
        return values[:, ::-1]
    steps, lengths = jnp.arange(values.shape[1])[None], jnp.asarray(lengths)
    order = jnp.where(x.mask, lengths[:, None] - 1 - steps, steps)
    return Padded(jnp.take_along_axis(jnp.asarray(values), over_steps(order, values), 1), lengths)


def refuse_state(name: str, x: Any, state: Any) -> None:
    """Raise for a padded batch if there is state: a layer's statistics would count the padding."""
    if isinstance(x, Padded) and jax.tree.leaves(state):
        raise LayerError(
            f"{name} expects a layer without state for a Padded batch, since its statistics would "
            f"count the padding, but got state {sorted(state)}; use batch_norm outside it, which "
            "takes padded batches"
        )


def over_steps(a: Any, values: Any) -> Any:
    """`a` (batch, time) with axes of length 1 behind, so that its rank is that of `values`."""
    return jnp.reshape(a, a.shape + (1,) * (values.ndim - a.ndim))


def expect_steps(name: str, x: Any, form: str = "(batch, time, ...)") -> None:
    """Raise unless `x` is an array or a padded batch of this form, with at least one step."""
    values, lengths = unpad(x)
    rank = None if "..." in form else form.count(",") + 1
    shape = getattr(values, "shape", ())
    if len(shape) < 2 or (rank and len(shape) != rank) or not shape[1]:
        raise LayerError(
            f"{name} expects {form} with at least one step, but got {_described(values)}"
        )
    if lengths is None:
        return
    if lengths.shape != shape[:1] or not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise LayerError(
            f"{name} expects the lengths of a Padded batch as {shape[0]} integers, one per row, "
            f"but got {lengths.dtype}{lengths.shape}; count the valid steps of each row"
        )


def _described(values: Any) -> str:
    return str(values.shape) if hasattr(values, "shape") else f"a {type(values).__name__}"
