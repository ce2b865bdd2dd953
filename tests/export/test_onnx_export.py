"""ONNX files have the models' outputs in onnxruntime, or are refused in one line."""

import sys
from importlib.util import find_spec

import jax
import numpy as np
import pytest
from helpers import assert_close
from networks import NETWORKS, build, inputs, positive_like, weights_like

from jaxnets import LayerError, export, max_pool, models, serial, stateless

pytestmark = pytest.mark.filterwarnings("ignore")  # of jax2onnx and onnxruntime
converts = pytest.mark.skipif(find_spec("jax2onnx") is None, reason="needs the extra `export`")


def session(path):
    onnxruntime = pytest.importorskip("onnxruntime")
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.export
@converts
@pytest.mark.parametrize("name", NETWORKS)
def test_every_model_has_the_same_outputs_in_onnxruntime(tmp_path, name):
    model, params, state, x = build(name)
    params, state = weights_like(params), positive_like(state)
    path = tmp_path / "model.onnx"
    export.onnx(path, model, params, state, x)
    run, x = session(path), inputs(name, 3)
    expected = jax.jit(model.apply)(params, state, x)[0]
    assert_close(run.run(["y"], {"x": x})[0], expected)
    assert_close(run.run(["y"], {"x": x[:1]})[0], expected[:1])


@pytest.mark.export
@converts
@pytest.mark.parametrize("padding", ["VALID", "SAME"])
def test_overlapping_pools_are_those_of_onnxruntime(tmp_path, padding):
    pool = serial(max_pool((3, 3), strides=2, padding=padding))
    x = np.random.default_rng(0).normal(size=(2, 9, 8, 3)).astype(np.float32)
    export.onnx(tmp_path / "pool.onnx", pool, {}, {}, x)
    y = session(tmp_path / "pool.onnx").run(["y"], {"x": x})[0]
    np.testing.assert_array_equal(y, pool.apply({}, {}, x)[0])


@pytest.mark.export
@converts
def test_what_jax2onnx_cannot_convert_is_refused_in_one_line(tmp_path):
    x = np.eye(3, dtype=np.float32)
    eigen = stateless(lambda key, x: {}, lambda params, x: jax.numpy.linalg.svd(x)[1])
    with pytest.raises(LayerError, match="a model that jax2onnx converts, but got: ") as raised:
        export.onnx(tmp_path / "model.onnx", eigen, {}, {}, x[None])
    assert "\n" not in str(raised.value) and not [*tmp_path.iterdir()]


def test_without_jax2onnx_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax2onnx", None)
    with pytest.raises(ImportError, match=r"jax2onnx, .*; pip install jaxnets\[export\]$"):
        export.onnx(tmp_path / "a", models.linear(), {}, {}, np.ones((1, 2)))
