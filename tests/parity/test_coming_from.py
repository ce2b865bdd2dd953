"""The pages for those who come from another library: their listings and ours agree."""

import os
import re
from pathlib import Path

import pytest
from helpers import assert_close

DOCS = Path(__file__).parents[2] / "docs"
LIBRARIES = {"keras": "keras", "pytorch": "torch", "flax": "flax"}
TITLE = '(?: title="(?:Keras|PyTorch)")?'

os.environ.setdefault("KERAS_BACKEND", "jax")
pytestmark = pytest.mark.parity


@pytest.mark.parametrize("name", LIBRARIES)
def test_the_listings_in_pairs_give_the_same(name):
    library = LIBRARIES[name]
    pytest.importorskip(library, reason=f"{library} is not installed: pip install '.[parity]'")
    text = (DOCS / f"from_{name}.md").read_text("utf-8")
    pairs, names = 0, {}
    for listing in re.findall(rf"^```python{TITLE}\n(.*?)^```", text, re.M | re.S):
        exec(compile(listing, f"from_{name}.md", "exec"), names)
        if "ours" in names:
            assert_close(names.pop("ours"), names.pop("theirs"), 1e-5)
            pairs += 1
    assert pairs == len(re.findall("^theirs", text, re.M)) > 1
