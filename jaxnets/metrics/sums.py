"""A batch's sums of several metrics, refused where they could not add up over a split."""

from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from jaxnets.metrics.metric import MeanSums, Metric
from jaxnets.metrics.per_example import depends_on, is_real, without_16_bits


def batch_sums(
    named: Iterable[tuple[str, Metric]], outputs: Any, labels: Any, weights: Array
) -> dict[str, Any]:
    """The sums of each metric over a batch, by name; 16-bit outputs count as float32.

    Raises:
      ValueError: the shape of a metric's sums depends on the size of the batch, or they are not
        real numbers of 32 or 64 bits, or they ignore the weights. (A weighted mean in the place
        of a sum passes: only the numbers would show it.)
    """
    sums, outputs = {}, without_16_bits(outputs)
    for name, metric in named:
        sums[name] = metric.sums(outputs, labels, weights)
        if not isinstance(metric.sums, MeanSums):  # whose sums are right by construction
            _check(name, metric, sums[name], (outputs, labels, weights))
    return sums


def check_label_values(named: Iterable[tuple[str, Metric]], outputs: Any, labels: Any) -> None:
    """Let each metric refuse labels by their values, which a trace does not have.

    Args:
      named: the metrics by name; that of a loss is `mean(loss)`.
      outputs: the shape and dtype of the outputs of any number of examples; nothing is computed.
      labels: the labels of a whole split, (n,) or (n, 1). Others are no class numbers.

    Raises:
      ValueError: as `check_labels` does, for a metric that takes labels for classes.
    """
    if labels.size != len(labels):
        return
    rows = jax.ShapeDtypeStruct((len(labels), *outputs.shape[1:]), outputs.dtype)
    for _, metric in named:
        jax.eval_shape(lambda x, metric=metric: metric.sums(x, labels, jnp.ones(len(x))), rows)


def _check(name: str, metric: Metric, sums: Any, arguments: tuple[Any, Any, Array]) -> None:
    """Compare the sums with those of a batch of one more example, traced for its shapes alone."""
    rows = len(arguments[2])

    def longer(x: Any) -> jax.ShapeDtypeStruct:
        shape = jnp.shape(x)
        shape = (rows + 1, *shape[1:]) if shape[:1] == (rows,) else shape
        return jax.ShapeDtypeStruct(shape, jnp.result_type(x))

    spec = jax.tree.map(longer, arguments)
    closed, shapes = jax.make_jaxpr(metric.sums, return_shape=True)(*spec)
    expected = f"metric {name!r} expects sums that add up over the batches of a split"
    ours, theirs = ([jnp.shape(leaf) for leaf in jax.tree.leaves(tree)] for tree in (sums, shapes))
    if ours != theirs:
        raise ValueError(
            f"{expected}, of one shape for every batch, but got {ours} for {rows} examples and "
            f"{theirs} for {rows + 1}; sum over the examples, as in (values * weights).sum(0)"
        )
    for output in jax.tree.leaves(shapes):
        if not is_real(output.dtype) or output.dtype.itemsize < 4:
            raise ValueError(
                f"{expected}, real numbers of 32 or 64 bits, but got {output.dtype}; cast them, "
                f"as in .astype(jnp.float32), before they are summed"
            )
    if not all(depends_on(closed.jaxpr, o, closed.jaxpr.invars[-1]) for o in closed.jaxpr.outvars):
        raise ValueError(
            f"{expected}, each example counted with its weight (0 for padding), but got sums that "
            f"ignore the weights; use (values * weights).sum(), or metrics.mean for a mean"
        )
