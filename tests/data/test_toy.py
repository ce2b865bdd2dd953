"""The toy data sets have the Playground's geometry and are determined by the seed."""

import numpy as np
import pytest

from jaxnets import data

SETS = {"circle": data.circle, "xor": data.xor, "gauss": data.gauss, "spiral": data.spiral}
CENTERS = [[0, 0], [10, 0], [0, 10]]
ALL = SETS | {"points": lambda n, seed: data.points(n, CENTERS, seed=seed)}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("n", [1, 2, 7, 200])
def test_a_data_set_has_n_rows_of_two_float32_numbers_and_int32_labels(name, n):
    x, y = ALL[name](n, seed=0)
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((n, 2), np.float32, (n,), np.int32)


@pytest.mark.parametrize("name", ALL)
def test_the_seed_determines_every_number(name):
    one, same, other = (ALL[name](50, seed=seed) for seed in (3, 3, 4))
    for part, again in zip(one, same, strict=True):
        np.testing.assert_array_equal(part, again)
    assert (one.x != other.x).any()


@pytest.mark.parametrize("name", ["circle", "gauss", "spiral"])
@pytest.mark.parametrize("n", [1, 40, 41])
def test_the_classes_have_equal_size_up_to_one_point_of_class_1(name, n):
    assert np.bincount(SETS[name](n, seed=0).y, minlength=2).tolist() == [n // 2, n - n // 2]


@pytest.mark.parametrize("name", ALL)
def test_the_rows_are_in_random_order(name):
    y = ALL[name](200, seed=0).y
    assert 60 < np.count_nonzero(np.diff(y)) < 180


def test_a_circle_is_a_disc_in_a_ring():
    x, y = data.circle(4_000, seed=0)
    radius = np.hypot(*x.T)
    assert (radius[y == 1] < 2.5 + 1e-6).all()
    assert ((radius[y == 0] > 3.5 - 1e-6) & (radius[y == 0] < 5 + 1e-6)).all()
    # Radius and angle are uniform: each quarter of their ranges has a quarter of the points.
    inner = np.histogram(radius[y == 1], bins=4, range=(0, 2.5))[0]
    outer = np.histogram(radius[y == 0], bins=4, range=(3.5, 5))[0]
    angle = np.histogram(np.arctan2(*x.T), bins=8, range=(-np.pi, np.pi))[0]
    assert (abs(np.concatenate([inner, outer, angle]) - 500) < 110).all()  # 5 standard deviations


def test_xor_is_the_sign_of_the_product_away_from_the_axes():
    x, y = data.xor(4_000, seed=0)
    np.testing.assert_array_equal(y, x[:, 0] * x[:, 1] > 0)
    assert 0.3 - 1e-6 < abs(x).min() < 0.31
    assert 5.29 < abs(x).max() < 5.3 + 1e-6
    assert abs(y.mean() - 0.5) < 0.04


@pytest.mark.parametrize(("noise", "variance"), [(0.0, 0.5), (0.25, 2.25), (0.5, 4.0)])
def test_gauss_is_two_gaussians_whose_variance_increases_with_the_noise(noise, variance):
    x, y = data.gauss(20_000, noise=noise, seed=0)
    for label, center in ((1, 2), (0, -2)):
        cloud = x[y == label]
        np.testing.assert_allclose(cloud.mean(0), center, atol=0.1)
        np.testing.assert_allclose(np.cov(cloud.T), variance * np.eye(2), atol=0.08 * variance)


def test_a_spiral_is_two_arms_of_evenly_spaced_points_half_a_turn_apart():
    x, y = data.spiral(400, seed=0)
    steps = np.arange(200) / 200
    for label, start in ((1, 0.0), (0, 0.5)):
        arm = x[y == label]
        arm = arm[np.argsort(np.hypot(*arm.T))]
        turns = 2 * np.pi * (1.75 * steps + start)
        expected = 5 * steps[:, None] * np.stack([np.sin(turns), np.cos(turns)], 1)
        np.testing.assert_allclose(arm, expected, atol=1e-5)


@pytest.mark.parametrize("name", ["circle", "xor"])
def test_noise_changes_labels_but_not_points(name):
    clean, noisy = (SETS[name](4_000, noise=noise, seed=0) for noise in (0.0, 0.5))
    np.testing.assert_array_equal(clean.x, noisy.x)
    assert 0.05 < (clean.y != noisy.y).mean() < 0.5


def test_noise_moves_the_points_of_a_spiral_by_at_most_its_value():
    clean, noisy = (data.spiral(4_000, noise=noise, seed=0) for noise in (0.0, 0.5))
    np.testing.assert_array_equal(clean.y, noisy.y)
    moved = noisy.x - clean.x
    assert 0.49 < abs(moved).max() < 0.5 + 1e-5
    np.testing.assert_allclose(moved.std(0), 0.5 / np.sqrt(3), rtol=0.05)


def test_points_are_gaussians_about_their_centers():
    x, y = data.points(30_000, CENTERS, std=0.5, seed=0)
    for label, center in enumerate(CENTERS):
        cloud = x[y == label]
        assert len(cloud) == 10_000
        np.testing.assert_allclose(cloud.mean(0), center, atol=0.03)
        np.testing.assert_allclose(np.cov(cloud.T), 0.25 * np.eye(2), atol=0.02)
    np.testing.assert_array_equal(data.points(3, CENTERS, std=0, seed=0).x.sum(), 20)


def test_train_test_split_works_on_toy_data():
    rest, held_out = data.train_test_split(data.spiral(50, seed=0), 10, seed=0)
    assert (len(rest.y), len(held_out.y)) == (40, 10)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("n", [0, -3, 2.0, True])
def test_an_invalid_number_of_points_is_refused(name, n):
    with pytest.raises(data.DataError, match=f"{name} expects n to be a positive .* got {n}"):
        ALL[name](n, seed=0)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("noise", [-0.1, np.inf, np.nan])
def test_noise_that_is_negative_or_not_finite_is_refused(name, noise):
    with pytest.raises(data.DataError, match=f"{name} expects a finite noise .* got {noise}"):
        SETS[name](4, noise=noise, seed=0)


def test_points_refuse_invalid_centers_and_standard_deviations():
    with pytest.raises(data.DataError, match=r"\(classes, 2\), but got \(2,\); for a single"):
        data.points(4, [1, 2], seed=0)
    with pytest.raises(data.DataError, match=r"\(classes, 2\), but got \(2, 3\)"):
        data.points(4, [[1, 2, 3], [4, 5, 6]], seed=0)
    with pytest.raises(data.DataError, match=r"finite std of 0 or more, but got -1"):
        data.points(4, CENTERS, std=-1, seed=0)


@pytest.mark.parametrize("name", ALL)
def test_a_negative_seed_is_refused(name):
    with pytest.raises(data.DataError, match=f"{name} expects a seed of 0 or more, but got -1"):
        ALL[name](4, seed=-1)
