"""Whole models of torchvision, loaded by name: outputs and gradients are torchvision's.

The weights and statistics are random and the images small; before `fc6` of AlexNet and VGG, 2 x 2
positions are left in place of 6 x 6 and 7 x 7, for which a matrix has 800 MB. In float64, outputs
agree to 1e-6 of the largest, and gradients with respect to every weight to 1e-4 of the largest of
that weight; outputs in float32 to 1e-5. MobileNetV2 has four of its seventeen blocks.
"""

from functools import partial
from importlib import import_module
from importlib.util import find_spec

import jax
import numpy as np
import pytest
from helpers import assert_close

from jaxnets import lowering, models
from jaxnets.interop import torch

pytestmark = pytest.mark.parity
CLASSES = 5


@pytest.fixture(scope="module")
def published():
    """The module `torchvision.models`."""
    library = pytest.importorskip("torch").library
    if find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed: pip install -e '.[parity]'")
    try:
        return import_module("torchvision").models
    except RuntimeError:  # a CUDA build with a CPU-only PyTorch: declare the operators it lacks
        for name in ("nms", "qnms"):
            library.define(f"torchvision::{name}", "(Tensor a, Tensor b, float c) -> Tensor")
        return import_module("torchvision").models


def convnext(published, num_classes):
    configs = [(8, 16, 1), (16, 24, 2), (24, 32, 1), (32, None, 1)]
    settings = [published.convnext.CNBlockConfig(*config) for config in configs]
    return published.ConvNeXt(settings, num_classes=num_classes)


def with_small_rows(name, channels, index):
    """The model, with 2 x 2 positions before its first dense layer."""

    def make(published, num_classes):
        nn = pytest.importorskip("torch").nn
        module = getattr(published, name)(num_classes=num_classes)
        module.avgpool = nn.AdaptiveAvgPool2d(2)
        module.classifier[index] = nn.Linear(4 * channels, 4096)
        return module

    return make


FEW_BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 1, 2))  # of MobileNetV2's 17


def with_few_blocks(published, num_classes):
    settings = [list(block) for block in FEW_BLOCKS]
    return published.MobileNetV2(num_classes, inverted_residual_setting=settings)


@pytest.fixture(autouse=True)
def few_blocks(monkeypatch):
    mobilenet = import_module("jaxnets.models.mobilenet")
    stages = tuple(mobilenet.Stage(*block) for block in FEW_BLOCKS)
    monkeypatch.setattr(mobilenet, "MOBILENET_V2", stages)


def by_name(name):
    return lambda published, num_classes: getattr(published, name)(num_classes=num_classes)


# Ours, theirs, the pixels per side.
TABLE = {
    "resnet18": (models.resnet18, by_name("resnet18"), 32),
    "alexnet": (models.alexnet_one_tower, with_small_rows("alexnet", 256, 1), 95),
    "vgg11": (models.vgg11, with_small_rows("vgg11", 512, 0), 64),
    "squeezenet1_1": (models.squeezenet_1_1, by_name("squeezenet1_1"), 32),
    "mobilenet_v2": (
        partial(models.mobilenet_v2, symmetric=True), with_few_blocks, 32
    ),
    "convnext": (
        partial(models.convnext, depths=(1, 2, 1, 1), widths=(8, 16, 24, 32)), convnext, 32
    ),
}  # fmt: skip


def with_random_weights(make, published):
    """The module in evaluation, in float64, with kernels that preserve the size of their input."""
    library = pytest.importorskip("torch")
    with library.device("meta"):  # allocates and draws nothing
        module = make(published, num_classes=CLASSES)
    module = module.double().to_empty(device="cpu").eval()
    library.manual_seed(0)
    for values in [*module.parameters(), *module.buffers()]:
        if values.is_floating_point() and values.ndim > 1:
            values.data.normal_(0, (2 / values[0].numel()) ** 0.5)
        elif values.is_floating_point():
            values.data.uniform_(0.5, 1.0)
    return module


@pytest.mark.parametrize(("ours", "theirs", "side"), TABLE.values(), ids=TABLE)
def test_outputs_and_gradients_of_every_weight_are_those_of_torchvision(
    ours, theirs, side, published
):
    library = pytest.importorskip("torch")
    model, module = ours(CLASSES), with_random_weights(theirs, published)
    x = np.random.default_rng(0).normal(size=(2, side, side, 3))
    like = np.random.default_rng(1).normal(size=(2, CLASSES))
    y = module(library.tensor(x).movedim(-1, 1))
    (y * library.tensor(like)).sum().backward()
    weights = module.state_dict()
    gradients = weights | {name: p.grad for name, p in module.named_parameters()}
    load = partial(torch.load, layer=model, x=jax.ShapeDtypeStruct(x.shape, np.float32))

    def output(params):
        return model.apply(params, state, x)[0]

    def output_and_gradients(params):
        y, pull = jax.vjp(output, params)
        return y, pull(like)[0]

    with lowering.plain_operations():  # compiles sooner
        with jax.enable_x64(True):
            params, state = load(weights, dtype=np.float64)
            our_y, ours = jax.jit(output_and_gradients)(params)
            assert_close(ours, load(gradients, dtype=np.float64)[0], 1e-4)
            assert_close(np.asarray(our_y), y.detach().numpy(), 1e-6)
        params, state = load(weights, dtype=np.float32)
        x = x.astype(np.float32)
        assert_close(np.asarray(jax.jit(output)(params)), y.detach().numpy(), 1e-5)
