"""Safetensors files with a forged header are refused in one line."""

import json

import pytest

from jaxnets.interop import safetensors


def entry(shape, *offsets):
    return {"dtype": "F32", "shape": shape, "data_offsets": offsets}


FORGED = {
    "overlapping": ({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, 12, "invalid offset"),
    "the same bytes": ({"a": entry([2], 0, 8), "b": entry([2], 0, 8)}, 8, "invalid offset"),
    "a hole": ({"a": entry([2], 8, 16)}, 16, "invalid offset"),
    "huge offsets": ({"a": entry([2], 2**62, 2**62 + 8)}, 8, "but its header says 4611686018427"),
    "negative offsets": ({"a": entry([2], -8, 0)}, 8, "but its header says"),
    "a huge shape": ({"a": entry([2**40, 2**40], 0, 8)}, 8, "overflow computing buffer size"),
    "a wrapping shape": ({"a": entry([2**32, 2**32], 0, 0)}, 0, "overflow computing buffer size"),
    "nothing times huge": ({"a": entry([0, 2**62], 0, 0)}, 0, "array is too big"),
    "deep lists": ("[" * 200_000, 0, "nests lists and objects deeper than 100"),
    "deep objects": ('{"a":' * 100_000, 0, "nests lists and objects deeper than 100"),
    "a long number": ('{"a":' + "9" * 5000 + "}", 0, "is beyond float64"),
    "a name twice": ('{"a":{},"a":{}}', 0, "two entries are named 'a'"),
}


@pytest.mark.parametrize(("header", "size", "message"), FORGED.values(), ids=FORGED)
def test_a_forged_header_is_refused_in_one_line(tmp_path, header, size, message):
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(size))
    with pytest.raises(ValueError, match=message) as raised:
        safetensors.load(path)
    assert "\n" not in str(raised.value) and str(raised.value).endswith("or load another file")
