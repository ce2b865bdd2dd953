"""Every view is drawn with a title that names the weights; wrong files are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib import image
from PIL import Image

from experiments import look_inside, photographs
from jaxnets import LayerError, data, dense, flatten, models, serial
from jaxnets.interop import safetensors
from jaxnets.training import RunError

pytestmark = pytest.mark.usefixtures("compile_quickly")


def title(figure):
    return figure.get_suptitle() or "".join(axes.get_title() for axes in figure.axes)


def test_every_view_is_drawn_with_the_weights_of_a_file_and_named_by_it(
    small_mnist, tmp_path, monkeypatch
):
    params, _ = models.lenet5().init(jax.random.key(7), jnp.ones((1, 28, 28, 1)))
    safetensors.save(tmp_path / "mine.safetensors", {"params": params})
    view = look_inside.VIEWS["lenet5"]._replace(maps=("tanh2",))
    monkeypatch.setitem(look_inside.VIEWS, "lenet5", view)
    drawn, write = {}, look_inside.write_figure
    monkeypatch.setattr(
        look_inside,
        "write_figure",
        lambda path, figure: [drawn.update({path.stem: figure}), write(path, figure, dpi=30)],
    )
    config = look_inside.Config(
        model="lenet5",
        weights=tmp_path / "mine.safetensors",
        points=40,
        data_dir=small_mnist,
        out=tmp_path / "run",
    )
    look_inside.experiment(config)
    written = {path.stem: path.read_bytes() for path in config.out.glob("*.png")}
    assert all(content.startswith(b"\x89PNG") for content in written.values())
    assert (
        written.keys()
        == drawn.keys()
        == {*("filters_by_hand", "filters", "maps_tanh2", "evidence", "embedding")}
    )
    del drawn["filters_by_hand"]
    assert all("LeNet-5, weights of mine.safetensors" in title(f) for f in drawn.values())
    mosaic = drawn["filters"].axes[0].images[0].get_array()
    np.testing.assert_array_equal(mosaic[:5, :5], params["conv1"]["kernel"][:, :, 0, 0])


def test_a_network_is_trained_on_digits_if_no_weights_are_given(small_mnist):
    mnist = data.load("mnist", data_dir=small_mnist)
    config, model = look_inside.Config(examples=640), serial(flatten, ("head", dense(10)))
    params, state = look_inside.train(config, model, mnist)
    scores, _ = jax.jit(model.apply)(params, state, look_inside.MNIST(mnist.train.x[:200]))
    assert (scores.argmax(-1) == mnist.train.y[:200]).mean() > 0.3  # chance is 0.1


def test_weights_of_another_model_are_refused_name_by_name(tmp_path):
    params, _ = models.lenet5().init(jax.random.key(0), jnp.ones((1, 28, 28, 1)))
    safetensors.save(tmp_path / "five.safetensors", {"params": params})
    wanted = models.lenet5(5)
    with pytest.raises(LayerError, match=r"params/head/kernel is \(84, 10\) and should be \(84, 5"):
        look_inside.read_weights(tmp_path / "five.safetensors", wanted, jnp.ones((1, 28, 28, 1)))
    with pytest.raises(RunError, match=r"cannot read the weights in .*absent.*--weights"):
        look_inside.read_weights(tmp_path / "absent", wanted, jnp.ones((1, 28, 28, 1)))


def test_views_of_a_photograph_say_that_the_weights_are_random():
    tiny = look_inside.VIEWS["lenet5"]._replace(maps=())
    photo = photographs.load_photo(None)
    config = look_inside.Config(model="alexnet")
    figures = look_inside.look_at_photo(config, tiny, photo)
    assert figures.keys() == {"filters", "evidence"}
    assert all("LeNet-5, random weights" in title(figure) for figure in figures.values())


def test_a_photograph_may_be_grey_or_have_transparency_and_must_be_a_picture(tmp_path):
    rgba = np.random.default_rng(0).integers(0, 256, (5, 4, 4), dtype=np.uint8)
    image.imsave(tmp_path / "rgba.png", rgba)
    photo = photographs.load_photo(tmp_path / "rgba.png")
    assert photo.dtype == np.float32
    np.testing.assert_allclose(photo, rgba[..., :3] / 255, atol=1e-6)
    for form in (rgba[..., 0], rgba[..., :2]):
        Image.fromarray(np.ascontiguousarray(form)).save(tmp_path / "grey.png")
        grey = photographs.load_photo(tmp_path / "grey.png")
        np.testing.assert_allclose(grey, np.stack([rgba[..., 0]] * 3, -1) / 255, atol=1e-6)
    (tmp_path / "no.png").write_bytes(b"no picture")
    for name in ("no.png", "absent.png"):
        with pytest.raises(RunError, match=rf"cannot read .*{name} as a picture.*--photo"):
            photographs.load_photo(tmp_path / name)


def test_the_hand_made_filters_have_the_effects_that_they_are_named_for():
    left_dark = np.zeros((6, 8, 3), np.float32)
    left_dark[:, 4:] = 0.5
    found = {name: f.image for name, f in photographs.apply_filters(left_dark).items()}
    assert found["sharpen"].shape == (4, 6)  # positions at which the filter fits
    edge = found["vertical edges"]
    np.testing.assert_allclose(edge[:, [2, 3]], 1.5, atol=1e-6)
    np.testing.assert_allclose(edge[:, [0, 1, 4, 5]], 0, atol=1e-6)
    np.testing.assert_allclose(found["blue above and to the right"], 0, atol=1e-6)
    np.testing.assert_allclose(found["blur"][:, 0], 0, atol=1e-6)
    np.testing.assert_allclose(found["blur"][:, -1], 0.5, atol=1e-6)
    blue_sky = left_dark.copy()
    blue_sky[:3, :, 2], blue_sky[:3, :, :2] = 1, 0
    assert photographs.apply_filters(blue_sky)["blue above and to the right"].image.max() > 1
