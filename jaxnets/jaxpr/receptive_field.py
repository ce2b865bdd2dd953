"""What part of the input each output of a convolutional network sees."""

from typing import Any, NamedTuple

import jax

from jaxnets.errors import LayerError
from jaxnets.jaxpr.activations import numbered
from jaxnets.jaxpr.fields import Field, field_of
from jaxnets.jaxpr.walk import Operation, Walk
from jaxnets.layer import Layer


class ReceptiveField(NamedTuple):
    """What one position of an output sees of the input, along each spatial axis in pixels.

    The output at position i depends on the input from start + i * stride on, over `size` pixels;
    those outside of the image are padding. Where windows leave gaps, as dilated ones do, `size`
    is from the first to the last pixel seen.

    Attributes:
      size: how many pixels.
      stride: the distance between the fields of neighbours; 0 where all see the same.
      start: the first pixel that position 0 sees, negative in the padding.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    start: tuple[int, ...]

    @property
    def center(self) -> tuple[float, ...]:
        """The middle of what position 0 sees, 0 being the middle of the first pixel."""
        return tuple(s + (n - 1) / 2 for s, n in zip(self.start, self.size, strict=True))


def receptive_field(model: Layer, x: Any) -> dict[str, ReceptiveField]:
    """The receptive field of every named output by its path, in evaluation.

    It is read from the program, window by window, and nothing is computed. Left out are outputs
    whose positions are no longer in rows and columns, as those of "flatten" and of what follows
    it elementwise; a dense layer after it sees everything. The field is what can be seen at all;
    how much of it matters is another question (Luo et al. 2016).

    Args:
      model: any layer.
      x: an example batch (batch, *space, channels) or a `jax.ShapeDtypeStruct`.

    Raises:
      LayerError: an input without spatial axes, or an operation that is not known to keep rows
        and columns in order, such as a transposed convolution, a loop or attention.
    """
    if len(getattr(x, "shape", ())) < 3:
        raise LayerError(
            f"receptive_field expects one input (batch, *space, channels), but got "
            f"{getattr(x, 'shape', x)!r}; add an axis"
        )
    params, state = jax.eval_shape(model.init, jax.random.key(0), x)
    program = jax.make_jaxpr(lambda x, p, s: model.apply(p, s, x)[0])(x, params, state)
    axes, seen, number = range(1, len(x.shape) - 1), {}, numbered()

    def visit(operation: Operation, operands: list[tuple]) -> list[tuple]:
        if operation.tagged:
            seen[number(operation.path)] = operands[0]
        along = zip(*operands, strict=True) if operands else [()] * len(axes)
        made = tuple(field_of(operation, fields) for fields in along)
        return [made] * len(operation.eqn.outvars)

    nothing = (None,) * len(axes)
    itself = tuple(Field.along(axis, x.shape) for axis in axes)
    others = [nothing] * (len(program.jaxpr.invars) - 1)
    Walk(visit, lambda value, aval: nothing)(program, [itself, *others])
    return {path: _receptive(fields) for path, fields in seen.items() if _has_positions(fields)}


def _has_positions(fields: tuple[Field | None, ...]) -> bool:
    """Whether along each axis of the input it is a row, a column or everything that is seen."""
    return all(
        field is not None and None not in field.jumps and len(list(filter(None, field.jumps))) <= 1
        for field in fields
    )


def _receptive(fields: tuple[Field, ...]) -> ReceptiveField:
    strides = tuple(next(filter(None, field.jumps), 0) for field in fields)
    return ReceptiveField(tuple(f.size for f in fields), strides, tuple(f.start for f in fields))
