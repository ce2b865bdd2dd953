"""Augmentations: what they change in images and labels, and what they do not."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import ndimage
from scipy.special import log_softmax

from jaxnets import dense, flatten, losses, metrics, serial
from jaxnets.data import augment
from jaxnets.training import Batch, make_train_step

SHAPE = (6, 11, 8, 3)
X = np.random.default_rng(0).integers(
    1, 256, SHAPE, dtype=np.uint8
)  # without 0, which is filled in
Y = np.array([0, 1, 2, 0, 1, 2], np.int32)
NONE = {
    "shift": augment.shift(0),
    "crop": augment.crop(11, 8),
    "flip": augment.flip(0.0),
    "affine": augment.affine(),
    "cutout": augment.cutout(0),
    "erase": augment.erase(0.0),
    "chain": augment.chain(),
}
SOME = {
    "shift": augment.shift(2),
    "crop": augment.crop(9, 5, padding=1),
    "flip": augment.flip(),
    "affine": augment.affine(rotation=20, scale=0.2, shear=10, shift=1.5),
    "cutout": augment.cutout(4),
    "erase": augment.erase(),
    "mixup": augment.mixup(0.4, 3),
    "chain": augment.chain(augment.flip(), augment.cutout(2)),
}
EXACT = SOME.keys() - {"affine", "mixup"}  # those two interpolate


def run(part, x=X, y=Y, seed=0, compiled=True):
    part = jax.jit(part) if compiled else part
    return [np.asarray(a) for a in part(jax.random.key(seed), jnp.asarray(x), jnp.asarray(y))]


def dots(n=400, side=41, row=20, column=20):
    """Images with one bright pixel."""
    return np.zeros((n, side, side, 1), np.float32) + (
        (np.arange(side)[:, None, None] == row) & (np.arange(side)[None, :, None] == column)
    )


def middles(images):
    """The centre of mass of each image, relative to the image's centre, (n, 2)."""
    side = images.shape[1]
    at = np.arange(side) - (side - 1) / 2
    mass = images.sum((1, 2, 3))
    rows, columns = images.sum((2, 3)) @ at / mass, images.sum((1, 3)) @ at / mass
    return np.stack([rows, columns], 1)


@pytest.mark.parametrize("name", NONE)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_strength_0_changes_nothing(name, dtype):
    x, y = run(NONE[name], X.astype(dtype) / dtype(3) if dtype == np.float32 else X)
    assert x.dtype == dtype
    np.testing.assert_array_equal(x, X / dtype(3) if dtype == np.float32 else X)
    np.testing.assert_array_equal(y, Y)


@pytest.mark.parametrize("name", SOME)
def test_the_same_key_gives_the_same_result_and_another_key_a_different_one(name):
    first, again, other = (run(SOME[name], seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any() and (first != X[:, : first.shape[1], : first.shape[2]]).any()


@pytest.mark.parametrize("name", ["affine", "mixup", "chain"])  # the others move pixels like chain
def test_the_compiled_result_equals_the_eager_one(name):
    (x, y), (slow_x, slow_y) = run(SOME[name]), run(SOME[name], compiled=False)
    assert x.dtype == slow_x.dtype == X.dtype and len(x) == len(X)
    assert np.abs(x.astype(int) - slow_x).max() <= (name not in EXACT)  # rounding may differ
    np.testing.assert_allclose(y, slow_y, rtol=1e-6)


@pytest.mark.parametrize("name", sorted(SOME.keys() - {"mixup"}))
def test_the_change_of_an_image_depends_only_on_the_key_and_its_index(name):
    whole, _ = run(SOME[name])
    part, labels = run(SOME[name], X[:4], Y[:4])
    np.testing.assert_allclose(part, whole[:4], atol=name not in EXACT)
    np.testing.assert_array_equal(labels, Y[:4])
    different = [not (image == whole[0]).all() for image in run(SOME[name], X[:1].repeat(6, 0))[0]]
    assert any(different)


@pytest.mark.parametrize("name", sorted(SOME.keys() - {"crop"}))
@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (1, 7, 5, 3), (2, 1, 4, 1)])
def test_images_of_any_size_keep_shape_and_dtype(name, shape):
    for dtype in (jnp.uint8, jnp.bfloat16):
        given = jax.ShapeDtypeStruct(shape, dtype), jax.ShapeDtypeStruct(shape[:1], jnp.int32)
        x, y = jax.eval_shape(SOME[name], jax.random.key(0), *given)
        assert (x.shape, x.dtype) == (shape, dtype)
        assert y.shape == (shape[:1] if name != "mixup" else (shape[0], 3))


@pytest.mark.parametrize("name", ["affine", "mixup"])
def test_white_stays_white_without_wrapping_around(name):
    white = np.full((6, 11, 8, 3), 255, np.uint8)
    x, _ = run(SOME[name], white)
    assert (x[:, 4:7, 3:5] == 255).all()


@pytest.mark.parametrize("name", ["shift", "crop"])
def test_a_shift_and_a_crop_keep_a_window_of_the_padded_image(name):
    padding = {"shift": 2, "crop": 1}[name]
    edge = (padding, padding)
    padded = np.pad(X, ((0, 0), edge, edge, (0, 0)))
    for image, whole in zip(run(SOME[name])[0], padded, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(whole, image.shape)[:, :, 0]
        assert (windows == image).all((2, 3, 4)).sum() == 1


def test_every_crop_is_as_likely_as_any_other():
    x = np.arange(12, dtype=np.uint8).reshape(1, 3, 4, 1).repeat(1200, 0)
    corners = np.unique(run(augment.crop(2, 2), x, np.zeros(1200))[0][:, 0, 0, 0], return_counts=1)
    np.testing.assert_array_equal(corners[0], [0, 1, 2, 4, 5, 6])
    assert np.abs(corners[1] - 200).max() < 60


def test_flip_flips_some_images_horizontally():
    x = X[:1].repeat(400, 0)
    flipped, _ = run(augment.flip(0.25), x, np.zeros(400))
    mirrored = (flipped == x[:, :, ::-1]).all((1, 2, 3))
    assert (mirrored | (flipped == x).all((1, 2, 3))).all()
    assert 70 < mirrored.sum() < 130
    np.testing.assert_array_equal(run(augment.flip(1.0))[0], X[:, :, ::-1])


@pytest.mark.parametrize("channels", [1, 3])
def test_warp_is_scipys_affine_transform(channels):
    random = np.random.default_rng(channels)
    x = X[..., :channels]
    matrix = np.eye(2) + random.uniform(-0.4, 0.4, (6, 2, 2))
    offset = random.uniform(-4, 4, (6, 2))
    actual = jax.jit(augment.warp)(jnp.asarray(x), jnp.asarray(matrix), jnp.asarray(offset))
    for image, ours, linear, start in zip(x, np.asarray(actual), matrix, offset, strict=True):
        for c in range(channels):
            of = image[..., c].astype(float)
            theirs = ndimage.affine_transform(of, linear, start, order=1, mode="grid-constant")
            assert np.abs(ours[..., c] - theirs).max() <= 0.51  # rounded to a grey level


def test_rotation_keeps_the_distance_from_the_centre_and_goes_both_ways():
    x, _ = run(augment.affine(rotation=30), dots(column=30), np.zeros(400))
    row, column = middles(x).T
    np.testing.assert_allclose(np.hypot(row, column), 10, atol=0.12)
    angles = np.rad2deg(np.arctan2(row, column))
    assert angles.min() > -30.5 and angles.max() < 30.5 and np.ptp(angles) > 55


def test_scaling_moves_pixels_along_the_ray_from_the_centre():
    x, _ = run(augment.affine(scale=0.2), dots(row=26, column=28), np.zeros(400))
    row, column = middles(x).T
    np.testing.assert_allclose(row / column, 6 / 8, atol=0.05)
    assert 7.8 < np.hypot(row, column).min() < 8.2 and 11.8 < np.hypot(row, column).max() < 12.2


def test_shearing_moves_pixels_only_along_rows():
    x, _ = run(augment.affine(shear=45), dots(row=30), np.zeros(400))
    row, column = middles(x).T
    np.testing.assert_allclose(row, 10, atol=1e-4)
    assert -10.1 < column.min() < -9.5 and 9.5 < column.max() < 10.1


def test_a_fractional_shift_goes_both_ways():
    x, _ = run(augment.affine(shift=2.5), dots(), np.zeros(400))
    np.testing.assert_allclose(x.sum((1, 2, 3)), 1, rtol=1e-5)
    for moved in middles(x).T:
        assert -2.51 < moved.min() < -2.4 and 2.4 < moved.max() < 2.51
        assert len(np.unique(moved.round(3))) > 300


@pytest.mark.parametrize("size", [3, 4, 30])
def test_a_cutout_is_a_square_about_a_pixel_clipped_at_the_border(size):
    cut, _ = run(augment.cutout(size))
    holes = set()
    for row in range(11):
        for column in range(8):
            hole = np.zeros((11, 8), bool)
            top, left = row - size // 2, column - size // 2
            hole[max(top, 0) : top + size, max(left, 0) : left + size] = True
            holes.add(hole.tobytes())
    for image, before in zip(cut, X, strict=True):
        hole = (image == 0).all(-1)
        assert hole.tobytes() in holes
        np.testing.assert_array_equal(image[~hole], before[~hole])


def test_an_erased_rectangle_is_inside_and_has_the_given_area_and_aspect():
    x = np.ones((400, 30, 20, 1), np.float32)
    erased, _ = run(augment.erase(0.75, area=(0.1, 0.2), aspect=0.5), x, np.zeros(400))
    holes = [np.nonzero(image[..., 0] == 0) for image in erased]
    holes = [hole for hole in holes if len(hole[0])]
    assert 270 < len(holes) < 330
    for rows, columns in holes:
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert len(rows) == height * width  # the rectangle is completely erased
        assert 0.1 - 0.03 < height * width / 600 < 0.2 + 0.03  # sides are whole pixels
        assert 0.45 < height / width < 2.2
    tops = np.array([rows.min() for rows, _ in holes])
    assert tops.min() == 0 and max(rows.max() for rows, _ in holes) == 29


def test_mixup_mixes_images_and_labels_with_the_same_weights():
    x = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    mixed, labels = run(SOME["mixup"], x)
    assert labels.dtype == np.float32
    np.testing.assert_allclose(labels.sum(1), 1, rtol=1e-6)
    weights = labels[np.arange(6), Y]  # adjacent examples have different classes
    assert len(set(weights.tolist())) == 6 and ((weights >= 0) & (weights <= 1)).all()
    w = weights[:, None, None, None]
    np.testing.assert_allclose(mixed, w * x + (1 - w) * np.roll(x, 1, 0), rtol=1e-4, atol=1e-5)


def test_the_weights_of_mixup_are_from_a_beta_distribution():
    labels = np.stack([run(SOME["mixup"], seed=seed)[1] for seed in range(300)])
    weights = labels[:, np.arange(6), Y]
    variance = 1 / (4 * (2 * 0.4 + 1))  # the variance of Beta(a, a)
    assert abs(weights.mean() - 0.5) < 0.03 and abs(weights.var() - variance) < 0.01


def test_mixup_of_strength_0_converts_labels_to_probabilities():
    x, labels = run(augment.mixup(0.0, 3))
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(labels, np.eye(3)[Y])
    _, labels = run(augment.mixup(0.0, 2))
    assert np.isnan(labels[Y == 2]).all()
    _, again = run(augment.mixup(0.0, 3), X, np.eye(3)[Y])
    np.testing.assert_array_equal(again, np.eye(3)[Y])


def test_the_parts_of_a_chain_have_independent_keys():
    flips = augment.chain(augment.flip(), augment.flip())
    x = X[:1].repeat(64, 0)
    assert (run(flips, x, np.zeros(64))[0] != x).any()  # independent flips


def test_a_train_step_accepts_augmentations_with_traced_strengths():
    def train_step(hparams):
        return make_train_step(
            serial(flatten, ("fc", dense(3))),
            optax.sgd(0.1),
            losses.softmax_cross_entropy,
            metrics={"accuracy": metrics.accuracy},
            augment=augment.chain(
                augment.affine(rotation=hparams["rotation"]), augment.mixup(hparams["mixup"], 3)
            ),
        )

    x = X[:, :4, :4] / np.float32(255)
    batch = Batch(jnp.asarray(x), jnp.asarray(Y), jnp.ones(6))
    step = jax.jit(lambda state, batch, hparams: train_step(hparams)(state, batch))
    none = {"rotation": 0.0, "mixup": 0.0}
    start = train_step(none).init(jax.random.key(0), batch.x)
    logits = x.reshape(6, -1) @ start.params["fc"]["kernel"]  # the bias is 0
    plain = -log_softmax(np.asarray(logits), 1)[np.arange(6), Y].mean()
    _, sums = step(start, batch, none)
    np.testing.assert_allclose(sums["objective"], plain, rtol=1e-5)
    _, sums = step(start, batch, {"rotation": 90.0, "mixup": 1.0})
    assert abs(sums["objective"] - plain) > 1e-3
    assert sums["accuracy"][0] in range(7)


WRONG = {
    "shift expects pixels": lambda: augment.shift(-1),
    "shift expects pixels to be an integer": lambda: augment.shift(1.5),
    "crop expects height": lambda: augment.crop(0, 3),
    "crop expects padding": lambda: augment.crop(3, 3, padding=-1),
    "crop expects a window of at most 11 x 8 .*; pad more": lambda: run(augment.crop(12, 8)),
    "flip expects rate from 0 to 1, but got 1.5": lambda: augment.flip(1.5),
    "affine expects rotation": lambda: augment.affine(rotation=-10),
    "affine expects scale": lambda: augment.affine(scale=1.0),
    "affine expects shear": lambda: augment.affine(shear=90),
    "affine expects shift": lambda: augment.affine(shift=float("nan")),
    "cutout expects size": lambda: augment.cutout(True),
    "erase expects rate": lambda: augment.erase(-0.1),
    "erase expects the smallest area": lambda: augment.erase(area=(0.5, 0.4)),
    "erase expects the largest area": lambda: augment.erase(area=(0.5, 1.4)),
    "erase expects aspect": lambda: augment.erase(aspect=2),
    "mixup expects strength": lambda: augment.mixup(-1, 3),
    "mixup expects n_classes": lambda: augment.mixup(1, 1),
    "mixup expects integer class numbers .* another n_classes": lambda: run(
        augment.mixup(0.0, 3), X, np.eye(4)[Y]
    ),
}


@pytest.mark.parametrize("message", WRONG)
def test_an_invalid_strength_is_refused(message):
    with pytest.raises(ValueError, match=message):
        WRONG[message]()


@pytest.mark.parametrize("name", sorted(SOME.keys() - {"mixup", "chain"}))
def test_an_input_that_is_not_a_batch_of_images_is_refused_with_the_cure(name):
    with pytest.raises(ValueError, match=rf"{name} expects images .* \(6, 11, 8\); add an axis"):
        jax.eval_shape(SOME[name], jax.random.key(0), X[..., 0], Y)


def test_a_chain_with_a_part_that_is_not_a_function_is_refused_with_the_cure():
    with pytest.raises(TypeError, match=r"at position 1; write augment\.flip\(\)"):
        augment.chain(augment.flip(), "flip")
