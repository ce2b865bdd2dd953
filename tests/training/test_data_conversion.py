"""Data in other types than arrays of JAX's dtypes is converted without loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from clouds import HPARAMS, MODEL, TRAIN, TRAIN_STEP, VALIDATION, plain, run
from helpers import assert_same, eval_state, eval_step

from jaxnets import metrics
from jaxnets.data import fit_standard, train_test_split
from jaxnets.training import evaluate, find_learning_rate, predict
from jaxnets.training.population import fit_population
from jaxnets.training.search import Problem, choice, grid

X, Y = TRAIN
EVAL_STEP = eval_step(MODEL, {"accuracy": metrics.accuracy})
EVAL_STATE = eval_state(*MODEL.init(jax.random.key(1), X))


class Frame:
    """A table that converts only with `to_numpy`, like one of polars."""

    def __init__(self, values):
        self.values = values

    def to_numpy(self):
        return self.values


class Tensor(Frame):
    """A tensor that converts with `np.asarray`, like one of PyTorch."""

    def __array__(self, dtype=None, copy=None):
        return self.values


CONVERSIONS = {
    "lists": lambda a: a.tolist(),
    "frames": Frame,
    "tensors": Tensor,
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
    "64 bits": lambda a: a.astype({"f": np.float64, "i": np.int64}[a.dtype.kind]),
    "JAX arrays": jnp.asarray,
}
conversions = pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=CONVERSIONS)


@conversions
def test_a_run_on_converted_data_is_the_run_on_arrays(convert):
    splits = [(convert(x), convert(y)) for x, y in (TRAIN, VALIDATION)]
    expected = run(epochs=1, validation=VALIDATION)
    fitted = run(data=splits[0], epochs=1, validation=splits[1])
    assert_same(plain(fitted.train_state), plain(expected.train_state))
    assert fitted.history[0].validation == expected.history[0].validation


@conversions
def test_evaluation_and_prediction_of_converted_data_are_those_of_arrays(convert):
    expected = evaluate(EVAL_STEP, EVAL_STATE, TRAIN)
    assert evaluate(EVAL_STEP, EVAL_STATE, (convert(X), convert(Y))) == expected
    assert_same(predict(EVAL_STEP, EVAL_STATE, convert(X)), predict(EVAL_STEP, EVAL_STATE, X))


@conversions
def test_scaling_and_splitting_of_converted_data_are_those_of_arrays(convert):
    np.testing.assert_allclose(
        fit_standard(convert(X)).apply(convert(X)), fit_standard(X).apply(X), 1e-5
    )
    for got, want in zip(
        train_test_split((convert(X), convert(Y)), np.int64(9), seed=0),
        train_test_split(TRAIN, 9, seed=0),
        strict=True,
    ):
        np.testing.assert_array_equal(got.x, want.x)
        np.testing.assert_array_equal(got.y, want.y)


def test_the_largest_32_bit_values_are_kept():
    ends = np.array([[-(2.0**127), 2.0**127], [np.inf, np.nan]] * 2, np.float64)
    got = predict(
        eval_step(MODEL._replace(apply=lambda p, s, x, **options: (x, s))), eval_state({}), ends
    )
    np.testing.assert_array_equal(got, ends.astype(np.float32).argmax(1))


def test_raw_key_data_gives_the_run_of_its_typed_key():
    expected = run(key=jax.random.key(3), epochs=1)
    assert_same(
        plain(run(key=jax.random.PRNGKey(3), epochs=1).train_state), plain(expected.train_state)
    )
    hparams = {"learning_rate": np.full(2, 0.1)}
    typed, raw = (
        fit_population(
            TRAIN_STEP, TRAIN, keys=k, epochs=1, batch_size=12, hparams=hparams, strategy="map"
        )
        for k in (
            jax.random.split(jax.random.key(3), 2),
            jax.random.split(jax.random.PRNGKey(3), 2),
        )
    )
    assert_same(plain(raw.train_states), plain(typed.train_states))


def test_sizes_may_be_integers_of_numpy(tmp_path):
    sizes = {"epochs": np.int64(1), "batch_size": np.int32(12), "patience": np.uint8(3)}
    fitted = run(**sizes, validation=VALIDATION)
    assert_same(plain(fitted.train_state), plain(run(epochs=1).train_state))
    start = TRAIN_STEP(HPARAMS).init(jax.random.key(2), X[:1])
    losses = [
        find_learning_rate(
            *(TRAIN_STEP, start, TRAIN), hparams=HPARAMS, batch_size=size, steps=steps
        ).losses
        for size, steps in ((12, 6), (np.int64(12), np.int64(6)))
    ]
    assert_same(*losses)
    problem = Problem(TRAIN_STEP, TRAIN, VALIDATION, np.int64(12), "accuracy", False, "map")
    space = {"learning_rate": choice(0.1, 0.2)}
    key = jax.random.key(4)
    results = grid(problem, space, key=key, epochs=np.int64(1), path=tmp_path / "results.jsonl")
    assert [trial.epochs for trial in results.trials] == [1, 1]
