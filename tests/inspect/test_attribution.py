"""Saliency and class-activation maps, against derivatives by hand."""

import jax
import jax.numpy as jnp
import pytest
from helpers import assert_close, assert_same, normal

from jaxnets import LayerError, conv, dense, flatten, global_avg_pool, serial
from jaxnets.inspect import class_activation, saliency

X = normal(3, 8, 6, 2)
CLASSES = jnp.array([2, 0, 1])
FRONT = serial(("conv", conv(4, (3, 3))), ("relu", jax.nn.relu))
MODEL = serial(("front", FRONT), ("pool", global_avg_pool), ("head", dense(3)))
PARAMS, STATE = MODEL.init(jax.random.key(0), X)


def test_the_saliency_of_a_linear_model_is_the_magnitude_of_its_weights():
    model = serial(flatten, ("head", dense(3)))
    params, state = model.init(jax.random.key(0), X)
    kernel = params["head"]["kernel"].reshape(8, 6, 2, 3)
    by_hand = jnp.abs(kernel[..., CLASSES]).max(2)
    assert_close(saliency(model, params, state, X, CLASSES), jnp.moveaxis(by_hand, -1, 0))


def test_before_a_global_average_pool_it_is_the_class_activation_map_of_zhou():
    maps, _ = FRONT.apply(PARAMS["front"], {}, X)
    weights = PARAMS["head"]["kernel"][:, CLASSES]  # by map and image
    by_hand = jnp.einsum("nhwk,kn->nhw", maps, weights)
    got = class_activation(MODEL, PARAMS, STATE, X, CLASSES, "front")
    assert (by_hand < 0).any() and (by_hand > 0).any()
    assert_close(got * 8 * 6, jnp.maximum(by_hand, 0))


def test_at_an_inner_layer_maps_are_weighted_by_their_mean_gradient():
    back = serial(("conv", conv(5, (3, 3))), flatten, ("head", dense(3)))
    model = serial(("front", FRONT), ("back", back))
    params, state = model.init(jax.random.key(0), X)

    def score(maps):
        return back.apply(params["back"], {}, maps)[0][jnp.arange(3), CLASSES].sum()

    @jax.jit
    def both(x):
        maps, _ = FRONT.apply(params["front"], {}, x)
        weights = jax.grad(score)(maps).mean((1, 2))
        by_hand = jnp.maximum(jnp.einsum("nhwk,nk->nhw", maps, weights), 0)
        return class_activation(model, params, state, x, CLASSES, "front"), by_hand

    assert_close(*both(X))


def test_custom_derivatives_are_kept():
    """Without ReLU's own rule, the derivative of max(x, 0) at 0 would be 1/2 instead of 0."""
    model = serial(("maps", lambda x: x), jax.nn.relu, global_avg_pool, ("head", dense(3)))
    params, state = model.init(jax.random.key(0), X)
    x = jnp.zeros_like(X).at[:, 0, 0].set(1)
    positive = jax.tree.map(jnp.ones_like, params)
    got = class_activation(model, positive, state, x, CLASSES, "maps")
    gradient_of_one = 1 / (8 * 6)  # of the mean over 8 x 6 pixels; one pixel is above 0
    assert_close(got[:, 0, 0], jnp.full(3, 2 * gradient_of_one / (8 * 6)))
    assert_same(got.at[:, 0, 0].set(0), jnp.zeros_like(got))


def test_an_unknown_layer_or_one_without_maps_is_refused_with_the_existing_names():
    names = r"'front', 'front/conv', 'front/relu', 'head', 'pool'"
    with pytest.raises(LayerError, match=rf"no output named 'conv'; it has \[{names}\]"):
        class_activation(MODEL, PARAMS, STATE, X, CLASSES, "conv")
    with pytest.raises(LayerError, match=r"feature maps .* 'pool' is \(3, 4\); choose an"):
        class_activation(MODEL, PARAMS, STATE, X, CLASSES, "pool")
