"""A chunk is one program, and the result does not depend on how steps are split into chunks."""

import re
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from clouds import HPARAMS, TRAIN, TRAIN_STEP, plain
from helpers import assert_close, assert_same, examples, spec
from hypothesis import given
from hypothesis import strategies as st
from refusals import chunks_compiled

from jaxnets import batch_norm, conv, dense, dropout, flatten, losses, max_pool, metrics, serial
from jaxnets.arrays import Examples
from jaxnets.data import augment
from jaxnets.keys import stream
from jaxnets.lowering import compiler_options
from jaxnets.training import Batch, make_train_step
from jaxnets.training.chunk import make_chunk
from jaxnets.training.runners import OneModel
from jaxnets.training.source import Epochs
from jaxnets.training.start import make_loop

N, BATCH, EPOCHS = 20, 6, 3
DATA = (jnp.asarray(TRAIN[0][:N]), jnp.asarray(TRAIN[1][:N]))
STEPS = {"drop": 3, "pad": 4}  # per epoch
HOST = "callback|infeed|outfeed"  # calls from a program to the host
STEP = TRAIN_STEP(HPARAMS)
ORDER = stream(jax.random.key(0), "train")

both = pytest.mark.parametrize("remainder", STEPS)


def start(train_step=STEP, data=DATA):
    return train_step.init(jax.random.key(0), data[0][:1])


def loop_over(train_step=STEP, data=DATA, remainder="pad", batch_size=BATCH):
    return make_loop(
        *(train_step, Examples(*data), ORDER),
        batch_size=batch_size,
        remainder=remainder,
        on_nonfinite="ignore",
        evaluate_every=(1, "epochs"),
        devices=1,
    )


def chunk(train_state, stop, first=0, sums=None, **options):
    """The train state, the sums and the objectives after the steps from `first` to `stop`."""
    loop = loop_over(**options)
    sums = loop.zero_sums(train_state, None) if sums is None else sums
    arrays, _ = loop.source.read(first, stop)
    train_state, sums, objectives = loop.run(train_state, sums, None, arrays, first, stop)
    return train_state, sums, objectives[0]


def in_chunks(stops, remainder):
    """The train state, the objectives and the sums of accuracy after chunks that end at `stops`."""
    train_state, objectives, sums = start(), [], None
    for before, stop in pairwise([0, *stops]):
        train_state, sums, chunk_objectives = chunk(
            train_state, stop, before, sums, remainder=remainder
        )
        objectives.append(chunk_objectives)
    return plain(train_state), np.concatenate(objectives), sums["accuracy"]


def by_train_step(remainder):
    """The same as `in_chunks`, step by step, on batches by the rule of `Epochs.order`."""
    train_state, objectives, sums = start(), [], []
    step = jax.jit(STEP, compiler_options=compiler_options(train_state.params))
    for epoch in range(EPOCHS):
        order = jax.random.permutation(stream(ORDER, "order", epoch), N)
        for i in range(STEPS[remainder]):
            places = jnp.arange(i * BATCH, (i + 1) * BATCH)
            rows, weights = order[places % N], (places < N).astype(jnp.float32)
            batch = Batch(*(array[rows] for array in DATA), weights)
            train_state, new = step(train_state, batch)
            objectives.append(new["objective"])
            sums.append(new["accuracy"])
    return plain(train_state), jnp.stack(objectives), jax.tree.map(lambda *s: sum(s), *sums)


@pytest.mark.optimized
@both
def test_a_chunk_is_a_loop_over_the_train_step(remainder):
    assert_close(in_chunks([EPOCHS * STEPS[remainder]], remainder), by_train_step(remainder))


@both
@given(data=st.data())
@examples
def test_chunks_of_any_lengths_give_the_same_bits_with_one_program(remainder, data):
    total = EPOCHS * STEPS[remainder]
    expected = in_chunks([total], remainder)
    before = chunks_compiled()
    cuts = data.draw(st.sets(st.integers(1, total - 1)))
    assert_same(in_chunks([*sorted(cuts), total], remainder), expected)
    assert chunks_compiled() == before


def test_a_chunk_of_no_steps_changes_nothing():
    before = jax.tree.map(np.array, plain(start()))
    after, sums, objectives = chunk(start(), 0)
    assert_same(jax.tree.map(np.array, plain(after)), before)
    assert_same(sums["loss"], (jnp.float32(0), jnp.float32(0)))
    assert not objectives.any()


@pytest.mark.parametrize("batch_size", range(1, 8))
def test_an_epoch_has_a_step_per_full_batch_and_with_padding_one_for_the_rest(
    batch_size,
):
    rows = range(0, 7, batch_size)
    assert Epochs(7, batch_size, "pad").steps == len(rows)
    assert Epochs(7, batch_size, "drop").steps == sum(r + batch_size <= 7 for r in rows)


def seen(outputs, rows, weights):
    """The sum of each row's weights in a batch."""
    return (jax.nn.one_hot(rows, N) * weights[:, None]).sum(0)


# Each label is the number of its row, which is also its loss.
ROWS = (jnp.zeros((N, 1)), jnp.arange(N))
TRACKER = make_train_step(
    dense(1),
    optax.sgd(0.1),
    lambda outputs, rows: rows.astype(jnp.float32) + 0 * outputs[:, 0],
    metrics={"seen": metrics.Metric(seen, lambda sums: sums)},
)


@both
def test_every_example_counts_at_most_once_per_epoch_and_with_padding_exactly_once(remainder):
    train_state, steps = start(TRACKER, ROWS), STEPS[remainder]
    counted = []
    for epoch in range(EPOCHS):
        stop = (epoch + 1) * steps
        train_state, sums, _ = chunk(
            train_state, stop, stop - steps, train_step=TRACKER, data=ROWS, remainder=remainder
        )
        rows, weight = sums["loss"]
        assert set(sums["seen"].tolist()) <= {0, 1}
        assert weight == sums["seen"].sum() == (N if remainder == "pad" else steps * BATCH)
        assert rows == (sums["seen"] * ROWS[1]).sum()
        counted.append(sums["seen"].tolist())
    assert (counted[0] == counted[1]) == (remainder == "pad")


def test_each_epoch_is_shuffled_by_the_documented_rule():
    expected = [jax.random.permutation(stream(ORDER, "order", e), N) for e in range(3)]
    tracked = start(TRACKER, ROWS)
    _, _, orders = chunk(tracked, 3 * N, train_step=TRACKER, data=ROWS, batch_size=1)
    np.testing.assert_array_equal(orders.reshape(3, N), jnp.stack(expected))
    assert len({tuple(order.tolist()) for order in expected}) == 3


def test_a_chunk_keeps_the_structure_and_dtypes_of_the_train_state():
    before = spec(start())
    after, *_ = chunk(start(), 5)
    assert spec(after) == before


def test_the_train_state_of_a_chunk_is_donated():
    train_state = start()
    chunk(train_state, 1)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(train_state))
    assert not any(leaf.is_deleted() for leaf in DATA)


IMAGES = (jnp.zeros((N, 8, 8, 1), jnp.uint8), DATA[1])
CNN = serial(
    ("conv", conv(4, (3, 3))),
    ("norm", batch_norm()),
    jax.nn.relu,
    max_pool((2, 2)),
    flatten,
    ("drop", dropout(0.5)),
    ("head", dense(3)),
)


def program_of(augment):
    """The function of a chunk of the network on images, and its arguments."""
    train_step = make_train_step(
        CNN, optax.adam(0.1), losses.softmax_cross_entropy, augment=augment
    )
    loop, train_state = loop_over(train_step, IMAGES), start(train_step, IMAGES)
    sums, (arrays, _) = loop.zero_sums(train_state, None), loop.source.read(0, 5)
    run = make_chunk(lambda: train_step, OneModel(), loop.source.reader, False, ())
    return run, loop.arguments(train_state, sums, None, arrays, 0, 5)


def test_a_chunk_calls_back_to_the_host_only_if_the_train_step_does():
    def print_key(key, x, y):
        jax.debug.callback(print, key)
        return x, y

    for augmentation, reaches in ((augment.shift(1), False), (print_key, True)):
        run, arguments = program_of(augmentation)
        assert (re.search(HOST, str(jax.make_jaxpr(run)(*arguments))) is not None) == reaches


def test_one_program_lowers_for_every_platform():
    platforms = ["cpu", "cuda", "tpu"]
    run, arguments = program_of(augment.shift(1))
    exported = jax.export.export(jax.jit(run), platforms=platforms)(*arguments)
    assert list(exported.platforms) == platforms
    assert not re.search(HOST, exported.mlir_module())
    assert exported.mlir_module().count("func.func public") == 1
