"""Edge cases of images in HWNC: sizes, dtypes, and values that are not finite."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, assert_same, normal
from jax.nn import relu

from jaxnets import batch_norm, conv, lowering, max_pool, serial


def block(pool, **options):
    """A convolution that changes the layout, and operations before and after it."""
    return serial(
        ("conv1", conv(4, (3, 3), use_bias=False, **options)),
        ("norm", batch_norm()),
        relu,
        ("conv2", conv(4, (3, 3))),
        pool,
    )


UNPOOLED = block(max_pool((1, 1)))
POOLED = block(max_pool((2, 2)))
PIXELS = jnp.arange(4 * 6 * 7 * 4, dtype=jnp.uint8).reshape(4, 6, 7, 4)
EDGES = {
    "one pixel": (UNPOOLED, normal(3, 1, 1, 4)),
    "one row": (UNPOOLED, normal(3, 1, 9, 4)),
    "one column, one example": (UNPOOLED, normal(1, 9, 1, 4)),
    "an empty batch": (POOLED, normal(0, 6, 7, 4)),
    "integers": (POOLED, PIXELS),
    "strides": (block(max_pool((2, 2)), strides=2), normal(3, 6, 7, 4)),
    "dilation": (block(max_pool((2, 2)), dilation=2), normal(3, 6, 7, 4)),
    "groups": (block(max_pool((2, 2)), groups=2), normal(3, 6, 7, 4)),
    "pools that overlap": (block(max_pool((3, 3), strides=2)), normal(3, 6, 7, 4)),
    "pools with padding": (block(max_pool((2, 2), padding="SAME")), normal(3, 6, 7, 4)),
    "huge": (POOLED, 1e15 * normal(3, 6, 7, 4)),
    # without a pool: the values are equal up to the norm's epsilon, so the maximum is not unique
    "tiny": (UNPOOLED, 1e-30 * normal(3, 6, 7, 4)),
}


def start(model, x):
    """Variables of both signs, with a running variance other than 1."""
    params, state = jax.device_get(jax.jit(model.init)(jax.random.key(0), x))
    leaves, structure = jax.tree.flatten(params)
    noise = [np.float32(0.3) * np.asarray(normal(*a.shape, seed=i)) for i, a in enumerate(leaves)]
    moved = jax.tree.map(np.add, leaves, noise)
    state = jax.tree.map(lambda leaf: leaf + np.float32(0.25), state)
    return jax.tree.unflatten(structure, moved), state


def output_state_and_gradients(model, params, state, x, layout, train=True):
    @jax.jit
    def run(params, x):
        def forward(params, x):
            return layout(lambda *args: model.apply(*args, train=train))(params, state, x)

        (y, new_state), pull = jax.vjp(forward, params, x)
        g = jnp.cos(jnp.arange(y.size, dtype=jnp.float32)).reshape(y.shape).astype(y.dtype)
        by_params, by_x = pull((g, jax.tree.map(jnp.zeros_like, new_state)))
        return y, new_state, by_params, None if by_x.dtype == jax.dtypes.float0 else by_x

    return run(params, x)


def as_it_stands(f):
    return f


@pytest.mark.parametrize(("model", "x"), EDGES.values(), ids=EDGES)
def test_edge_cases_of_sizes_equal_the_network_in_nhwc(model, x):
    params, state = start(model, x)
    plain = output_state_and_gradients(model, params, state, x, as_it_stands)
    hwnc = output_state_and_gradients(model, params, state, x, lowering.in_hwnc)
    assert jax.tree.map(lambda a: a.dtype, hwnc) == jax.tree.map(lambda a: a.dtype, plain)
    assert_close(hwnc, plain, tolerance=2e-4)


@pytest.mark.parametrize("half", [jnp.bfloat16, jnp.float16])
def test_a_16_bit_network_is_unchanged(half):
    params, state = start(POOLED, normal(3, 6, 7, 4))
    params, x = jax.tree.map(lambda a: a.astype(half), (params, normal(3, 6, 7, 4)))
    plain = output_state_and_gradients(POOLED, params, state, x, as_it_stands)
    assert_same(output_state_and_gradients(POOLED, params, state, x, lowering.in_hwnc), plain)


def test_float64_keeps_its_precision():
    with jax.enable_x64(True):
        x = jnp.asarray(np.random.default_rng(0).normal(size=(3, 6, 7, 4)))
        params, state = jax.tree.map(lambda a: a.astype(jnp.float64), start(POOLED, x))
        plain, hwnc = (
            jax.tree.map(np.asarray, output_state_and_gradients(POOLED, params, state, x, layout))
            for layout in (as_it_stands, lowering.in_hwnc)
        )
    assert {leaf.dtype.name for leaf in jax.tree.leaves(hwnc)} == {"float64"}
    assert_close(hwnc, plain, tolerance=1e-11)


APPLY, APPLY_IN_HWNC = jax.jit(POOLED.apply), jax.jit(lowering.in_hwnc(POOLED.apply))


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan, 1e38])
def test_values_that_are_not_finite_affect_only_their_image_and_stay_so(bad):
    x = normal(3, 12, 11, 4)
    params, state = start(POOLED, x)
    for place in ((0, 0), (5, 6), (11, 10)):
        marked = x.at[1, *place, 2].set(bad)
        plain = np.asarray(APPLY(params, state, marked)[0])
        actual = np.asarray(APPLY_IN_HWNC(params, state, marked)[0])
        assert np.isfinite(actual[[0, 2]]).all()
        seen = np.isfinite(actual)
        assert np.isfinite(plain[seen]).all()
        assert_close(actual[seen], plain[seen], tolerance=2e-4)
        assert np.isfinite(plain[1]).any() or bad == 1e38


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_a_kernel_value_that_is_not_finite_affects_only_its_feature(bad):
    x = normal(2, 6, 7, 4)
    params, state = start(POOLED, x)
    params["conv2"]["kernel"][1, 1, 0, 2] = bad
    plain = np.asarray(APPLY(params, state, x)[0])
    actual = np.asarray(APPLY_IN_HWNC(params, state, x)[0])
    seen = np.isfinite(actual)
    assert seen[..., [0, 1, 3]].all()
    assert np.isfinite(plain[seen]).all()


SCALED = serial(("conv", conv(4, (3, 3))), ("norm", batch_norm()), max_pool((2, 2)))


def gradient_of_scale(layout, scale):
    x = normal(3, 6, 8, 4)
    params, state = start(SCALED, x)
    params["norm"] = {"scale": jnp.full(4, scale), "bias": jnp.zeros(4)}
    y, _, by_params, _ = output_state_and_gradients(SCALED, params, state, x, layout)
    return y, by_params["norm"]["scale"]


def test_a_scale_of_0_before_a_pool_has_the_gradient_of_a_small_positive_one():
    zeros, actual = gradient_of_scale(lowering.in_hwnc, 0.0)
    assert not zeros.any()
    _, above = gradient_of_scale(as_it_stands, 1e-20)
    assert_close(actual, above, tolerance=1e-4)
    _, of_the_first = gradient_of_scale(as_it_stands, 0.0)
    assert np.abs(of_the_first - above).max() > 0.1 * np.abs(above).max()


def test_a_pool_of_equal_values_gives_the_gradient_to_the_first():
    model = serial(("conv", conv(4, (3, 3))), max_pool((2, 2)))
    x = jnp.zeros((2, 4, 4, 4)).at[:, 0].set(1)
    params, state = model.init(jax.random.key(0), x)
    params["conv"] = {"kernel": 0 * params["conv"]["kernel"], "bias": jnp.arange(4.0)}
    plain = output_state_and_gradients(model, params, state, x, as_it_stands)
    assert_close(output_state_and_gradients(model, params, state, x, lowering.in_hwnc), plain)


@pytest.mark.parametrize(("bad", "is_lost"), [(np.nan, False), (np.inf, False), (-np.inf, True)])
def test_only_minus_infinity_is_lost_before_a_factor_of_0(bad, is_lost):
    """The exception that the docstring of `in_hwnc` describes."""
    layer, x = conv(4, (3, 3)), normal(1, 2, 2, 4)
    params, state = layer.init(jax.random.key(0), x)
    hole, factor = jnp.zeros(x.shape, bool).at[0, 1, 1, 2].set(True), jnp.zeros((1, 1, 1, 4))

    def forward(x, factor):
        y = factor * jnp.where(hole, bad, layer.apply(params, state, x)[0])
        return max_pool((2, 2))(y)[0, 0, 0]

    np.testing.assert_array_equal(jax.jit(forward)(x, factor), [0, 0, np.nan, 0])
    actual = jax.jit(lowering.in_hwnc(forward))(x, factor)
    np.testing.assert_array_equal(actual, [0, 0, 0 if is_lost else np.nan, 0])


def in_both_layouts(f, *arguments):
    """The results in HWNC and in NHWC."""
    return jax.jit(lowering.in_hwnc(f))(*arguments), jax.jit(f)(*arguments)


LAYER, IMAGES = conv(4, (3, 3)), normal(3, 4, 5, 4)
VARIABLES = jax.jit(LAYER.init)(jax.random.key(0), IMAGES)


def test_a_number_divided_by_images_is_pooled_after_the_division():
    def forward(x):
        return max_pool((2, 2))(1 / (1 + jnp.exp(LAYER.apply(*VARIABLES, x)[0])))

    assert_close(*in_both_layouts(forward, IMAGES))


def test_a_reduction_over_any_axes_keeps_the_order_of_the_others():
    def forward(x):
        y = LAYER.apply(*VARIABLES, x)[0]
        return [y.max(axes) for axes in (0, 1, 2, 3, (0, 1), (0, 3), (1, 2), (1, 3), (0, 1, 2))]

    assert_close(*in_both_layouts(forward, IMAGES))


def test_an_image_without_rows_is_only_padding():
    x, kernel = jnp.ones((2, 0, 5, 4)), normal(3, 3, 4, 2)

    def f(x, kernel):
        return lowering.conv(x, kernel, (1, 1), ((2, 2), (1, 1)), (1, 1), 1)

    assert_same(jax.jit(lowering.in_hwnc(f))(x, kernel), jnp.zeros((2, 2, 5, 2)))
