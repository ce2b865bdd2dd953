"""Buckets by length: examples at most once, few programs, order set by the key, exact resume."""

import jax
import numpy as np
import optax
import pytest
from helpers import assert_same, normal

from jaxnets import Padded, data, dense, each_step, last_step, losses, serial, simple_rnn
from jaxnets.data import DataError, bucketed
from jaxnets.errors import RunError
from jaxnets.training import Checkpoints, fit, make_train_step
from jaxnets.training.bucket_source import BucketSource
from jaxnets.training.population import fit_population
from jaxnets.training.source import Epochs

N, TIME = 26, 8
LENGTHS = np.random.default_rng(0).integers(1, TIME + 1, N).astype(np.int32)
X = Padded(normal(N, TIME, 2), LENGTHS)
DATA = bucketed((X, LENGTHS % 2), (5, 8), steps=2)
MODEL = serial(("rnn", simple_rnn(3)), last_step, ("head", dense(2)))
STEP = make_train_step(MODEL, optax.sgd(0.1), losses.softmax_cross_entropy)


def source(seed=0, remainder="drop"):
    return BucketSource(DATA, Epochs(N, 4, remainder), jax.random.key(seed))


def segments(source, epoch):
    steps = source.reader.epochs.steps
    step, found = epoch * steps, []
    while step < (epoch + 1) * steps:
        (_, order, first, marker), stop = source.read(step, 10**6)
        assert first == step
        found.append((stop - step, marker.shape[0], np.asarray(order)[: (stop - step) * 4]))
        step = stop
    return found


@pytest.mark.parametrize("remainder, rows", [("drop", 24), ("pad", 28)])
def test_an_epoch_has_every_example_at_most_once_in_a_bucket_that_holds_it(remainder, rows):
    found = segments(source(remainder=remainder), epoch=1)
    order = np.concatenate([order for *_, order in found])
    real = order[order >= 0]
    assert len(order) == rows and len(set(real.tolist())) == len(real) == min(rows, N)
    for steps, length, order in found:
        assert length in DATA.lengths and steps <= 2
        assert LENGTHS[np.where(order < 0, -1 - order, order)].max() <= length
    assert len({length for _, length, _ in found}) > 1


def test_the_order_is_a_function_of_the_key_and_the_epoch():
    first, again, other = (segments(source(seed), 1) for seed in (0, 0, 1))
    assert all(np.array_equal(a[2], b[2]) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a[2], b[2]) for a, b in zip(first, other, strict=True))
    assert not np.array_equal(first[0][2], segments(source(), 2)[0][2])


def test_a_step_may_be_read_at_any_time():
    steps = source().reader.epochs.steps
    (_, order, first, _), stop = source().read(steps + 3, 10**6)
    found = segments(source(), 1)
    position = 0
    for count, _, rows in found:
        if position <= 3 < position + count:
            assert first == steps + position and stop == first + count
            assert np.array_equal(np.asarray(order)[: count * 4], rows)
        position += count


def test_a_run_is_resumed_bit_for_bit_whatever_its_chunks_are(tmp_path):
    options = {"key": jax.random.key(0), "batch_size": 4}
    whole = fit(STEP, DATA, steps=9, chunk_seconds=0, **options)
    with Checkpoints(tmp_path / "run") as checkpoints:
        fit(STEP, DATA, steps=4, checkpoints=checkpoints, **options)
    with Checkpoints(tmp_path / "run") as checkpoints:
        resumed = fit(STEP, DATA, steps=9, checkpoints=checkpoints, resume=True, **options)
        assert_same(resumed.train_state.params, whole.train_state.params)
        changed = DATA._replace(steps=3)
        with pytest.raises(RunError, match="cannot resume with other settings"):
            fit(STEP, changed, steps=10, checkpoints=checkpoints, resume=True, **options)


@pytest.mark.parametrize("longest, lengths", [(TIME, (TIME,)), (5, (5, TIME))])
def test_a_bucket_changes_no_result(longest, lengths):
    """Examples of at most `longest` steps, padded to 8 and in a bucket of their length."""
    examples, key = (Padded(X.values, np.minimum(LENGTHS, longest)), LENGTHS % 2), jax.random.key(0)
    in_bucket = bucketed(examples, lengths)
    (*_, marker), _ = BucketSource(in_bucket, Epochs(N, N, "drop"), key).read(0, 1)
    assert marker.shape[0] == longest
    runs = [fit(STEP, data, steps=6, key=key, batch_size=N) for data in (examples, in_bucket)]
    for a, b in zip(*(jax.tree.leaves(r.train_state.params) for r in runs), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-6)


def test_labels_per_token_are_cut_with_their_inputs():
    step = make_train_step(
        serial(("fc", each_step(dense(2)))),
        optax.sgd(0.1),
        losses.per_token(losses.softmax_cross_entropy),
    )
    labels = Padded(np.zeros((N, TIME), np.int32), LENGTHS)
    weighted = bucketed((X, labels, LENGTHS.astype(np.float32)), (4, 8), steps=2)
    result = fit(step, weighted, epochs=1, key=jax.random.key(0), batch_size=4)
    assert np.isfinite(result.history[-1].train["loss"])


def test_what_cannot_be_bucketed_is_refused():
    with pytest.raises(DataError, match="expects a Padded batch among its examples"):
        data.bucketed((X.values, LENGTHS), (8,))
    for lengths in ((), (3, 5), (8, 5), (8, 8)):
        with pytest.raises(DataError, match="ascending lengths up to at least 8"):
            data.bucketed((X, LENGTHS), lengths)
    keys = jax.random.split(jax.random.key(0), 2)
    with pytest.raises(RunError, match="pass share_batches=True"):
        fit_population(STEP, DATA, keys=keys, steps=1, batch_size=4)
