"""Preprocessing is saved with the model, and does what NumPy and Pillow do."""

from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from jaxnets import data, load_model, save_model, stateless
from jaxnets.saved_model import ModelFileError, Pixels, preprocess, register_preprocess

IDENTITY = stateless(lambda key, x: {}, lambda params, x: x)
rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (3, 4, 5, 3)).astype(np.uint8)


def saved_and_loaded(folder, example, **options):
    save_model(folder / "identity", IDENTITY, ({}, {}), example, **options)
    return load_model(folder / "identity")


def test_pixels_are_scaled_and_shifted_per_channel(tmp_path):
    pixels = Pixels((4, 5), scale=(1 / 255, 2.0, -0.1), shift=(0.0, -1.0, 0.5))
    loaded = saved_and_loaded(tmp_path, pixels(IMAGES), preprocess=pixels)
    expected = IMAGES * np.array([1 / 255, 2.0, -0.1]) + np.array([0.0, -1.0, 0.5])
    np.testing.assert_allclose(loaded.predict_outputs(IMAGES), expected, rtol=1e-6, atol=1e-6)
    assert loaded.preprocess == pixels


def test_images_of_another_size_are_resized_as_by_pillow():
    expected = [
        np.asarray(Image.fromarray(image).resize((6, 3), Image.Resampling.BILINEAR))
        for image in IMAGES
    ]
    np.testing.assert_array_equal(Pixels((3, 6), dtype="uint8")(IMAGES), expected)
    grey = Pixels((3, 6), dtype="uint8")(IMAGES[..., 0])
    assert grey.shape == (3, 3, 6, 1)


def test_integers_are_rounded_and_limited():
    pixels = Pixels(scale=0.1, shift=-1.0, dtype="uint8")
    values = np.array([0, 10, 16, 255], np.uint8).reshape(1, 2, 2)
    assert pixels(values).ravel().tolist() == [0, 0, 1, 24]
    assert Pixels(scale=9.0, dtype="uint8")(values).max() == 255


def test_a_scaling_of_columns_is_saved_exactly(tmp_path):
    table = rng.normal(size=(9, 3)) * [1e-9, 1.0, 1e9]
    scaling = data.fit_standard(table)
    example = scaling.apply(table).astype(np.float32)
    loaded = saved_and_loaded(tmp_path, example, preprocess=scaling)
    np.testing.assert_array_equal(loaded.predict_outputs(table), example)


class Doubled(NamedTuple):
    """A custom preprocessing; with a `scaling`, predictions are decoded to the target's units."""

    factor: float
    scaling: tuple[float, float] | None = None

    def __call__(self, x):
        return np.float32(x) * self.factor

    def decode(self, outputs):
        return outputs[:, 0] + 100

    def to_json(self):
        return {"kind": "doubled", "factor": self.factor, "scaling": self.scaling}


def from_json(content):
    return Doubled(content["factor"], content["scaling"] and tuple(content["scaling"]))


def test_a_custom_kind_is_registered_once(tmp_path, monkeypatch):
    monkeypatch.setattr(preprocess, "KINDS", dict(preprocess.KINDS))
    example = np.ones((2, 3), np.float32)
    with pytest.raises(ModelFileError, match=r"of a registered kind, but got a Doubled of {'kind'"):
        saved_and_loaded(tmp_path, example, preprocess=Doubled(2.0))
    register_preprocess("doubled", from_json)
    register_preprocess("doubled", from_json)  # a module may be imported again
    loaded = saved_and_loaded(tmp_path, example, preprocess=Doubled(2.0))
    np.testing.assert_array_equal(loaded.predict_outputs(example), 2 * example)
    loaded = saved_and_loaded(tmp_path, example, preprocess=Doubled(2.0, (1.0, 2.0)))
    np.testing.assert_array_equal(loaded.predict(example), [102, 102])  # in the target's units
    with pytest.raises(ModelFileError, match="the kind pixels is registered already; rename"):
        register_preprocess("pixels", from_json)


WRONG = {
    "no numbers": (dict(scale="1"), "expects scale as a finite number, or one per channel, but"),
    "nan": (dict(shift=float("nan")), "expects shift as a finite number"),
    "nothing": (dict(scale=()), "expects scale as a finite number"),
    "a size": (dict(size=28), "expects height to be a positive integer, but got None"),
    "a dtype": (dict(dtype="object"), "expects dtype as float32, float16, uint8 or int32, but"),
}


@pytest.mark.parametrize(("wrong", "message"), WRONG.values(), ids=WRONG)
def test_wrong_pixels_are_refused(wrong, message):
    with pytest.raises(ModelFileError, match=message):
        Pixels(**wrong)


WRONG_IMAGES = {
    "one image": (IMAGES[0, ..., 0], {}, r"expects images \(n, height, width, channels\), but got"),
    "channels": (IMAGES, dict(scale=(1.0,)), "expects images of 1 channels, the number of its sc"),
    "floats": (IMAGES / 255, dict(size=(2, 2)), "or 8-bit images of 1 or 3 channels to resize"),
    "text": ("a.png", {}, "expects the images as an array of numbers"),
}


@pytest.mark.parametrize(("images", "options", "message"), WRONG_IMAGES.values(), ids=WRONG_IMAGES)
def test_an_object_that_is_not_an_image_is_refused(images, options, message):
    with pytest.raises(ModelFileError, match=message):
        Pixels(**options)(images)
