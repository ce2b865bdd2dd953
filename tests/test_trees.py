"""Flattening and unflattening trees by path, and selecting leaves."""

import numpy as np
import pytest
from helpers import examples
from hypothesis import given
from hypothesis import strategies as st

from jaxnets.errors import LayerError
from jaxnets.trees import check_names, flatten_names, select, unflatten_names

names = st.text(min_size=1).filter(lambda name: "/" not in name)
trees = st.dictionaries(
    names,
    st.recursive(
        st.integers(), lambda inner: st.dictionaries(names, inner, min_size=1, max_size=3)
    ),
    max_size=3,
)
TREE = {"fc1": {"kernel": 1, "bias": 2}, "block": {"conv": {"kernel": 3}}, "scale": 4}


@given(trees)
@examples
def test_flattening_and_unflattening_give_the_tree_back(tree):
    assert unflatten_names(flatten_names(tree)) == tree


def test_leaves_are_named_by_path_in_the_order_of_the_tree():
    expected = [("fc1/kernel", 1), ("fc1/bias", 2), ("block/conv/kernel", 3), ("scale", 4)]
    assert list(flatten_names(TREE).items()) == expected


@pytest.mark.parametrize(
    "pattern, chosen", [("kernel$", [1, 3]), ("^fc", [1, 2]), ("c", [1, 2, 3, 4]), ("^scale$", [4])]
)
def test_a_pattern_selects_the_leaves_whose_path_it_matches(pattern, chosen):
    assert select(TREE, pattern) == chosen


def test_a_pattern_without_a_match_is_refused_with_the_existing_paths():
    with pytest.raises(ValueError, match=r"'fc2'; choose from \['block/conv/kernel', 'fc1/bias',"):
        select(TREE, "fc2")


def test_a_predicate_selects_as_a_pattern_does():
    assert select(TREE, lambda path: path.endswith("kernel")) == [1, 3]


def test_weights_that_do_not_fit_are_refused_with_all_names():
    one, two = np.ones(1, np.float32), np.ones(2, np.float32)
    check_names({"fc": {"bias": one}}, {"fc": {"bias": one}})
    with pytest.raises(LayerError) as raised:
        check_names(
            {"fc": {"bias": one, "kernel": two}, "old": {"bias": one}},
            {"fc": {"bias": two, "kernel": two.astype(np.float16)}, "new": {"bias": one}},
        )
    assert [line.strip() for line in str(raised.value).splitlines()[1:]] == [
        "fc/bias is (1,) and should be (2,)",
        "fc/kernel is float32 and should be float16",
        "new/bias is missing",
        "old/bias is not in the model",
    ]
