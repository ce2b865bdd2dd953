"""Random rows in batches that are padded with invalid values, to test every metric."""

from contextlib import contextmanager
from functools import cache
from itertools import chain

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import strategies as st
from jaxtyping import config

from jaxnets import Layer

BATCH = 8
IDENTITY = Layer(lambda key, x: ({}, {}), lambda params, state, x, **options: (x, state))

jitted = cache(jax.jit)  # one compilation per metric for all examples


@st.composite
def parts(draw, classes):
    """One to four batches of 0 to 8 rows (outputs, label), usually with ties and missing classes.

    Outputs are halves from -1 to 1, so that many are equal; few classes occur among the labels.
    """
    occurring = draw(st.lists(st.integers(0, classes - 1), min_size=1, max_size=classes))
    halves = st.integers(-2, 2).map(lambda i: i / 2)
    row = st.tuples(
        st.lists(halves, min_size=classes, max_size=classes), st.sampled_from(occurring)
    )
    first = draw(st.lists(row, min_size=1, max_size=BATCH))
    rest = draw(st.lists(st.lists(row, max_size=BATCH), max_size=3))
    return [first, *rest]


def joined(parts):
    """The rows as two arrays."""
    outputs, labels = zip(*chain.from_iterable(parts), strict=True)
    return np.asarray(outputs, np.float32), np.asarray(labels, np.int32)


def streamed_sums(metric, parts, *, single_logit=False):
    """The sums over the parts, each padded to eight rows with NaN outputs and labels 0 and 99."""
    sums = [jitted(metric.sums)(*_padded(part, parts, single_logit)) for part in parts]
    return jax.tree.map(lambda *leaves: sum(leaves), *sums)


def streamed(metric, parts, *, single_logit=False):
    """The metric's value from `streamed_sums`."""
    return jitted(metric.value)(streamed_sums(metric, parts, single_logit=single_logit))


def direct(metric, outputs, labels):
    """The metric over all rows at once, without padding."""
    return jitted(metric.value)(direct_sums(metric, outputs, labels))


def direct_sums(metric, outputs, labels):
    """The sums over all rows at once, without padding."""
    return jitted(metric.sums)(*map(jnp.asarray, (outputs, labels)), jnp.ones(len(labels)))


def by_model(metric, outputs, labels):
    """The metric of each model by vmap over the first axis of the outputs."""
    sums = jax.jit(jax.vmap(metric.sums, (0, None, None)))(outputs, labels, jnp.ones(len(labels)))
    return jax.jit(jax.vmap(metric.value))(sums)


def _padded(part, parts, single_logit):
    width = joined(parts)[0].shape[1]
    outputs = np.full((BATCH, width), np.nan, np.float32)
    labels = np.resize(np.int32([0, 99]), BATCH)
    if part:
        outputs[: len(part)], labels[: len(part)] = joined([part])
    weights = (np.arange(BATCH) < len(part)).astype(np.float32)
    outputs = outputs[:, :1] if single_logit else outputs
    return tuple(map(jnp.asarray, (outputs, labels, weights)))


@contextmanager
def unchecked():
    """Without the checks of annotations, which are on only in tests."""
    config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        config.update("jaxtyping_disable", False)
