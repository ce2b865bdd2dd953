"""Every public layer and function with an input, for the tests of laws."""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import normal

from jaxnets import (
    Layer,
    attention,
    avg_pool,
    bag_of_words,
    batch_norm,
    bidirectional,
    conv,
    conv_transpose,
    dense,
    depthwise_conv,
    dot_product_attention,
    dropout,
    each_step,
    embedding,
    flatten,
    gaussian_noise,
    global_avg_pool,
    global_max_pool,
    group_norm,
    gru,
    heaviside,
    instance_norm,
    last_step,
    layer_norm,
    learned_positions,
    local_response_norm,
    lowering,
    lstm,
    max_over_time,
    max_pool,
    mean_over_time,
    network,
    pixel_shuffle,
    prelu,
    recurrent,
    rms_norm,
    scale_pixels,
    scan_over_time,
    separable_conv,
    serial,
    simple_rnn,
    sinusoidal_positions,
    spectral_norm,
    squeeze_and_excitation,
    stochastic_depth,
    stochastic_pool,
    sum_pool,
    upsample,
    weight_norm,
)


@dataclass(frozen=True, eq=False)  # a key of caches
class Case:
    """A layer and an input; `plain` is the layer with XLA's operations only."""

    layer: Layer
    x: jax.Array
    plain: Layer | None = None


def conv_case(x, *sizes, make=conv, plain=lowering.plain_conv, **options):
    return Case(make(*sizes, **options), x, make(*sizes, **options, convolve=plain))


conv_transpose_case = partial(conv_case, make=conv_transpose, plain=lowering.plain_conv_transpose)


def max_pool_case(x, window, **options):
    plain = max_pool(window, **options, pool=lowering.plain_max_pool)
    return Case(serial(max_pool(window, **options)), x, serial(plain))


@network(fc=dense(5), norm=batch_norm(), drop=dropout(0.5))
def residual(x, *, fc, norm, drop):
    return x + drop(jnp.tanh(norm(fc(x))))


@network(fc=dense(5), norm=batch_norm())
def shared(x, *, fc, norm):
    return norm(fc(jnp.tanh(norm(fc(x)))))


@network(mix=dense(3), norm=batch_norm())
def recurrent_cell(carry_and_x, *, mix, norm):
    carry = jnp.tanh(norm(mix(jnp.concatenate(carry_and_x, axis=-1))))
    return carry, carry


def recurrent_case(make, plain):
    return Case(make(3), line, make(3, scan=plain))


def small_cnn(convolve, pool):
    return serial(
        ("conv", conv(3, (3,), convolve=convolve)),
        jnp.tanh,
        max_pool((3,), pool=pool),
        flatten,
        ("head", dense(2)),
    )


def first_carry(x):
    return jnp.zeros((x.shape[0], 3), jnp.promote_types(x.dtype, jnp.float32))


line, image, table = normal(3, 9, 4), normal(3, 7, 6, 4), normal(4, 5)
volume, small = normal(2, 3, 4, 3, 2), normal(2, 3, 2, 4)
pixels = jnp.arange(48, dtype=jnp.uint8).reshape(2, 3, 4, 2)
tokens = jnp.arange(12).reshape(3, 4)

# The first word of each name is the public name.
LAYERS = {
    "dense": Case(dense(3), table),
    "dense without a bias": Case(dense(3, use_bias=False), image),
    "conv 1-D": conv_case(line, 4, (3,), strides=2, padding=((1, 2),)),
    "conv causal": conv_case(line, 4, (3,), dilation=2, padding="CAUSAL"),
    "conv 2-D": conv_case(image, 4, (3, 2), strides=(2, 1)),
    "conv 2-D dilated and grouped": conv_case(
        image, 4, (2, 2), dilation=(2, 1), groups=2, padding="VALID", use_bias=False
    ),
    "conv_transpose 1-D": conv_transpose_case(line, 2, (3,), strides=2, padding=((1, 0),)),
    "conv_transpose 2-D": conv_transpose_case(image, 2, (3, 2), strides=(1, 3)),
    "conv 3-D": conv_case(volume, 3, (2, 3, 2), strides=(1, 2, 1)),
    "conv_transpose 3-D, dilated and grouped": conv_transpose_case(
        volume, 4, (2, 1, 2), strides=(2, 1, 1), dilation=(1, 1, 2), groups=2
    ),
    "depthwise_conv": conv_case(image, (2, 3), multiplier=2, strides=(2, 1), make=depthwise_conv),
    "separable_conv": conv_case(line, 3, (2,), dilation=2, make=separable_conv),
    "batch_norm": Case(batch_norm(decay=0.5), image),
    "layer_norm": Case(layer_norm(), table),
    "group_norm": Case(group_norm(2), image),
    "instance_norm": Case(instance_norm(), image),
    "rms_norm": Case(rms_norm(), table),
    "dropout": Case(dropout(0.5), table),
    "dropout classic": Case(dropout(0.5, mode="classic"), table),
    "stochastic_depth": Case(stochastic_depth(0.5), small),
    "gaussian_noise": Case(gaussian_noise(0.5), table),
    "stochastic_pool": Case(stochastic_pool((2, 2)), image),
    "stochastic_pool dilated": Case(stochastic_pool((2, 2), dilation=2, ceil_mode=True), image),
    "prelu": Case(prelu(), image),
    "prelu with shared axes": Case(prelu(shared_axes=(1,)), small),
    "weight_norm": Case(
        weight_norm(conv(3, (2, 2))),
        small,
        weight_norm(conv(3, (2, 2), convolve=lowering.plain_conv)),
    ),
    "spectral_norm": Case(spectral_norm(dense(3)), table),
    "squeeze_and_excitation": Case(squeeze_and_excitation(2), small),
    "embedding": Case(embedding(12, 3), tokens),
    "bag_of_words": Case(bag_of_words(12, 3), tokens),
    "attention": Case(attention(2), line),
    "attention causal": Case(attention(1, causal=True), line),
    "learned_positions": Case(learned_positions(10), line),
    "sinusoidal_positions": Case(sinusoidal_positions(), line),
    "serial": Case(
        small_cnn(lowering.conv, lowering.max_pool),
        line,
        small_cnn(lowering.plain_conv, lowering.plain_max_pool),
    ),
    "network with a residual": Case(residual, table),
    "network with children called twice": Case(shared, table),
    "scan_over_time": Case(scan_over_time(recurrent_cell, first_carry), line),
    "recurrent": Case(recurrent(recurrent_cell, first_carry), line),
    "simple_rnn": Case(simple_rnn(3), line),
    "lstm": recurrent_case(lstm, lowering.plain_lstm),
    "gru": recurrent_case(gru, lowering.plain_gru),
    "bidirectional": Case(bidirectional(simple_rnn(2)), line),
    "each_step": Case(each_step(dense(3)), line),
}
FUNCTIONS = {
    "dot_product_attention": Case(serial(lambda x: dot_product_attention(x, x, x)), image),
    "max_pool": max_pool_case(image, (2, 2)),
    "max_pool overlapping": max_pool_case(image, (3, 3), strides=2, padding="SAME"),
    "max_pool 1-D": max_pool_case(line, (3,)),
    "max_pool dilated": max_pool_case(image, (2, 3), dilation=(3, 2), strides=1, padding="SAME"),
    "max_pool 3-D in ceil mode": max_pool_case(volume, (2, 3, 2), ceil_mode=True),
    "avg_pool": Case(serial(avg_pool((2, 2))), image),
    "avg_pool overlapping": Case(serial(avg_pool((3, 3), strides=2, padding="SAME")), image),
    "avg_pool 3-D in ceil mode": Case(
        serial(avg_pool((2, 2, 2), dilation=(1, 2, 1), ceil_mode=True)), volume
    ),
    "sum_pool": Case(serial(sum_pool((2, 2))), image),
    "sum_pool overlapping": Case(serial(sum_pool((3, 3), strides=2, padding="SAME")), image),
    "sum_pool dilated": Case(serial(sum_pool((2,), strides=1, dilation=3)), line),
    "global_avg_pool": Case(serial(global_avg_pool), image),
    "global_max_pool": Case(serial(global_max_pool), image),
    "last_step": Case(serial(last_step), line),
    "mean_over_time": Case(serial(mean_over_time), line),
    "max_over_time": Case(serial(max_over_time), line),
    "heaviside": Case(serial(heaviside), image),
    "local_response_norm": Case(serial(local_response_norm(3, alpha=0.5)), image),
    "flatten": Case(serial(flatten), image),
    "flatten from another axis": Case(serial(partial(flatten, start=2)), small),
    "upsample": Case(serial(upsample((2, 3))), small),
    "upsample linearly": Case(serial(upsample(2, method="linear")), small),
    "pixel_shuffle": Case(serial(pixel_shuffle(2)), small),
    "scale_pixels": Case(serial(scale_pixels((0.5, 0.2), (0.3, 0.4))), pixels),
}
CASES = LAYERS | FUNCTIONS

# By case first, so that the laws of one case share its programs.
over_layers = pytest.mark.parametrize("case", LAYERS.values(), ids=LAYERS, scope="module")
over_all = pytest.mark.parametrize("case", CASES.values(), ids=CASES, scope="module")


def has_kernel(case):
    """Whether the layer has an array of weights that it multiplies with the input."""
    params, _ = jax.eval_shape(case.layer.init, jax.random.key(0), case.x)
    names = {path[-1].key for path, _ in jax.tree_util.tree_leaves_with_path(params)}
    return bool(names & {"kernel", "embedding"})


def as_float64(tree):
    def cast(leaf):
        leaf = np.asarray(leaf)
        return leaf.astype(np.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(cast, tree)
