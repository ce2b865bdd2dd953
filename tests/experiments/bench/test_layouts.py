"""The committed layouts are within their limits, and have the collectives of their kind."""

from pathlib import Path

import pytest

from experiments import bench
from experiments.bench.layouts import is_right, table
from jaxnets.json_files import decode

RESULTS = Path(bench.__file__).parents[1] / "results" / "layouts.json"
PAGE = RESULTS.parents[2] / "docs" / "devices.md"
KINDS = {
    "data": {"all-reduce"},
    "fsdp": {"all-gather", "all-reduce", "all-to-all"},
    "tensor": {"all-reduce"},
    "fsdp x tensor": {"all-gather", "all-reduce"},
}


@pytest.fixture(scope="module")
def records():
    return decode(RESULTS.read_text("utf-8"))["layouts"]


def test_the_committed_layouts_are_right_and_have_the_collectives_of_their_kind(records):
    for record in records:
        assert is_right(record)
        kinds = set(record["collectives"])
        if record["model"] == "mlp":
            assert kinds == KINDS[record["layout"]]
        elif record["layout"] == "data":
            assert kinds == {"all-reduce"}
        elif record["layout"] == "fsdp":
            assert "all-gather" in kinds


def test_the_page_has_the_differences_that_were_measured(records):
    assert table(records) in PAGE.read_text("utf-8")


@pytest.mark.parametrize(
    ("change", "right"),
    [
        ({}, True),
        ({"difference": 2e-5}, False),
        ({"difference": float("nan")}, False),
        ({"precision": "float64", "difference": 2e-10}, False),
        ({"held": 0.15}, False),
        ({"held": 0.15, "sharded": 0}, True),
        ({"held": 0.25, "layout": "members x data"}, True),
        ({"held": 0.30, "layout": "members x data"}, False),
    ],
)
def test_a_layout_outside_its_limits_is_wrong(change, right):
    record = {"precision": "float32", "layout": "fsdp", "difference": 1e-6}
    assert is_right(record | {"sharded": 2, "held": 0.125} | change) == right
