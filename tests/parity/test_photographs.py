"""The docs' transfer to photographs: small pictures, and random weights in place of published ones.

The network is torchvision's ResNet-18 with two of its eight blocks, so that it compiles sooner.
"""

import re
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers import assert_same
from own_files import write_pets

from jaxnets import lowering
from jaxnets.models import resnet

pytestmark = pytest.mark.parity
TESTS = Path(__file__).parents[1]
IMPORTS = """
import jax, optax
from jaxnets import data, interop, load_model, losses, models, save_model, scale_pixels, serial
from jaxnets.training import evaluate, fit, inference_mode, make_train_step, merge_params
from jaxnets.training import partition_by_name
"""


def write_resnet18(path):
    """A file of PyTorch with the names and shapes of the first two stages' first blocks."""
    library = pytest.importorskip("torch")
    text = TESTS.joinpath("interop", "torch_names.txt").read_text()
    [part] = [part for part in text.split("# ") if part.startswith("torchvision resnet18\n")]
    rng, weights = np.random.default_rng(0), {}
    for name, *shape in (line.split(" ") for line in part.splitlines()[1:] if line):
        if re.match(r"layer(\d\.1|[34])", name):
            continue
        sizes = [int(n) for n in "".join(shape).replace("x512", "x128").split("x") if n]
        is_kernel = len(sizes) > 1
        numbers = rng.normal(size=sizes) if is_kernel else rng.uniform(0.5, 1, sizes)
        scale = np.prod(sizes[1:]) ** -0.5 if is_kernel else 1
        weights[name] = library.tensor(np.asarray(numbers * scale, np.float32))
    library.save(weights, path)


@pytest.fixture
def listing():
    """The listing, for pictures of 32 pixels, one epoch and batches of 4."""
    page = TESTS.parent.joinpath("docs", "data.md").read_text("utf-8")
    [code] = re.findall(r"^```python title=[^\n]*\n(.*?)^```", page, re.M | re.S)
    for ours, small in (("224", "32"), ("epochs=10, batch_size=32", "epochs=1, batch_size=4")):
        assert ours in code
        code = code.replace(ours, small)
    return code


def test_the_listing_trains_a_new_head_on_imported_weights(listing, tmp_path, monkeypatch, capsys):
    write_pets(tmp_path)
    write_resnet18(tmp_path / "resnet18-f37072fd.pth")
    monkeypatch.chdir(tmp_path)
    stages = resnet._stages
    monkeypatch.setattr(
        resnet, "_stages", lambda block, widths, _: stages(block, widths[:2], (1, 1))
    )
    names = {}
    with jax.numpy_rank_promotion("allow"), lowering.plain_operations():
        exec(IMPORTS + listing, names)
    after = names["tuned"].train_state
    assert_same(after.model_state["cnn"], names["state"])
    before, trained = names["start"].params["cnn"], after.params["cnn"]
    for part in before.keys() - {"head"}:
        assert_same(trained[part], names["params"][part])
    assert not np.array_equal(trained["head"]["kernel"], before["head"]["kernel"])
    assert re.search(r"\['(cats|dogs)'\]\n$", capsys.readouterr().out)
