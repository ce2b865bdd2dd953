"""The sums of several metrics over a batch, with checks that they add up over batches."""

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
    """The sums of each metric over a batch, by name; 16-bit outputs are cast to float32.

    Raises:
      ValueError: the shape of a metric's sums depends on the size of the batch, or they are not
        real numbers of 32 or 64 bits, or they do not depend on the weights. (A weighted mean
        instead of a sum is not detected.)
    """
    sums, outputs = {}, without_16_bits(outputs)
    for name, metric in named:
        sums[name] = metric.sums(outputs, labels, weights)
        if not isinstance(metric.sums, MeanSums):  # which are correct by construction
            _check(name, metric, sums[name], (outputs, labels, weights))
    return sums


def check_label_values(named: Iterable[tuple[str, Metric]], outputs: Any, labels: Any) -> None:
    """Check the values of labels for each metric, which is impossible inside a trace.

    Args:
      named: the metrics by name; for a loss, `mean(loss)`.
      outputs: the shape and dtype of the outputs for any number of examples.
      labels: the labels of a whole split, (n,) or (n, 1). Labels of other shapes are not class
        numbers and are not checked.

    Raises:
      ValueError: as for `check_labels`, for a metric that uses labels as classes.
    """
    if labels.size != len(labels):
        return
    rows = jax.ShapeDtypeStruct((len(labels), *outputs.shape[1:]), outputs.dtype)
    for _, metric in named:
        jax.eval_shape(lambda x, metric=metric: metric.sums(x, labels, jnp.ones(len(x))), rows)


def _check(name: str, metric: Metric, sums: Any, arguments: tuple[Any, Any, Array]) -> None:
    """Compare the shapes of the sums with those for a batch with one more example."""
    rows = len(arguments[2])

    def longer(x: Any) -> jax.ShapeDtypeStruct:
        shape = jnp.shape(x)
        shape = (rows + 1, *shape[1:]) if shape[:1] == (rows,) else shape
        return jax.ShapeDtypeStruct(shape, jnp.result_type(x))

    spec = jax.tree.map(longer, arguments)
    closed, shapes = jax.make_jaxpr(metric.sums, return_shape=True)(*spec)
    expected = f"metric {name!r} expects sums that add up over the batches of a split"
    actual, longer_batch = (
        [jnp.shape(leaf) for leaf in jax.tree.leaves(tree)] for tree in (sums, shapes)
    )
    if actual != longer_batch:
        raise ValueError(
            f"{expected}, of the same shape for every batch, but got {actual} for {rows} examples "
            f"and {longer_batch} for {rows + 1}; sum over the examples, as in "
            f"(values * weights).sum(0)"
        )
    for output in jax.tree.leaves(shapes):
        if not is_real(output.dtype) or output.dtype.itemsize < 4:
            raise ValueError(
                f"{expected}, real numbers of 32 or 64 bits, but got {output.dtype}; cast them, "
                f"as in .astype(jnp.float32), before they are summed"
            )
    if not all(depends_on(closed.jaxpr, o, closed.jaxpr.invars[-1]) for o in closed.jaxpr.outvars):
        raise ValueError(
            f"{expected}, with each example multiplied by its weight (0 for padding), but got sums "
            f"that ignore the weights; use (values * weights).sum(), or metrics.mean for a mean"
        )
