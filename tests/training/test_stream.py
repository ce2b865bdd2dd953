"""A run on a stream is the run on the same data in memory, bit for bit, with any options."""

import gc
import signal
import threading
from collections.abc import Iterator

import jax
import numpy as np
import pytest
from clouds import HPARAMS, TRAIN, TRAIN_STEP, VALIDATION, by_rate, plain, run
from helpers import assert_same

from jaxnets import batch_norm, conv, dense, dropout, flatten, metrics, serial
from jaxnets.data import DataError, Stream
from jaxnets.training import Checkpoints, Interrupted, RunError, evaluate
from jaxnets.training.population import fit_population

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(64, 6, 6, 1)).astype(np.float32), RNG.integers(0, 3, 64)
CNN = serial(
    ("conv", conv(4, (3, 3))),
    ("norm", batch_norm()),
    jax.nn.relu,
    flatten,
    ("drop", dropout(0.5)),
    ("head", dense(3)),
)
CNN_STEP = by_rate(CNN, metrics={"accuracy": metrics.accuracy})
STREAM_OPTIONS = [
    {"workers": 1, "ahead": 1, "block_bytes": 1},  # one step per block
    {"workers": 3, "ahead": 1, "block_bytes": 500},
    {"workers": 2, "ahead": 4},  # one epoch per block
]


class Rows:
    """A map-style dataset: a length, and items by number."""

    def __init__(self, *arrays):
        self.arrays = arrays

    def __len__(self):
        return len(self.arrays[0])

    def __getitem__(self, row):
        return tuple(array[row] for array in self.arrays)


class Tables(Rows):
    """A map-style dataset whose items are dicts, several at once."""

    def __getitems__(self, rows):
        return [dict(zip(("image", "label"), self[row], strict=True)) for row in rows]


def outcome(fitted):
    """The train state and the history of a run, without times."""
    history = [(p.step, p.epoch, p.train, p.validation) for p in fitted.history]
    return plain(fitted.train_state), history


@pytest.mark.parametrize(
    ("train_step", "data", "remainder"),
    [(TRAIN_STEP, TRAIN, "drop"), (TRAIN_STEP, TRAIN, "pad"), (CNN_STEP, IMAGES, "pad")],
    ids=["MLP-drop", "MLP-pad", "CNN-pad"],
)
def test_a_run_on_a_stream_is_the_run_in_memory_bit_for_bit(train_step, data, remainder):
    expected = outcome(run(train_step, data, remainder=remainder))
    for stream_options in STREAM_OPTIONS:
        assert_same(
            outcome(run(train_step, Stream(data, **stream_options), remainder=remainder)), expected
        )


@pytest.mark.parametrize(
    "stream",
    [
        lambda: Stream(Rows(*TRAIN)),
        lambda: Stream(Tables(*TRAIN), item=lambda row: (row["image"], row["label"])),
    ],
)
def test_items_by_number_are_the_rows_of_arrays(stream):
    assert_same(outcome(run(data=stream())), outcome(run()))


def test_a_memory_map_is_the_array_that_it_maps(tmp_path):
    np.save(tmp_path / "x.npy", TRAIN[0])
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    assert_same(outcome(run(data=Stream((mapped, TRAIN[1]), block_bytes=500))), outcome(run()))


def test_weights_of_a_stream_are_those_of_the_same_data_in_memory():
    weights, linear = np.arange(64) % 3, by_rate(dense(3))
    expected = outcome(run(linear, (*TRAIN, weights), remainder="pad"))
    for source in ((*TRAIN, weights), Rows(*TRAIN, weights)):
        stream = Stream(source, block_bytes=200)
        assert_same(outcome(run(linear, stream, remainder="pad")), expected)


@pytest.mark.parametrize("stream_options", STREAM_OPTIONS)
def test_a_run_interrupted_within_an_epoch_resumes_bit_for_bit_with_any_options(
    tmp_path, stream_options
):
    def report(progress):
        if progress.step == 8:
            signal.raise_signal(signal.SIGTERM)

    with pytest.raises(Interrupted), Checkpoints(tmp_path) as checkpoints:
        stream = Stream(TRAIN, workers=2, block_bytes=500)
        run(data=stream, epochs=3, checkpoints=checkpoints, report=report, chunk_seconds=1e-9)
    assert Checkpoints(tmp_path).latest() == 8
    resumed = run(
        data=Stream(TRAIN, **stream_options),
        epochs=3,
        checkpoints=Checkpoints(tmp_path),
        resume=True,
    )
    assert_same(outcome(resumed), outcome(run(epochs=3)))


def test_other_rows_or_another_length_are_another_run(tmp_path):
    run(data=Stream(TRAIN), checkpoints=Checkpoints(tmp_path))
    x, y = TRAIN
    for other in ((x + 1, y), (x, (y + 1) % 3), (x[:63], y[:63])):
        with pytest.raises(RunError, match="cannot resume with other settings:\n  data: "):
            run(data=Stream(other), checkpoints=Checkpoints(tmp_path), resume=True)


def test_evaluation_on_a_stream_is_that_in_memory():
    fitted = run(validation=VALIDATION)
    for stream_options in STREAM_OPTIONS:
        stream = Stream(VALIDATION, **stream_options)
        assert outcome(run(validation=stream))[1] == outcome(fitted)[1]
        options = {"hparams": HPARAMS, "block_size": 7}
        evaluated = evaluate(TRAIN_STEP, fitted.train_state, stream, **options)
        assert evaluated == evaluate(TRAIN_STEP, fitted.train_state, VALIDATION, **options)
    weighted = (*VALIDATION, np.arange(30) % 3)
    evaluated = evaluate(TRAIN_STEP, fitted.train_state, Stream(weighted), hparams=HPARAMS)
    assert evaluated == evaluate(TRAIN_STEP, fitted.train_state, weighted, hparams=HPARAMS)


def test_a_population_on_a_stream_shares_its_batches():
    keys = jax.random.split(jax.random.key(0), 2)
    options = {"hparams": {"learning_rate": np.array([0.1, 0.2])}, "epochs": 2, "batch_size": 12}

    def population(data, **more):
        return fit_population(
            TRAIN_STEP, data, keys=jax.random.clone(keys), strategy="map", **options, **more
        )

    with pytest.raises(RunError, match=r"one order for all members.*pass share_batches=True"):
        population(Stream(TRAIN))
    streamed, resident = (
        population(data, share_batches=True) for data in (Stream(TRAIN, block_bytes=300), TRAIN)
    )
    assert_same(plain(streamed.train_states), plain(resident.train_states))


def test_a_finished_run_stops_reading():
    before = set(threading.enumerate())
    fitted = run(data=Stream(TRAIN, block_bytes=1, ahead=3))
    gc.collect()
    for thread in set(threading.enumerate()) - before:
        thread.join(timeout=60)
        assert not thread.is_alive(), thread.name
    assert fitted.train_state.step == 10


def test_an_error_of_the_source_is_raised_unchanged():
    class Broken(Rows):
        def __getitem__(self, row):
            if row == 40:
                raise OSError("row 40 is gone")
            return super().__getitem__(row)

    with pytest.raises(OSError, match="row 40 is gone"):
        run(data=Stream(Broken(*TRAIN), block_bytes=1), remainder="pad", batch_size=16)


def generator() -> Iterator:
    yield from zip(*TRAIN, strict=True)


X, Y = TRAIN


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            generator,
            "__len__ and __getitem__, so that any row can be read again, but got generator",
        ),
        (lambda: iter(Rows(X, Y)), "but got iterator; write an iterator's items to an array"),
        (lambda: {1, 2}, "__len__ and __getitem__, .* got set"),
        (lambda: Rows(X), r"items \(x, y\) or \(x, y, weight\), but row 0 is of type tuple"),
        (lambda: list(X), r"items \(x, y\) .* but row 0 is of type ndarray; pass item=lambda"),
        (lambda: [{"x": 0.0, "y": 1}], "row 0 is of type dict; pass item=lambda item"),
        (lambda: (X, Y[1:]), r"arrays of one length, but got \[63, 64\]; cut them"),
        (lambda: (X, Y, Y[1:]), r"arrays of one length, but got \[63, 64\]"),
        (lambda: ((X, X[2:]), Y), r"arrays of one length, but got \[62, 64\]"),
        (lambda: (X,), r"\(x, y\) or \(x, y, weights\), but got a tuple of 1; pass"),
        (lambda: (X, Y, Y, Y), "but got a tuple of 4; pass"),
        (lambda: (X[:0], Y[:0]), "at least one example, but its source is empty"),
        (lambda: (X, Y.astype(np.int64) + 2**40), "range of int32, .* row 0 holds"),
        (lambda: [], "at least one example, but its source is empty"),
        (lambda: (X, Y, np.full(64, -1.0)), "at least 0, but row 0 has -1.0; a weight of 0"),
        (lambda: (X, Y, np.full(64, np.nan)), "finite and at least 0, but row 0 has nan"),
        (lambda: (X, Y, np.ones((64, 1))), r"one weight per example, but got the shape \(1,\)"),
    ],
)
def test_sources_that_cannot_be_indexed_are_refused(source, message):
    with pytest.raises(DataError, match=message):
        Stream(source())


@pytest.mark.parametrize("size", ["workers", "ahead", "block_bytes"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True])
def test_sizes_that_are_not_positive_integers_are_refused(size, value):
    with pytest.raises(
        DataError, match=f"expects {size} to be a positive integer, but got {value!r}"
    ):
        Stream(TRAIN, **{size: value})


def test_an_invalid_weight_is_refused_when_its_row_is_read():
    weights = np.where(np.arange(64) == 40, -1, 1)
    with pytest.raises(DataError, match=r"row 40 has -1.0"):
        run(data=Stream((*TRAIN, weights)), remainder="pad", batch_size=16)
    with pytest.raises(DataError, match=r"row 40 has -1.0"):
        evaluate(TRAIN_STEP, run().train_state, Stream((*TRAIN, weights)), hparams=HPARAMS)
