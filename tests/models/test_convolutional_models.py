"""The published networks: their parameters, and the shape of every layer's output."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from counting import abstract, count, output_shapes
from helpers import assert_close, normal

from jaxnets import LayerError, batch_norm, conv, models, serial
from jaxnets.trees import flatten_names

GOLDEN = {  # for the input of the paper: parameters, and running statistics
    "lenet5": ((28, 28, 1), 61_706, 0),
    "lenet_batch_norm": ((28, 28, 1), 180_880, 224),
    "alexnet": ((227, 227, 3), 60_965_224, 0),
    "alexnet_one_tower": ((224, 224, 3), 61_100_840, 0),  # torchvision
    "vgg11": ((224, 224, 3), 132_863_336, 0),
    "vgg16": ((224, 224, 3), 138_357_544, 0),
    "resnet18": ((224, 224, 3), 11_689_512, 9_600),
    "resnet50": ((224, 224, 3), 25_557_032, 53_120),
    "resnet20": ((32, 32, 3), 269_722, 1_376),
    "small_cnn": ((28, 28, 1), 298_410, 896),
}
SMALLEST = {  # minimum pixels per side, where there is one
    "lenet5": 12,
    "lenet_batch_norm": 4,
    "alexnet": 67,
    "alexnet_one_tower": 63,
    "vgg11": 32,
    "vgg16": 32,
    "small_cnn": 8,
}


@cache
def golden(name):
    """The abstract `(params, state)` for the input of the paper."""
    shape, *_ = GOLDEN[name]
    return abstract(getattr(models, name)(), *shape)


@pytest.mark.parametrize("name", GOLDEN)
def test_the_numbers_of_parameters_and_running_statistics_are_those_of_the_literature(name):
    _, parameters, statistics = GOLDEN[name]
    params, state = golden(name)
    assert (count(params), count(state)) == (parameters, statistics)


@pytest.mark.parametrize("name", GOLDEN)
def test_any_size_and_number_of_channels_and_classes_is_accepted(name):
    model, smallest = getattr(models, name)(7), SMALLEST.get(name, 1)
    for shape in ((smallest, smallest, 2), (smallest + 5, smallest + 8, 4)):
        *_, (last, logits) = output_shapes(model, *shape).items()
        assert last in ("head", "fc8") and logits == (7,)


@pytest.mark.parametrize(("name", "smallest"), SMALLEST.items())
def test_an_image_that_is_too_small_is_refused_at_the_layer(name, smallest):
    with pytest.raises(LayerError, match=r"(pool|conv)\w+: "):
        abstract(getattr(models, name)(), smallest, smallest - 1, 3)


@pytest.mark.parametrize(("name", "side"), [("alexnet", 67), ("vgg11", 32)])
def test_convolutions_are_initialised_as_in_he_et_al_2015_and_dense_kernels_small(name, side):
    params, _ = jax.jit(getattr(models, name)(100).init)(
        jax.random.key(0, impl="rbg"), jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    )
    for path, leaf in flatten_names(jax.device_get(params)).items():
        if leaf.ndim == 4:
            fan_in = leaf.size / leaf.shape[-1]
            np.testing.assert_allclose(leaf.std(), (2 / fan_in) ** 0.5, rtol=0.05, err_msg=path)
        elif path.startswith("fc") and leaf.ndim == 2:
            np.testing.assert_allclose(leaf.std(), 0.01, rtol=0.05, err_msg=path)


def of_blocks(layers, count, shape):
    """`count` times the same layers, all with outputs of one shape."""
    return {layer.format(n): shape for n in range(1, count + 1) for layer in layers}


def heads(sizes):
    """The output shapes of dense layers with dropout."""
    *hidden, classes = sizes
    shapes = {}
    for number, size in enumerate(hidden, start=6):
        shapes |= {f"{kind}{number}": (size,) for kind in ("fc", "relu", "drop")}
    return shapes | {"fc8": (classes,)}


@pytest.mark.parametrize(
    ("name", "depths"), {"vgg11": (1, 1, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3)}.items()
)
def test_vgg_has_the_shapes_of_its_configuration(name, depths):
    """Simonyan & Zisserman 2015, table 1, columns A and D."""
    expected = {}
    for block, (depth, features) in enumerate(
        zip(depths, (64, 128, 256, 512, 512), strict=True), start=1
    ):
        side = 448 >> block
        layers = (f"conv{block}_{{}}", f"relu{block}_{{}}")
        expected |= of_blocks(layers, depth, (side, side, features))
        expected[f"pool{block}"] = (side // 2, side // 2, features)
    expected |= heads((4096, 4096, 1000))
    shapes = output_shapes(getattr(models, name)(), 224, 224, 3)
    assert list(shapes.items()) == list(expected.items())


def test_lenet_5_has_the_shapes_of_the_paper():
    """LeCun et al. 1998, figure 2: C1, S2, C3, S4, C5, F6 and the output."""
    shapes = output_shapes(models.lenet5(), 28, 28, 1)
    maps = [(28, 28, 6), (28, 28, 6), (14, 14, 6), (10, 10, 16), (10, 10, 16), (5, 5, 16)]
    assert list(shapes.values()) == [*maps, (120,), (120,), (84,), (84,), (10,)]
    names = "conv1 tanh1 pool1 conv2 tanh2 pool2 fc1 tanh3 fc2 tanh4 head"
    assert " ".join(shapes) == names


BASIC = ("conv1", "norm1", "conv2", "norm2")
STEM = {
    **dict.fromkeys(("conv1", "norm1", "relu1"), (112, 112, 64)),
    "pool1": (56, 56, 64),
}


def block_shapes(path, before, inner, after, layers=BASIC):
    """A block: one of the `inner` shapes per layer, and a shortcut if the shape changes."""
    shapes = {f"{path}/{layer}": shape for layer, shape in zip(layers, inner, strict=True)}
    if before != after:
        shapes |= {f"{path}/{layer}": after for layer in ("shortcut/conv", "shortcut/norm")}
        shapes[f"{path}/shortcut"] = after
    return shapes | {path: after}


def test_resnet_18_has_the_shapes_of_the_paper():
    """He et al. 2016, table 1."""
    expected, before = dict(STEM), (56, 56, 64)
    for stage, after in enumerate(((56, 56, 64), (28, 28, 128), (14, 14, 256), (7, 7, 512)), 1):
        for block in (1, 2):
            expected |= block_shapes(f"stage{stage}/block{block}", before, [after] * 4, after)
            before = after
        expected[f"stage{stage}"] = after
    expected |= {"pool": (512,), "head": (1000,)}
    shapes = output_shapes(models.resnet18(), 224, 224, 3)
    assert list(shapes.items()) == list(expected.items())


def test_resnet_50_has_the_shapes_of_the_paper_with_its_strides_in_the_3x3_convolutions():
    """He et al. 2016, table 1."""
    layers = (*BASIC, "conv3", "norm3")
    expected, before = dict(STEM), (56, 56, 64)
    for stage, depth in enumerate((3, 4, 6, 3), start=1):
        side, width = 112 >> stage, 32 << stage
        after = (side, side, 4 * width)
        for block in range(1, depth + 1):
            inner = [(*before[:2], width)] * 2 + [(side, side, width)] * 2 + [after] * 2
            path = f"stage{stage}/block{block}"
            expected |= block_shapes(path, before, inner, after, layers)
            before = after
        expected[f"stage{stage}"] = after
    expected |= {"pool": (2048,), "head": (1000,)}
    shapes = output_shapes(models.resnet50(), 224, 224, 3)
    assert list(shapes.items()) == list(expected.items())


@pytest.mark.parametrize(
    ("name", "by_stage"),
    {
        "resnet18": [147_968, 525_568, 2_099_712, 8_393_728],
        "resnet50": [215_808, 1_219_584, 7_098_368, 14_964_736],
        "resnet20": [14_016, 51_072, 203_520],
    }.items(),
)
def test_each_stage_of_a_resnet_has_its_parameters(name, by_stage):
    params, _ = golden(name)
    assert [count(params[f"stage{n}"]) for n in range(1, len(by_stage) + 1)] == by_stage


def test_resnet_20_has_19_convolutions_with_the_shapes_of_the_paper():
    """He et al. 2016, section 4.2: 2n layers for each of 32, 16 and 8 pixels, n = 3."""
    shapes = output_shapes(models.resnet20(), 32, 32, 3)
    convolutions = [shape for path, shape in shapes.items() if path.split("/")[-1][:4] == "conv"]
    assert convolutions == [(32, 32, 16)] * 7 + [(16, 16, 32)] * 6 + [(8, 8, 64)] * 6
    assert shapes["pool"] == (64,)


def test_resnet_20_with_zero_branches_is_its_shortcuts():
    """Option A: subsampled by 2 twice, then padded with 48 channels of zeros."""
    model, x = models.resnet20(), normal(2, 9, 8, 3)
    params, state = abstract(model, 9, 8, 3)
    params = jax.tree.map(lambda leaf: normal(*leaf.shape), params)
    state = jax.tree.map(lambda leaf: jnp.full(leaf.shape, 0.5), state)
    for stage in ("stage1", "stage2", "stage3"):
        for block in params[stage].values():
            block["norm2"] = jax.tree.map(jnp.zeros_like, block["norm2"])

    stem = serial(("conv1", conv(16, (3, 3), use_bias=False)), ("norm1", batch_norm()))
    first = {name: params[name] for name in ("conv1", "norm1")}
    y, _ = jax.jit(stem.apply)(first, {"norm1": state["norm1"]}, x)
    features = np.maximum(y, 0)[:, ::2, ::2][:, ::2, ::2].mean((1, 2))
    head = jax.tree.map(np.asarray, params["head"])
    expected = features @ head["kernel"][:16] + head["bias"]
    assert_close(jax.jit(model.apply)(params, state, x)[0], expected)


def test_the_small_network_has_the_given_stages():
    model = models.small_cnn(10, [(8,), (16, 24)])
    params, _ = abstract(model, 28, 28, 1)
    assert params["stage1"]["conv1"]["kernel"].shape == (3, 3, 1, 8)
    assert params["stage2"]["conv1"]["kernel"].shape == (3, 3, 8, 16)
    assert params["stage2"]["conv2"]["kernel"].shape == (3, 3, 16, 24)
    assert params["stage1"].keys() == {"conv1", "norm1"}
    shapes = output_shapes(model, 28, 28, 1)
    assert (shapes["pool1"], shapes["pool2"]) == ((14, 14, 8), (7, 7, 24))
    assert params["head"]["kernel"].shape == (7 * 7 * 24, 10)


def test_the_dropout_rate_of_the_small_network_may_be_traced():
    x = normal(2, 4, 4, 1)
    params, state = jax.jit(models.small_cnn(2, [(4,)]).init)(jax.random.key(0), x)

    @jax.jit
    def logits(rate):
        model = models.small_cnn(2, [(4,)], rate=rate)
        return model.apply(params, state, x, key=jax.random.key(1), train=True)[0]

    assert not np.allclose(logits(0.0), logits(0.9))
