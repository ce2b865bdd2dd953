"""PyTorch's files are read without PyTorch; damaged and hostile ones are refused, nothing runs."""

import pickle
import zipfile
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from jaxnets import LayerError
from jaxnets.interop import torch

HERE = Path(__file__).parent
FILES = [HERE / "weights.pt", HERE / "weights_before_1_6.pt"]  # PyTorch 2.13 wrote both
EXPECTED = dict(np.load(HERE / "weights.npz"))  # the same as float32, by PyTorch
BUILD = b"\x80\x02ccollections\nOrderedDict\n)R"


def zipped(path, data, compression=zipfile.ZIP_STORED, **entries):
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("net/data.pkl", data)
        for name, content in entries.items():
            archive.writestr(f"net/data/{name.removeprefix('n')}", content)
    return path


def same_as_expected(tree):
    return tree.keys() == EXPECTED.keys() and all(
        np.array_equal(np.asarray(array, np.float32), EXPECTED[name], equal_nan=True)
        for name, array in tree.items()
    )


@pytest.mark.parametrize("path", FILES, ids=["zip", "before 1.6"])
def test_a_file_holds_the_arrays_that_pytorch_wrote(path):
    tree = torch.read(path)
    assert same_as_expected(tree)
    dtypes = {name: str(array.dtype) for name, array in tree.items()}
    assert dtypes["conv.weight"] == "float32" and dtypes["table"] == str(jnp.bfloat16.dtype)
    assert dtypes["norm.num_batches_tracked"] == "int64" and dtypes["counts"] == "uint8"


HOSTILE = {
    "a function": (b"cposix\nsystem\n(X\x05\x00\x00\x00touchtR.", "its pickle calls posix.system"),
    "a builtin": (b"\x80\x02cbuiltins\neval\n(X\x01\x00\x00\x001tR.", "calls builtins.eval"),
    "a module": (b"\x80\x02c__main__\nNet\n)\x81}b.", r"calls __main__.Net"),
    "a new object": (BUILD + b")\x81.", "its pickle has a NEWOBJ, which no state_dict needs"),
    "an instance": (b"(iposix\nsystem\n.", "its pickle has a INST"),
    "an extension": (b"\x82\x01.", "its pickle has a EXT1"),
    "a name on the stack": (b"\x8c\x02os\x8c\x06system\x93.", "has a SHORT_BINUNICODE"),
    "a huge memo": (BUILD + b"r\xff\xff\xff\xff.", "asks for too much memory"),
    "a text": (b"X\x01\x00\x00\x00a.", "it holds a str and no dict of tensors"),
    "a loop": (b"}q\x00X\x01\x00\x00\x00ah\x00s.", "the same dict or list in two places"),
}


@pytest.mark.parametrize(("data", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_pickle_with_code_is_refused_and_nothing_in_it_runs(data, message, tmp_path, monkeypatch):
    monkeypatch.setattr("posix.system", lambda command: pytest.fail("it was run"))
    path = zipped(tmp_path / "net.pt", data)
    with pytest.raises(LayerError, match=message) as error:
        torch.read(path)
    assert "\n" not in str(error.value)
    assert "nothing in it was run; save module.state_dict()" in str(error.value)


def test_an_object_that_pickles_itself_is_not_made(tmp_path):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("it was run",)

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        (tmp_path / "a.pt").write_bytes(pickle.dumps({"a": Trap()}, protocol))
        for path in (
            tmp_path / "a.pt",
            zipped(tmp_path / "b.pt", pickle.dumps({"a": Trap()}, protocol)),
        ):
            with pytest.raises(LayerError, match="nothing in it was run"):
                torch.read(path)


def test_a_zip_bomb_is_refused(tmp_path):
    path = zipped(tmp_path / "a.pt", BUILD + b".", zipfile.ZIP_DEFLATED, n0=bytes(10**6))
    with pytest.raises(LayerError, match="its zip is compressed, which PyTorch never does"):
        torch.read(path)


def tensor(shape, strides, offset=0):
    """A pickle of {"a": tensor} with a storage of 4 floats."""

    def numbers(values):
        return b"(" + b"".join(b"J" + v.to_bytes(4, "little", signed=True) for v in values) + b"t"

    storage = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x00\x00\x00\x00K\x04tQ"
    )
    rest = b"J" + offset.to_bytes(4, "little", signed=True) + numbers(shape) + numbers(strides)
    return (
        b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + rest
        + b"tRs."
    )


def test_a_tensor_larger_than_its_storage_is_refused(tmp_path):
    four = np.arange(4, dtype="f4").tobytes()
    good = torch.read(zipped(tmp_path / "a.pt", tensor((2, 2), (1, 2)), n0=four))
    np.testing.assert_array_equal(good["a"], [[0, 2], [1, 3]])
    for wrong in (((5,), (1,)), ((2,), (4,)), ((9, 9), (0, 0)), ((2,), (-1,)), ((-1,), (1,))):
        with pytest.raises(LayerError, match=r"only 4 numbers for it|it has the size -1"):
            torch.read(zipped(tmp_path / "b.pt", tensor(*wrong), n0=four))
    with pytest.raises(LayerError, match="only 4 numbers"):
        torch.read(zipped(tmp_path / "c.pt", tensor((2,), (1,), offset=3), n0=four))


@pytest.mark.parametrize("path", FILES, ids=["zip", "before 1.6"])
def test_a_truncated_or_bit_flipped_file_is_refused_or_read_unchanged(path, tmp_path):
    content, damaged = path.read_bytes(), tmp_path / "net.pt"
    for length in range(0, len(content), 97):
        damaged.write_bytes(content[:length])
        with pytest.raises(LayerError, match="nothing in it was run"):
            torch.read(damaged)
    wrong = 0
    for position in range(0, len(content), 41):
        flipped = bytearray(content)
        flipped[position] ^= 0x55
        damaged.write_bytes(flipped)
        try:
            wrong += not same_as_expected(torch.read(damaged))
        except LayerError:
            continue
    assert wrong == 0 or path is FILES[1]  # older files have no checksum


def test_other_files_are_refused(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"GGUF")
    with pytest.raises(LayerError, match="neither a zip nor an older"):
        torch.read(tmp_path / "a.pt")
    with pytest.raises(LayerError, match="does not have one data"):
        with zipfile.ZipFile(tmp_path / "b.pt", "w") as archive:
            archive.writestr("a", b"")
        torch.read(tmp_path / "b.pt")
    with pytest.raises(FileNotFoundError):
        torch.read(tmp_path / "none.pt")
