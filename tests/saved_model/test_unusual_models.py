"""Saved models of sequences, dicts, other dtypes than float32, and very many classes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close

from jaxnets import (
    Padded,
    dense,
    each_step,
    embedding,
    last_step,
    load_model,
    lstm,
    mean_over_time,
    network,
    save_model,
    serial,
    stateless,
)
from jaxnets.saved_model import ModelFileError


def test_dicts_and_padded_batches_are_inputs_too(tmp_path):
    @network(rnn=serial(("rnn", lstm(3)), last_step), head=dense(2))
    def both(x, *, rnn, head):
        return head(jnp.concatenate([rnn(x["series"]), x["facts"]], axis=1))

    series = Padded.of([np.ones((3, 2), np.float32), np.zeros((1, 2), np.float32)])
    inputs = {"facts": np.ones((2, 4), np.float32), "series": series}
    params, state = jax.jit(both.init)(jax.random.key(0), inputs)
    save_model(tmp_path / "both", both, (params, state), inputs)
    loaded = load_model(tmp_path / "both")
    expected, _ = jax.jit(both.apply)(params, state, inputs)
    assert_close(loaded.predict_outputs(inputs), expected)
    with pytest.raises(ModelFileError, match=r"expects an input with the parts \['facts', 'ser"):
        loaded.predict({"facts": inputs["facts"]})


def test_rows_of_padded_tokens_are_inputs_and_others_are_refused(tmp_path):
    model = serial(("words", each_step(embedding(9, 4))), mean_over_time, ("head", dense(2)))
    tokens = Padded.of([np.array([1, 2, 3]), np.array([8])], time=4)
    params, state = jax.jit(model.init)(jax.random.key(0), tokens)
    save_model(tmp_path / "words", model, (params, state), tokens)
    loaded = load_model(tmp_path / "words")
    expected, _ = jax.jit(model.apply)(params, state, tokens)
    assert_close(loaded.predict_outputs(tokens), expected)
    cure = r"; pass .*Padded.of\(sequences, time=4\)"
    for wrong, message in (
        (
            Padded.of(tokens.values[:, :3]),
            r"expects padded sequences of shape \(4,\), but got \(3,\)",
        ),
        (Padded(tokens.values, np.array([3, 5])), "lengths from 0 to 4, but got 3 to 5"),
        (tokens.values, r"the parts \['values', 'lengths'\], but got one ndarray"),
    ):
        with pytest.raises(ModelFileError, match=message + cure):
            loaded.predict(wrong)


ODD = {
    "bfloat16": jnp.ones(3, jnp.bfloat16), "float16": np.ones(3, np.float16),
    "int8": np.array([1, -2, 3], np.int8), "bool": np.array([True, False, True]),
    "complex64": np.ones(3, np.complex64), "empty": np.zeros((0, 3), np.float32),
    "scalar": np.float32(2),
}  # fmt: skip


def test_params_of_every_dtype_come_back_and_are_used(tmp_path):
    def apply(params, x):
        return x + sum(jnp.sum(p).real.astype(x.dtype) for p in params.values())

    model, rows = stateless(lambda key, x: {}, apply), np.eye(3, dtype=np.float32)
    names = np.array(["süß", "\n</script>", "🐈"])
    save_model(tmp_path / "odd", model, (ODD, {}), rows, classes=names)
    loaded = load_model(tmp_path / "odd")
    assert {n: (p.dtype, p.shape) for n, p in loaded.params.items()} == {
        n: (p.dtype, p.shape) for n, p in ODD.items()
    }
    assert_close(loaded.predict_outputs(rows), rows + 15)
    assert loaded.predict(rows).tolist() == [*names]


def test_a_hundred_thousand_classes_are_named(tmp_path):
    model = serial(("head", dense(100_000)))
    params = {"head": {"kernel": jnp.ones((1, 100_000)), "bias": jnp.arange(100_000.0)}}
    rows, names = np.ones((2, 1), np.float32), [f"class {n}" for n in range(100_000)]
    save_model(tmp_path / "many", model, (params, {"head": {}}), rows, classes=names)
    assert load_model(tmp_path / "many").predict(rows).tolist() == ["class 99999"] * 2
