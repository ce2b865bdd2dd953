"""Attention: Flax's, with masks in which True means "may attend", and with a cache."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen
from helpers import assert_close, normal

from jaxnets import (
    LayerError,
    attention,
    dot_product_attention,
    learned_positions,
    serial,
    sinusoidal_positions,
)

X = normal(2, 5, 6)


def qkv():
    return normal(2, 4, 3, 5), normal(2, 6, 3, 5, seed=1), normal(2, 6, 3, 5, seed=2)


def squares(apply):
    return lambda *arguments: jnp.square(apply(*arguments)).sum()


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("heads", [1, 3])
def test_output_and_gradients_are_those_of_flax(heads, causal):
    layer, theirs = attention(heads, causal=causal), linen.MultiHeadDotProductAttention(heads)
    params, _ = jax.jit(layer.init)(jax.random.key(0), X)
    params = jax.tree.map(lambda leaf: np.asarray(leaf) + np.float32(0.1), params)
    mask = linen.make_causal_mask(X[..., 0]) if causal else None

    def ours(params, x):
        return layer.apply(params, {}, x)[0]

    def linens(params, x):
        return theirs.apply({"params": params}, x, mask=mask)

    assert_close(jax.jit(ours)(params, X), jax.jit(linens)(params, X), 1e-5)
    gradients = (jax.jit(jax.grad(squares(f), (0, 1)))(params, X) for f in (ours, linens))
    # The gradient of the keys' bias is 0: it adds the same to all scores of a position.
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), *gradients)


def test_the_params_have_the_names_and_shapes_of_flax():
    params, _ = jax.eval_shape(attention(3).init, jax.random.key(0), X)
    theirs = linen.MultiHeadDotProductAttention(3)
    theirs = jax.eval_shape(theirs.init, jax.random.key(0), X)["params"]
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, theirs)


def test_true_in_a_mask_means_may_attend():
    q, k, v = qkv()
    mask = jax.random.bernoulli(jax.random.key(0), 0.5, (2, 3, 4, 6)).at[..., 0].set(True)
    expected = jax.nn.dot_product_attention(q, k, v, mask=mask)
    assert_close(dot_product_attention(q, k, v, mask), expected, 1e-5)
    only_first = jnp.arange(6)[None, None, None] == 0
    y = dot_product_attention(q, k, v, only_first)
    assert_close(y, jnp.broadcast_to(v[:, :1], y.shape), 1e-6)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_position_that_may_attend_to_nothing_gets_0_and_finite_gradients(dtype):
    q, k, v = (a.astype(dtype) for a in qkv())
    mask = jnp.ones((1, 1, 4, 6), bool).at[:, :, 1].set(False)
    y = dot_product_attention(q, k, v, mask)
    assert not y[:, 1].any() and (y[:, 0] != 0).all()
    gradients = jax.jit(jax.grad(squares(dot_product_attention), (0, 1, 2)))(q, k, v, mask)
    assert all(jnp.isfinite(g).all() for g in gradients) and not gradients[0][:, 1].any()


def test_large_scores_do_not_overflow():
    q, k, v = qkv()
    y = dot_product_attention(1e4 * q, 1e4 * k, v)
    best = jnp.einsum("bqhd,bkhd->bhqk", q, k).argmax(-1)
    expected = jnp.take_along_axis(v, best.transpose(0, 2, 1)[..., None], axis=1)
    assert_close(y, expected, 1e-5)


def test_causal_attention_does_not_see_later_steps():
    layer = attention(2, causal=True)
    params, _ = jax.jit(layer.init)(jax.random.key(0), X)
    later = np.arange(5)[:, None] >= 3
    x = np.stack([X, np.where(later, 9, X)])
    y, changed = np.asarray(jax.jit(jax.vmap(lambda x: layer.apply(params, {}, x)[0]))(x))
    assert_close(y[:, :3], changed[:, :3], 1e-6)
    assert (abs(y[:, 3:] - changed[:, 3:]) > 1e-3).any()


def with_positions(cache):
    return serial(
        ("learned", learned_positions(8, cache=cache is not None)),
        ("sine", sinusoidal_positions(cache=cache is not None)),
        ("attention", attention(2, causal=True, cache=cache)),
    )


WITH_CACHE, WITHOUT = with_positions(7), with_positions(None)


def cached_and_full(cuts):
    """The outputs step by step with caches, and at once without, of attention with positions."""
    params, state = jax.jit(WITH_CACHE.init)(jax.random.key(0), X)
    full, _ = jax.jit(WITHOUT.apply)(params, {}, X)
    parts, steps = [], jnp.split(X, cuts, axis=1)
    for step in steps:
        y, state = jax.jit(WITH_CACHE.apply)(params, state, step)
        parts.append(y)
    return jnp.concatenate(parts, axis=1), full, state


@pytest.mark.parametrize("cuts", [[], [3], [1, 2, 3, 4], [4]])
def test_a_cache_gives_the_same_steps_one_or_several_at_a_time(cuts):
    cached, full, state = cached_and_full(cuts)
    assert_close(cached, full, 1e-5)
    assert state["attention"]["index"] == state["learned"]["index"] == state["sine"]["index"] == 5


def test_steps_beyond_the_cache_or_the_table_are_nan_never_wrong():
    layer = attention(2, cache=4)
    apply = jax.jit(layer.apply)
    params, state = jax.jit(layer.init)(jax.random.key(0), X)
    _, state = apply(params, state, X[:, :3])
    y, _ = apply(params, state, X[:, :2])
    assert jnp.isnan(y).all()
    table = learned_positions(4, cache=True)
    params, _ = jax.jit(table.init)(jax.random.key(0), X[:, :4])
    y, _ = jax.jit(table.apply)(params, {"index": jnp.int32(3)}, X[:, :2])
    assert jnp.isfinite(y[:, 0]).all() and jnp.isnan(y[:, 1]).all()


def test_sinusoids_are_those_of_section_3_5():
    y, _ = sinusoidal_positions().apply({}, {}, jnp.zeros((1, 4, 6)))
    expected = np.array(
        [
            [f(t / 10_000 ** (2 * i / 6)) for i in range(3) for f in (np.sin, np.cos)]
            for t in range(4)
        ]
    )
    np.testing.assert_allclose(y[0], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: attention(0), "heads=1 or more"),
        (lambda: attention(4).init(jax.random.key(0), X), "another number of heads"),
        (lambda: attention(2).init(jax.random.key(0), X[0]), "time, features"),
        (lambda: attention(2, cache=0), "cache=1 or more"),
        (lambda: applied(attention(2, cache=5), X, train=True), "has the same params"),
        (lambda: applied(attention(2, cache=4), X), "a larger cache"),
        (lambda: applied(attention(2, cache=9), X, X[:1]), "call init with this batch"),
        (lambda: applied(attention(2), X, X[..., :4]), "call init with this input"),
        (lambda: learned_positions(3).init(jax.random.key(0), X), "at most 3 steps"),
        (lambda: applied(learned_positions(5), X[:, :4], X[0]), "time, features"),
        (lambda: learned_positions(0), "length=1 or more"),
        (lambda: sinusoidal_positions().init(jax.random.key(0), X[0]), "time, features"),
    ],
)
def test_misuse_is_refused_with_the_cure(call, message):
    with pytest.raises(LayerError, match=message):
        call()


def applied(layer, x, other=None, **options):
    params, state = layer.init(jax.random.key(0), x)
    return layer.apply(params, state, x if other is None else other, **options)
