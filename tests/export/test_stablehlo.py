"""An exported program has the model's outputs where jaxnets cannot be imported."""

import subprocess
import sys

import jax
import numpy as np
import pytest
from helpers import assert_close
from networks import build, inputs, positive_like, weights_like

from jaxnets import LayerError, Padded, export, last_step, lstm, serial, stateless

WITHOUT = """
import sys
sys.modules["jaxnets"] = None  # import jaxnets raises ImportError
import jax, numpy as np
for name in sys.argv[2:]:
    folder = f"{sys.argv[1]}/{name}"
    exported = jax.export.deserialize(bytearray(open(f"{folder}.bin", "rb").read()))
    arrays = np.load(f"{folder}.npz")
    for rows in (3, 1):
        y = np.asarray(exported.call(arrays["x"][:rows]))
        assert np.abs(y - arrays["y"][:rows]).max() <= 1e-5 * np.abs(arrays["y"]).max(), name
    print(name, *exported.platforms)
"""
NAMES = ["lenet_batch_norm", "lstm_classifier", "transformer_block"]


@pytest.fixture(scope="module")
def programs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("programs")
    texts = {}
    for name in NAMES:
        model, params, state, x = build(name)
        params, state = weights_like(params), positive_like(state)
        program, texts[name] = export.stablehlo(model, params, state, x)
        (folder / f"{name}.bin").write_bytes(program)
        x = inputs(name, 3)
        np.savez(folder / f"{name}.npz", x=x, y=jax.jit(model.apply)(params, state, x)[0])
    return folder, texts


def test_programs_run_where_jaxnets_cannot_be_imported(programs):
    command = [sys.executable, "-c", WITHOUT, programs[0], *NAMES]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [f"{name} cpu cuda tpu" for name in NAMES]


def test_the_text_is_that_of_the_program_without_long_constants(programs):
    text = programs[1]["lenet_batch_norm"]
    assert "stablehlo.convolution" in text and "tensor<?x8x8x1xf32>" in text
    assert len(text) < 60_000 and max(map(len, text.splitlines())) < 1000


def test_the_leaves_of_a_padded_batch_are_the_arguments():
    model, x = serial(("rnn", lstm(3)), last_step), Padded.of([np.ones((2, 1)), np.ones((1, 1))])
    x = x._replace(values=x.values.astype(np.float32))
    params, state = jax.jit(model.init)(jax.random.key(0), x)
    exported = jax.export.deserialize(bytearray(export.stablehlo(model, params, state, x).program))
    assert_close(exported.call(*x), jax.jit(model.apply)(params, state, x)[0])


def test_a_model_that_branches_on_the_number_of_rows_is_refused_in_one_line():
    branches = stateless(lambda key, x: {}, lambda params, x: x if x.shape[0] > 3 else -x)
    with pytest.raises(
        LayerError, match=r"export.stablehlo expects a model that is .*x.shape\[0\]"
    ):
        export.stablehlo(branches, {}, {}, np.ones((2, 3), np.float32))
    with pytest.raises(LayerError, match=r"expects an example input with rows, \(n, ...\), but"):
        export.stablehlo(branches, {}, {}, [1.0])
