"""Figures show the given numbers in the right places, with labels."""

import numpy as np
import pytest
from helpers import normal

from jaxnets import LayerError
from jaxnets.inspect import pictures


def shown(axes):
    return np.ma.filled(axes.images[0].get_array().astype(float), np.nan)


def test_filters_are_numbered_in_rows_on_a_common_scale_about_0():
    kernel = np.asarray(normal(3, 3, 1, 5))
    axes, bar = pictures.filters(kernel, "five filters").axes
    assert (axes.get_title(), bar.get_ylabel()) == ("five filters", "weight")
    assert [label.get_text() for label in axes.get_yticklabels()] == ["0 to 2", "3 to 4"]
    picture = shown(axes)
    assert picture.shape == (7, 11)  # 2 rows and 3 columns, a pixel apart
    np.testing.assert_array_equal(picture[4:7, 4:7], kernel[:, :, 0, 4])
    assert np.isnan(picture[3]).all() and np.isnan(picture[4:, 8:]).all()
    largest = np.abs(kernel).max()
    np.testing.assert_allclose(axes.images[0].get_clim(), (-largest, largest), rtol=1e-6)


def test_filters_of_three_channels_are_colours_and_0_is_grey():
    kernel = np.zeros((3, 3, 3, 2))
    kernel[0, 1, 2, 1] = -4
    (axes,) = pictures.filters(kernel, "colours").axes
    picture = shown(axes)
    np.testing.assert_array_equal(picture[:, :3], 0.5)
    np.testing.assert_array_equal(picture[0, 5], (0.5, 0.5, 0))
    with pytest.raises(LayerError, match=r"1 or 3, features\), but got \(3, 3, 2, 5\)"):
        pictures.filters(normal(3, 3, 2, 5), "deeper")


def test_feature_maps_have_a_common_scale_from_0_unless_they_are_signed():
    maps = np.abs(normal(4, 6, 9))
    axes, bar = pictures.feature_maps(maps, "maps", most=4).axes
    assert shown(axes).shape == (9, 13) and bar.get_ylabel() == "activation"
    np.testing.assert_array_equal(shown(axes)[5:9, 7:13], maps[..., 3])
    np.testing.assert_allclose(axes.images[0].get_clim(), (0, maps[..., :4].max()))
    axes, _ = pictures.feature_maps(-maps, "maps").axes
    np.testing.assert_allclose(axes.images[0].get_clim(), (-maps.max(), maps.max()))


def test_evidence_covers_each_image_and_is_scaled_to_its_maximum():
    images, maps = np.full((2, 8, 6, 3), 0.25), np.arange(24.0).reshape(2, 4, 3)
    figure = pictures.evidence(images, {"saliency": maps}, ["a", "b"], "why")
    *panels, bar = figure.axes
    assert figure.get_suptitle() == "why" and bar.get_ylabel() == "fraction of the image's maximum"
    assert [axes.get_title() for axes in panels] == ["a", "b", "", ""]
    assert panels[2].get_ylabel() == "saliency"
    for axes, heat in zip(panels[2:], maps, strict=True):
        below, above = axes.images
        assert below.get_extent() == above.get_extent() == [-0.5, 5.5, 7.5, -0.5]
        np.testing.assert_allclose(above.get_array(), heat / heat.max())


def test_an_embedding_has_one_colour_per_class_and_shows_the_variance():
    points, labels = np.asarray(normal(7, 2)), np.array([0, 1, 1, 0, 1, 1, 1])
    (axes,) = pictures.embedding(points, (0.31, 0.2), labels, ("cat", "dog"), "pets").axes
    assert axes.get_xlabel() == "component 1 (31% of the variance)"
    assert axes.get_ylabel() == "component 2 (20% of the variance)"
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["cat", "dog"]
    cats, dogs = axes.collections
    np.testing.assert_array_equal(cats.get_offsets(), points[[0, 3]])
    assert len(dogs.get_offsets()) == 5


def test_a_gallery_shows_the_original_and_each_result_with_its_filter():
    results = {
        "blur": pictures.Filtered(np.full((4, 5), 0.5), "1 1", signed=False),
        "edges": pictures.Filtered(np.asarray(normal(4, 5)), "-1 1", signed=True),
    }
    figure = pictures.gallery(np.ones((4, 5, 1)), results, "by hand", columns=2)
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["original", "blur", "edges"]
    assert [axes.get_xlabel() for axes in panels] == ["", "1 1", "-1 1"]
    assert panels[1].images[0].get_clim() == (0, 1)
    low, high = panels[2].images[0].get_clim()
    assert low == -high < 0
    bars = [axes.get_ylabel() for axes in figure.axes if axes.get_ylabel()]
    assert bars == ["brightness", "response"] and len(figure.axes) == 5
