"""The receptive fields of a convolutional network."""

from typing import Any, NamedTuple

import jax

from jaxnets.errors import LayerError
from jaxnets.jaxpr.activations import numbered
from jaxnets.jaxpr.field import Field
from jaxnets.jaxpr.field_rules import field_of
from jaxnets.jaxpr.walk import Operation, Walk
from jaxnets.layer import Layer, check_layer


class ReceptiveField(NamedTuple):
    """The pixels that one position of an output depends on, along each spatial axis.

    The output at position i depends on `size` pixels of the input from start + i * stride on;
    those outside the image are padding. If windows have gaps, as dilated ones do, `size` counts
    from the first to the last pixel.

    Attributes:
      size: in pixels.
      stride: the distance between the fields of adjacent positions; 0 if all are the same.
      start: the first pixel that position 0 depends on; negative in the padding.
    """

    size: tuple[int, ...]
    stride: tuple[int, ...]
    start: tuple[int, ...]

    @property
    def center(self) -> tuple[float, ...]:
        """The centre of the field of position 0; 0 is the centre of the first pixel."""
        return tuple(s + (n - 1) / 2 for s, n in zip(self.start, self.size, strict=True))


def receptive_field(model: Layer, x: Any) -> dict[str, ReceptiveField]:
    """The receptive field of every named output by its path, in evaluation.

    Only traces the model. Omits outputs without rows and columns, such as that of "flatten" and of
    elementwise operations after it; the field of a dense layer after it is the whole image. The
    effective receptive field is smaller (Luo et al. 2016).

    Args:
      model: any layer.
      x: an example batch (batch, *space, channels) or a `jax.ShapeDtypeStruct`.

    Raises:
      LayerError: an input without spatial axes, or an operation that has no rule or changes the
        order of rows and columns, such as a transposed convolution, a convolution after
        upsampling or a pixel shuffle, a loop or attention.
    """
    check_layer("receptive_field", model)
    if len(getattr(x, "shape", ())) < 3:
        raise LayerError(
            f"receptive_field expects one input (batch, *space, channels), but got "
            f"{getattr(x, 'shape', x)!r}; add an axis"
        )
    params, state = jax.eval_shape(model.init, jax.random.key(0), x)
    program = jax.make_jaxpr(lambda x, p, s: model.apply(p, s, x)[0])(x, params, state)
    axes, outputs, number = range(1, len(x.shape) - 1), {}, numbered()

    def visit(operation: Operation, operands: list[tuple]) -> list[tuple]:
        if operation.tagged:
            outputs[number(operation.path)] = operands[0]
        by_axis = zip(*operands, strict=True) if operands else [()] * len(axes)
        result = tuple(field_of(operation, fields) for fields in by_axis)
        return [result] * len(operation.eqn.outvars)

    independent = (None,) * len(axes)
    image = tuple(Field.along(axis, x.shape) for axis in axes)
    others = [independent] * (len(program.jaxpr.invars) - 1)
    Walk(visit, lambda value, aval: independent)(program, [image, *others])
    return {
        path: _receptive_field(fields) for path, fields in outputs.items() if _has_positions(fields)
    }


def _has_positions(fields: tuple[Field | None, ...]) -> bool:
    """Whether the output depends on the input, and is regular, along each axis of the input."""
    return all(
        field is not None and None not in field.jumps and len(list(filter(None, field.jumps))) <= 1
        for field in fields
    )


def _receptive_field(fields: tuple[Field, ...]) -> ReceptiveField:
    strides = tuple(next(filter(None, field.jumps), 0) for field in fields)
    return ReceptiveField(tuple(f.size for f in fields), strides, tuple(f.start for f in fields))
