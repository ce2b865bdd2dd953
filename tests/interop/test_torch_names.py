"""PyTorch's names become ours: those of published models, of wrappers, and by a function."""

from functools import partial
from importlib import import_module
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_same, normal

from jaxnets import LayerError, conv, dense, depthwise_conv, flatten, lowering, models, serial
from jaxnets.interop import torch
from jaxnets.interop.torch_names import recognised
from jaxnets.interop.weights import expected, weight_specs

IMAGE = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
TOKENS = jax.ShapeDtypeStruct((1, 9), jnp.int32)
SMALL = {"features": 12, "heads": 3, "blocks": 2}
PUBLISHED = {  # as in torch_names.txt, which lists the names and shapes of their state_dicts
    "torchvision resnet18": (models.resnet18, IMAGE),
    "torchvision vgg11": (models.vgg11, IMAGE),
    "torchvision alexnet": (models.alexnet_one_tower, IMAGE),
    "torchvision squeezenet1_1": (models.squeezenet_1_1, IMAGE),
    "torchvision mobilenet_v2": (models.mobilenet_v2, IMAGE),
    "torchvision convnext_tiny": (models.convnext, IMAGE),
    "transformers GPT2LMHeadModel": (partial(models.gpt, 50, 16, **SMALL), TOKENS),
    "transformers BertModel": (partial(models.bert_encoder, 50, 16, **SMALL), TOKENS),
}


def published(name):
    """The state_dict of a published model, all zeros, which take no memory."""
    text = Path(__file__).with_name("torch_names.txt").read_text()
    [lines] = [part.splitlines()[1:] for part in text.split("# ") if part.startswith(f"{name}\n")]
    parts = [line.split(" ") for line in lines]
    return {
        name: np.broadcast_to(np.float32(0), [int(n) for n in "".join(shape).split("x") if n])
        for name, *shape in parts
    }


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_names_and_shapes_of_a_published_model_become_those_of_ours(name, monkeypatch):
    plain = partial(depthwise_conv, convolve=lowering.plain_conv)  # traces sooner
    plain_conv = partial(conv, convolve=lowering.plain_conv)
    for module in ("convnext", "mobilenet"):
        monkeypatch.setattr(import_module(f"jaxnets.models.{module}"), "conv", plain_conv)
        monkeypatch.setattr(import_module(f"jaxnets.models.{module}"), "depthwise_conv", plain)
    make, x = PUBLISHED[name]
    leaves = weight_specs(expected(make(), x))
    arrays = torch._without_wrappers(published(name))
    rename = recognised(arrays, leaves)
    assert rename is not None
    flat = torch._converted(rename(arrays, [path.rpartition("/")[0] for path in leaves]), leaves)
    assert {path: a.shape for path, a in flat.items()} == {p: s.shape for p, s in leaves.items()}


NET = serial(("conv1", conv(4, (3, 3))), flatten, jax.nn.relu, ("fc", dense(3)))
X = normal(2, 5, 6, 2)
WEIGHTS = {
    "conv1.weight": normal(4, 2, 3, 3), "conv1.bias": normal(4),
    "fc.weight": normal(3, 120, seed=1), "fc.bias": normal(3),
}  # fmt: skip


def test_a_dense_layer_after_flatten_is_refused_without_the_size_of_its_image():
    message = (
        r"fc/kernel has rows of a flattened array \(5, 6, 4\), which PyTorch flattens channels "
        r'first; pass flattened=\{"fc": \(5, 6\)\}, or None for rows in this order'
    )
    with pytest.raises(LayerError, match=message):
        torch.load(WEIGHTS, NET, X)
    params, _ = torch.load(WEIGHTS, NET, X, flattened={"fc": (5, 6)})
    rows = np.asarray(WEIGHTS["fc.weight"]).reshape(3, 4, 5, 6)
    kernel = params["fc"]["kernel"].reshape(5, 6, 4, 3)
    np.testing.assert_array_equal(kernel[3, 2, 1], rows[:, 1, 3, 2])
    params, _ = torch.load(WEIGHTS, NET, X, flattened={"fc": None})
    assert_same(params["fc"]["kernel"], WEIGHTS["fc.weight"].T)


def test_a_wrong_size_or_name_in_flattened_is_refused():
    for flattened, message in (
        ({"fc": (6, 5)}, r"fc/kernel is of \(5, 6, 4\) and does not fit flattened=\(6, 5\)"),
        ({"fc": (5, 6), "f": (1,)}, "f/kernel is in flattened, but is not a dense kernel"),
        ({"fc": (5, 6), "conv1": (1,)}, "conv1/kernel is in flattened, but is not a dense"),
    ):
        with pytest.raises(LayerError, match=message):
            torch.load(WEIGHTS, NET, X, flattened=flattened)


def test_grey_images_and_vectors_have_one_order_only():
    model = serial(flatten, ("fc", dense(3)))
    weights = {"fc.weight": normal(3, 30), "fc.bias": normal(3)}
    for shape in ((2, 5, 6, 1), (2, 30), (2, 1, 1, 30)):
        params, _ = torch.load(weights, model, jnp.zeros(shape))
        assert_same(params["fc"]["kernel"], weights["fc.weight"].T)


def test_a_flattened_image_beside_other_features_is_refused():
    def beside(x):
        return jnp.concatenate([flatten(x), x[:, 0, 0]], axis=-1)

    model = serial(beside, ("fc", dense(3)))
    weights = {"fc.weight": normal(3, 62), "fc.bias": normal(3)}
    with pytest.raises(LayerError, match="a flattened array besides others"):
        torch.load(weights, model, X)
    assert torch.load(weights, model, X, flattened={"fc": None})


def test_other_names_are_given_by_a_function_and_those_of_wrappers_are_left_out():
    theirs = {f"net.{name}".replace("fc", "last"): array for name, array in WEIGHTS.items()}
    load = partial(torch.load, layer=NET, x=X, flattened={"fc": (5, 6)})
    expected = load(WEIGHTS)

    def names(module):
        return module.removeprefix("net.").replace("last", "fc")

    assert_same(load(theirs, names=names), expected)
    assert_same(load({f"module._orig_mod.{n}": a for n, a in WEIGHTS.items()}), expected)
    with pytest.raises(LayerError, match=r"names gives two arrays the name 'fc\.weight'"):
        load(WEIGHTS, names=lambda module: "fc")


def test_floats_are_cast_if_that_is_exact_or_requested():
    load = partial(torch.load, layer=NET, x=X, flattened={"fc": None})
    half = {name: array.astype(jnp.bfloat16) for name, array in WEIGHTS.items()}
    assert load(half)[0]["fc"]["bias"].dtype == jnp.float32
    assert load(half, dtype=jnp.bfloat16)[0]["fc"]["bias"].dtype == jnp.bfloat16
    wide = {name: np.asarray(array, np.float64) for name, array in WEIGHTS.items()}
    with pytest.raises(LayerError, match="fc/bias is float64 and should be float32"):
        load(wide)
    assert_same(load(wide, dtype=jnp.float32), load(WEIGHTS))


def test_a_file_of_more_than_a_state_dict_is_refused_with_what_to_pass(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "read", lambda path: {"model": dict(WEIGHTS), "epoch": 3})
    with pytest.raises(LayerError, match=r"has 'model' of another type; pass read\(path\)\[...\]"):
        torch.load(tmp_path / "a.pt", NET, X)
