"""Model files that are damaged or malicious are refused in one line, and nothing of them is run."""

import dataclasses
import json
import zipfile

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import load_model, models, save_model, sealed
from jaxnets.interop import safetensors
from jaxnets.saved_model import ModelFileError, ModelFileWarning

MODEL = models.mlp((3, 2))
x = np.ones((2, 4), np.float32)
PARAMS, STATE = jax.jit(MODEL.init)(jax.random.key(0), x)


@pytest.fixture
def path(tmp_path):
    save_model(tmp_path / "m.jaxnets", MODEL, (PARAMS, STATE), x)
    return tmp_path / "m.jaxnets"


def refused(path, message="cannot be loaded"):
    with pytest.raises(ModelFileError, match=message) as raised:
        load_model(path)
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 700
    return str(raised.value)


def rewrite(path, **changes):
    """The file with other parts, and a valid SHA-256; `None` leaves a part out."""
    arrays, metadata = sealed.read(path)
    content = json.loads(metadata["model"]) | changes.pop("content", {})
    metadata |= {"model": json.dumps({k: v for k, v in content.items() if v != "left out"})}
    for name, value in changes.items():
        target = metadata if isinstance(value, str) else arrays
        target[name.replace("__", "/")] = value
    metadata.pop("sha256")
    arrays = {name: array for name, array in arrays.items() if array is not None}
    sealed.write(path, arrays, metadata)


def test_every_cut_is_refused(path, tmp_path):
    content = path.read_bytes()
    for length in [*range(0, 12), *range(12, len(content), 997), len(content) - 1]:
        path.write_bytes(content[:length])
        refused(path, "cannot be loaded: it has")


def test_every_flipped_bit_is_refused(path):
    content = path.read_bytes()
    for position in range(0, len(content), 211):
        damaged = bytearray(content)
        damaged[position] ^= 4
        path.write_bytes(damaged)
        refused(path)


def test_added_bytes_are_refused(path):
    path.write_bytes(path.read_bytes() + b"\0")
    refused(path, "its header says")


@pytest.mark.parametrize("length", [2**40, 2**63, 2**64 - 1])
def test_a_header_of_a_huge_size_is_refused_before_it_is_read(path, length):
    path.write_bytes(length.to_bytes(8, "little") + path.read_bytes()[8:])
    refused(path, "says that its header has")


def test_a_zip_file_is_not_unpacked(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("../../escaped", b"\0" * 10**6)
    refused(path, "cannot be loaded")
    assert [*path.parent.iterdir()] == [path]


def test_another_safetensors_file_and_a_pickle_are_refused(path):
    safetensors.save(path, {"params": PARAMS})
    refused(path, "its header has no SHA-256; it was not written by jaxnets; load another file")
    path.write_bytes(b"\x80\x04cos\nsystem\n(S'true'\ntR.")
    refused(path, "cannot be loaded")


def test_missing_files_and_folders_are_system_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_model(tmp_path / "missing")
    with pytest.raises(OSError):
        load_model(tmp_path)


FORGED = {
    "format": ({"format": "jaxnets model 2"}, "its format is 'jaxnets model 2', but this jaxnets"),
    "no program": ({"program": None}, "no entry|'program'"),
    "a program of floats": ({"program": np.ones(3)}, "other arrays than params, state and a prog"),
    "more arrays": ({"other": np.ones(3)}, "other arrays than params, state and a program"),
    "a path": ({"..__..__etc": np.ones(3)}, "other arrays than params"),
    "deep names": ({"params__" + "a__" * 200 + "b": np.ones(3)}, "nested at least 100 levels"),
    "no JSON": ({"model": "{"}, "cannot be loaded"),
    "a list": ({"model": "[]"}, "cannot be loaded"),
    "deep JSON": ({"model": "[" * 10**4}, "deeper than"),
    "no inputs": ({"content": {"inputs": []}}, "has no inputs"),
    "an input of text": ({"content": {"inputs": "ab"}}, "cannot be loaded"),
    "a negative size": (
        {"content": {"inputs": [{"path": "", "shape": [-1], "dtype": "float32"}]}},
        "an input without a shape",
    ),
    "no dtype": (
        {"content": {"inputs": [{"path": "", "shape": [1], "dtype": "os.system"}]}},
        "os.system",
    ),
    "classes": ({"content": {"classes": {"a": 1}}}, "no list of classes"),
    "versions": ({"content": {"versions": []}}, "parts of the wrong type"),
    "preprocess": ({"content": {"preprocess": {"kind": "pixels"}}}, "cannot be loaded: 'size'"),
    "scaling": (
        {"content": {"preprocess": {"kind": "scaling", "center": [0], "scale": [0]}}},
        "no finite center and scale",
    ),
    "no kind": ({"content": {"preprocess": {"size": 1}}}, "cannot be loaded: 'kind'"),
    "left out": ({"content": {"metadata": "left out"}}, "cannot be loaded: 'metadata'"),
    "an escape": ({"format": "\x1b[2J"}, r"its format is '\\x1b"),
}


@pytest.mark.parametrize(("changes", "message"), FORGED.values(), ids=FORGED)
def test_forged_files_with_a_valid_checksum_are_refused(path, changes, message):
    rewrite(path, **changes)
    refused(path, message)


def test_an_unknown_kind_of_preprocess_is_refused_when_it_is_used(path):
    rewrite(path, content={"preprocess": {"kind": "os.system", "size": 1}})
    loaded = load_model(path)
    assert loaded.params
    with pytest.raises(ModelFileError, match=r"of the kind 'os.system', but registered are pixels"):
        loaded.predict(x)


PROGRAMS = {"garbage": b"garbage" * 99, "nothing": b"", "zeros": bytes(99)}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_an_invalid_program_is_refused_and_the_model_built_again(path, program):
    rewrite(path, program=np.frombuffer(program, np.uint8))
    loaded = load_model(path)
    with pytest.warns(ModelFileWarning, match="has a program that jax"):
        assert loaded.predict(x).shape == (2,)


def convention(exported, version):
    return bytes(dataclasses.replace(exported, calling_convention_version=version).serialize())


def newer_bytecode(exported):
    """The program with 63 as its version of MLIR bytecode, the byte after the magic number."""
    content = bytes(exported.serialize())
    start = content.index(b"ML\xefR") + 4
    return content[:start] + b"\x7f" + content[start + 1 :]


OTHER_VERSIONS = {
    "old": (lambda exported: convention(exported, 5), "its calling convention is 5, but "),
    "new": (lambda exported: convention(exported, 99), "its calling convention is 99, but "),
    "newer bytecode": (newer_bytecode, "has a program that jax .* refuses"),
}


@pytest.mark.parametrize(("change", "message"), OTHER_VERSIONS.values(), ids=OTHER_VERSIONS)
def test_a_program_of_another_version_is_refused_in_one_line_and_the_params_stay(
    path, change, message
):
    program = sealed.read(path)[0]["program"].tobytes()
    changed = change(jax.export.deserialize(bytearray(program)))
    rewrite(
        path,
        program=np.frombuffer(changed, np.uint8),
        content={"library_model": None},  # a custom model
    )
    loaded = load_model(path)
    with pytest.raises(ModelFileError, match=message) as raised:
        loaded.predict(x)
    assert "\n" not in str(raised.value)
    assert str(raised.value).endswith("; load it with load_model(path, model=...)")
    assert jax.tree.structure(loaded.params) == jax.tree.structure(PARAMS)
    assert load_model(path, model=MODEL).predict(x).shape == (2,)


def test_a_program_that_calls_code_of_the_process_is_refused(path):
    """A LAPACK call represents any custom call of a program, such as a Python callback."""

    def forward(*leaves):
        return jnp.linalg.cholesky(leaves[-1] @ leaves[-1].T)

    specs = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(PARAMS)]
    exported = jax.export.export(jax.jit(forward), platforms=("cpu",))(
        *specs, jax.ShapeDtypeStruct((2, 4), np.float32)
    )
    rewrite(path, program=np.frombuffer(exported.serialize(), np.uint8))
    with pytest.warns(ModelFileWarning, match="it calls lapack_spotrf_ffi, which may run any code"):
        load_model(path).predict(x)


def test_a_program_for_other_params_is_refused(path, tmp_path):
    other, wider = models.mlp((2,)), np.ones((1, 4), np.float32)
    save_model(tmp_path / "other", other, other.init(jax.random.key(0), wider), wider)
    rewrite(path, program=sealed.read(tmp_path / "other").arrays["program"])
    with pytest.warns(ModelFileWarning, match="it takes other arrays than the params"):
        load_model(path).predict(x)


CALLS = {
    "unknown": {"name": "generate", "arguments": {}},
    "private": {"name": "__builtins__", "arguments": {}},
    "not a name": {"name": ["mlp"], "arguments": {}},
    "wrong arguments": {"name": "mlp", "arguments": {"layers": 3}},
    "no arguments": {"name": "mlp", "arguments": None},
    "huge": {"name": "gpt", "arguments": {"vocabulary": 9, "length": 9, "blocks": 10**9}},
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_forged_name_builds_nothing(path, call):
    rewrite(path, program=np.zeros(3, np.uint8), content={"library_model": call})
    loaded = load_model(path)
    with pytest.raises(ModelFileError, match=r"has no models\..* with these arguments; load it w"):
        loaded.predict(x)


def test_another_model_of_the_library_does_not_fit(path):
    call = {"name": "mlp", "arguments": {"sizes": [5, 2]}}
    rewrite(path, program=np.zeros(3, np.uint8), content={"library_model": call})
    with pytest.raises(ModelFileError, match=r"does not fit the model: .*params/fc1"):
        load_model(path).predict(x)


def test_a_write_that_fails_leaves_the_old_file(path, monkeypatch):
    before = path.read_bytes()
    monkeypatch.setattr("os.replace", lambda *names: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(OSError, match="full"):
        save_model(path, MODEL, (jax.tree.map(jnp.zeros_like, PARAMS), STATE), x)
    assert path.read_bytes() == before and [*path.parent.iterdir()] == [path]
