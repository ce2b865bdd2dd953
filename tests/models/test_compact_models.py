"""MobileNetV2, EfficientNet-lite0, SqueezeNet, U-Net and ConvNeXt: parameters and shapes."""

from functools import cache
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counting import abstract, output_shapes
from helpers import normal

from jaxnets import LayerError, models
from jaxnets.inspect import summary

GOLDEN = {  # for the input of the paper: parameters, running statistics
    "mobilenet_v2": ((224, 224, 3), 3_504_872, 34_112),  # torchvision, Keras
    "efficientnet_lite0": ((224, 224, 3), 4_652_008, 42_016),  # timm
    "squeezenet": ((227, 227, 3), 1_248_424, 0),  # torchvision
    "squeezenet_1_1": ((224, 224, 3), 1_235_496, 0),  # torchvision
    "unet": ((572, 572, 1), 31_030_658, 0),
    "convnext": ((224, 224, 3), 28_589_128, 0),  # torchvision
}
SMALLEST = {  # minimum pixels per side, where there is one
    "squeezenet": (models.squeezenet(7), 29),
    "squeezenet_1_1": (models.squeezenet_1_1(7), 25),
    "convnext": (models.convnext(7, (1, 1, 1, 1), (4, 4, 4, 4)), 32),
}


@cache
def golden(name):
    """The summary for the input of the paper."""
    x = jax.ShapeDtypeStruct((1, *GOLDEN[name][0]), jnp.float32)
    return summary(getattr(models, name)(), x)


def parameters(name, part):
    rows = golden(name).rows
    return sum(row.parameters for row in rows if f"{row.path}/".startswith(f"{part}/"))


@pytest.mark.parametrize("name", GOLDEN)
def test_the_numbers_of_parameters_and_running_statistics_are_the_published_ones(name):
    assert (golden(name).parameters, golden(name).state) == GOLDEN[name][1:]


def test_a_unet_has_23_convolutional_layers():
    """Ronneberger et al. 2015, section 2."""
    with_parameters = [row for row in golden("unet").rows if row.parameters]
    assert len(with_parameters) == 23


def test_a_convnext_block_and_its_stages_have_the_parameters_of_the_authors_code():
    assert parameters("convnext", "stage1/block1") == 79_296
    assert [parameters("convnext", f"stage{n}") for n in (1, 2, 3, 4)] == [
        *(3 * 79_296, 3 * 306_048 + 74_112),
        *(9 * 1_201_920 + 295_680, 3 * 4_763_136 + 1_181_184),
    ]


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("mobilenet_v2", 300),  # Sandler et al. 2018, table 4
        ("convnext", 4_456),  # Liu et al. 2022, table 1: 4.5 G
        ("squeezenet_1_1", 349),
    ],
)
def test_the_multiply_adds_are_the_published_ones(name, millions):
    assert abs(golden(name).flops / 2e6 - millions) < 1


@pytest.mark.parametrize(("model", "smallest"), SMALLEST.values(), ids=SMALLEST)
def test_an_image_that_is_too_small_is_refused_at_the_layer(model, smallest):
    *_, (last, logits) = output_shapes(model, smallest, smallest + 3, 2).items()
    assert (last, logits) == ("head", (7,))
    with pytest.raises(LayerError, match=r"(pool\d|down): "):
        abstract(model, smallest, smallest - 1, 3)


def stages(name):
    """The outputs of the outermost layers that have rows and columns, as (pixels, channels)."""
    return {
        row.path: (row.shape[1], row.shape[-1])
        for row in golden(name).rows[1:-1]
        if "/" not in row.path and len(row.shape) == 4
    }


def test_mobilenet_v2_has_the_shapes_of_the_paper():
    """Sandler et al. 2018, table 2, of which the input of each row is the output of the last."""
    assert list(stages("mobilenet_v2").values()) == [
        *((112, 32), (112, 16), (56, 24), (28, 32), (14, 64), (14, 96), (7, 160)),
        *((7, 320), (7, 1280)),
    ]


def test_efficientnet_lite0_has_the_shapes_of_efficientnet_b0():
    """Tan & Le 2019, table 1."""
    assert list(stages("efficientnet_lite0").values()) == [
        *((112, 32), (112, 16), (56, 24), (28, 40), (14, 80), (14, 112), (7, 192)),
        *((7, 320), (7, 1280)),
    ]


def test_squeezenet_has_the_shapes_of_the_paper():
    """Iandola et al. 2016, table 1."""
    shapes = stages("squeezenet")
    expected = {"conv1": (111, 96), "pool1": (55, 96), "fire2": (55, 128), "fire3": (55, 128)}
    expected |= {"fire4": (55, 256), "pool4": (27, 256), "fire5": (27, 256), "fire6": (27, 384)}
    expected |= {"fire7": (27, 384), "fire8": (27, 512), "pool8": (13, 512), "fire9": (13, 512)}
    assert {path: shapes[path] for path in expected} == expected
    assert shapes["conv10"] == (13, 1000)


def test_unet_has_the_shapes_of_the_paper():
    """Ronneberger et al. 2015, figure 1."""
    shapes = {row.path: row.shape[1:] for row in golden("unet").rows}
    down, up = [], []
    for depth in range(5):
        path = "/".join(["level"] * (depth + 1))
        down += [shapes[f"{path}/down/{name}"][0] for name in ("conv1", "conv2")]
        if depth < 4:
            up = [shapes[f"{path}/{name}"][0] for name in ("up", "merge/conv1", "merge/conv2")] + up
    assert down == [570, 568, 282, 280, 138, 136, 66, 64, 30, 28]
    assert up == [56, 54, 52, 104, 102, 100, 200, 198, 196, 392, 390, 388]
    assert shapes["head"] == (388, 388, 2)


def test_a_unet_with_same_padding_keeps_the_size():
    shapes = output_shapes(models.unet(3, (4, 6, 8), padding="SAME"), 16, 24, 2)
    assert shapes["head"] == (16, 24, 3)
    assert shapes["level/level/level/down/conv2"] == (4, 6, 8)


def test_convnext_has_the_shapes_of_the_paper():
    """Liu et al. 2022, table 9."""
    shapes = stages("convnext")
    assert [shapes[f"stage{n}"] for n in (1, 2, 3, 4)] == [(56, 96), (28, 192), (14, 384), (7, 768)]


def test_the_branches_of_a_convnext_start_almost_at_0():
    init = jax.jit(models.convnext(2, (1,), (4,), patch=1).init)
    params, _ = init(jax.random.key(0), normal(1, 3, 3, 4))
    np.testing.assert_array_equal(params["stage1"]["block1"]["scale"]["scale"], np.float32(1e-6))


def test_blocks_are_skipped_more_often_towards_the_end(monkeypatch):
    rates = []

    def recorded(rate):
        rates.append(rate)
        return lambda x: x

    for name in ("convnext", "mobilenet"):
        module = import_module(f"jaxnets.models.{name}")
        monkeypatch.setattr(module, "stochastic_depth", recorded)
    models.efficientnet_lite0()
    expected = 0.2 * np.array([2, 4, 6, 7, 9, 10, 12, 13, 14]) / 16
    np.testing.assert_allclose(rates, expected)
    rates.clear()
    models.mobilenet_v2()
    assert set(rates) == {0.0}
    rates.clear()
    models.convnext(10, (1, 2, 2), (4, 4, 4), rate=0.4)
    np.testing.assert_allclose(rates, [0, 0.1, 0.2, 0.3, 0.4])
