"""Principal components against scikit-learn."""

import numpy as np
import pytest
from helpers import normal

from jaxnets import LayerError
from jaxnets.inspect import principal_components


@pytest.mark.parametrize("shape", [(30, 5), (6, 40), (10, 4, 3, 2)])
def test_components_are_those_of_scikit_learn_up_to_sign(shape):
    decomposition = pytest.importorskip("sklearn.decomposition")
    x = np.asarray(normal(*shape), np.float64) + 3
    actual = principal_components(x, 3)
    theirs = decomposition.PCA(3, svd_solver="full").fit(x.reshape(len(x), -1))
    signs = np.sign((actual.axes * theirs.components_).sum(1))
    np.testing.assert_allclose(actual.axes * signs[:, None], theirs.components_, atol=1e-10)
    points = theirs.transform(x.reshape(len(x), -1))
    np.testing.assert_allclose(actual.points * signs, points, atol=1e-9)
    np.testing.assert_allclose(actual.share, theirs.explained_variance_ratio_)


def test_the_largest_entry_of_an_axis_is_positive_whatever_the_data_s_sign():
    x = np.asarray(normal(20, 4))
    one, other = principal_components(x), principal_components(-x)
    np.testing.assert_allclose(one.axes, other.axes, atol=1e-12)
    np.testing.assert_allclose(one.points, -other.points, atol=1e-12)
    assert (one.axes[[0, 1], np.abs(one.axes).argmax(1)] > 0).all()


def test_equal_examples_have_shares_of_0():
    actual = principal_components(np.ones((4, 3)))
    assert not actual.points.any() and not actual.share.any()


@pytest.mark.parametrize("components", [0, 4])
def test_too_many_components_are_refused(components):
    with pytest.raises(LayerError, match=f"1 to 3 components of 5 .*3 features.*{components}"):
        principal_components(normal(5, 3), components)
