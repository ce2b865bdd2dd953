"""Keras's and Flax's files: damaged and hostile ones are refused in one line."""

import io
import json
import sys
import zipfile

import numpy as np
import pytest
from flax import serialization
from helpers import normal

from jaxnets import LayerError, dense, serial
from jaxnets.interop import flax, keras

MODEL = serial(("head", dense(3)))
X = normal(2, 4)
KERNEL, BIAS = np.asarray(normal(4, 3)), np.asarray(normal(3))
CONFIG = {"config": {"layers": [{"class_name": "Dense", "config": {"name": "head"}}]}}


@pytest.fixture
def h5py():
    return pytest.importorskip("h5py", reason="not installed: pip install -e '.[keras]'")


def weights_file(h5py, **options):
    """The bytes of model.weights.h5, as Keras before 3.3 wrote them, without layers' names."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        group = file.create_group("layers/dense/vars")
        group.create_dataset("0", data=KERNEL, **options)
        group.create_dataset("1", data=BIAS)
    return buffer.getvalue()


def keras_file(path, weights, config=CONFIG, compression=zipfile.ZIP_STORED):
    text = config if isinstance(config, str) else json.dumps(config)
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("config.json", text)
        archive.writestr("model.weights.h5", weights)
    return path


def refused(path, message):
    with pytest.raises(LayerError, match=message) as error:
        keras.load(path, MODEL, X)
    assert "\n" not in str(error.value) and "save it again" in str(error.value)


def test_without_h5py_the_error_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(LayerError, match=r"need h5py, .*; pip install 'jaxnets\[keras\]'"):
        keras.load(keras_file(tmp_path / "m.keras", b""), MODEL, X)


@pytest.mark.parity
def test_the_names_of_layers_are_in_the_configuration(h5py, tmp_path):
    params, _ = keras.load(keras_file(tmp_path / "m.keras", weights_file(h5py)), MODEL, X)
    np.testing.assert_array_equal(params["head"]["kernel"], KERNEL)
    np.testing.assert_array_equal(params["head"]["bias"], BIAS)


@pytest.mark.parity
def test_a_zip_bomb_and_other_zips_are_refused(h5py, tmp_path):
    path, content = tmp_path / "m.keras", weights_file(h5py)
    refused(keras_file(path, bytes(10**6), compression=zipfile.ZIP_DEFLATED), "which Keras never")
    refused(keras_file(path, b"no HDF5"), "it is damaged")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.weights.h5", content)
    refused(path, r"its zip has no config\.json")


DEEP = ("[" * 10**6, '{"config":' * 10**5 + "1" + "}" * 10**5)


@pytest.mark.parity
def test_json_of_great_depth_is_refused(h5py, tmp_path):
    for config in DEEP:
        refused(keras_file(tmp_path / "m.keras", weights_file(h5py), config), "nests lists and obj")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.attrs["model_config"] = DEEP[0][:60_000]
    refused(tmp_path / "m.h5", "nests lists and objects deeper than 100")


@pytest.mark.parity
def test_code_in_a_configuration_is_not_run_and_nothing_is_unpacked(h5py, tmp_path):
    code = {"class_name": "__lambda__", "config": {"code": "4wEAAAAAAAAA", "defaults": None}}
    options = {"name": "trap", "function": code, "module": "os", "registered_name": "system"}
    layers = [{"class_name": "Lambda", "config": options}, *CONFIG["config"]["layers"]]
    path = keras_file(tmp_path / "m.keras", weights_file(h5py), {"config": {"layers": layers}})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../escaped", b"")
    params, _ = keras.load(path, MODEL, X)
    np.testing.assert_array_equal(params["head"]["kernel"], KERNEL)
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parity
def test_compressed_unallocated_and_external_arrays_are_refused(h5py, tmp_path):
    path, packed = tmp_path / "m.keras", weights_file(h5py, compression="gzip")
    refused(keras_file(path, packed), "layers/dense/vars/0 is not stored as a plain array")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file.create_dataset("layers/dense/vars/0", (10**6, 10**6), "f4")
    refused(tmp_path / "m.h5", "is not stored as a plain array")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        outside = [("/etc/passwd", 0, 16)]
        file.create_dataset("layers/dense/vars/0", (4,), "f4", external=outside)
    refused(tmp_path / "m.h5", "is not stored as a plain array")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["layers/dense/vars/0"] = h5py.ExternalLink("/etc/passwd", "/")
    with pytest.raises(LayerError, match="head/kernel is missing"):
        keras.load(tmp_path / "m.h5", MODEL, X)


@pytest.mark.parity
def test_a_keras_file_that_is_cut_or_flipped_is_refused_or_still_right(h5py, tmp_path):
    content = keras_file(tmp_path / "m.keras", weights_file(h5py)).read_bytes()
    damaged = tmp_path / "damaged.keras"
    for length in range(0, len(content), 499):
        damaged.write_bytes(content[:length])
        with pytest.raises(LayerError):
            keras.load(damaged, MODEL, X)
    for position in range(0, len(content), 211):
        flipped = bytearray(content)
        flipped[position] ^= 0x55
        damaged.write_bytes(flipped)
        try:
            params, _ = keras.load(damaged, MODEL, X)
        except LayerError:
            continue
        np.testing.assert_array_equal(params["head"]["kernel"], KERNEL)


def test_a_keras_model_with_channels_first_is_refused():
    options = {"name": "head", "data_format": "channels_first"}
    config = {"config": {"layers": [{"class_name": "Dense", "config": options}]}}
    known = list(keras.layers(config))
    [problem] = keras._differences(known, {})
    assert "head has channels first, but here they come last" in problem


def test_a_damaged_msgpack_file_is_refused(tmp_path):
    path = tmp_path / "model.msgpack"
    variables = {"params": {"head": {"kernel": KERNEL, "bias": BIAS}}}
    content = serialization.to_bytes(variables)
    path.write_bytes(content)
    params, _ = flax.load(path, MODEL, X)
    np.testing.assert_array_equal(params["head"]["kernel"], KERNEL)
    for damaged in (
        b"",
        content[:50],
        content[:-1],
        content + b"a",
        b"\xff" + content,
        b"\x01",
        b"\x91" * 9999,
    ):
        path.write_bytes(damaged)
        with pytest.raises(LayerError, match=r"cannot be read as what flax|no dict; save") as error:
            flax.load(path, MODEL, X)
        assert "\n" not in str(error.value) and ": ;" not in str(error.value)
    (tmp_path / "empty").mkdir()
    with pytest.raises(LayerError, match="cannot be read as an Orbax checkpoint"):
        flax.load(tmp_path / "empty", MODEL, X)
