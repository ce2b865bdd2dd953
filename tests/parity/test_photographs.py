"""The docs' transfer to photographs, on torchvision's ResNet-18: small pictures, random weights."""

import re
from pathlib import Path

import jax
import numpy as np
import pytest
from helpers import assert_same
from networks import positive_like, weights_like
from own_files import write_pets

from jaxnets import models
from jaxnets.trees import flatten_names

pytestmark = pytest.mark.parity
PAGE = Path(__file__).parents[2] / "docs" / "data.md"
IMPORTS = """
import jax, optax
from jaxnets import data, interop, load_model, losses, models, save_model, scale_pixels, serial
from jaxnets.training import evaluate, fit, inference_mode, make_train_step, merge_params
from jaxnets.training import partition_by_name
"""


def write_resnet18(path):
    """A state_dict with the names and shapes of torchvision's; like random kernels, it is kept."""
    library = pytest.importorskip("torch")
    text = Path(__file__).parents[1].joinpath("interop", "torch_names.txt").read_text()
    [part] = [p for p in text.split("# ") if p.startswith("torchvision resnet18\n")]
    rng = np.random.default_rng(0)

    def draw(shape):
        fan_in = max(1, np.prod(shape[1:], dtype=int))
        scale = fan_in**-0.5 if len(shape) > 1 else 1
        return library.tensor(scale * rng.uniform(0.5, 1, shape) * (-1) ** (rng.random(shape) > 0.9))

    lines = [line.split(" ") for line in part.splitlines()[1:] if line]
    library.save(
        {
            name: draw([int(n) for n in "".join(shape).split("x") if n]).float()
            for name, *shape in lines
        },
        path,
    )
