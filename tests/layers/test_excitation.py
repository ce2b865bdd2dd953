"""Squeeze-and-excitation against NumPy."""

import jax
import numpy as np
import pytest
from helpers import assert_close, normal

from jaxnets import LayerError, squeeze_and_excitation


@pytest.mark.parametrize("space", [(5,), (4, 3), (2, 3, 2)])
def test_each_channel_is_scaled_by_a_factor_computed_from_all_channel_means(space):
    layer, x = squeeze_and_excitation(2), normal(3, *space, 6)
    params, state = layer.init(jax.random.key(0), x)
    params = jax.tree.map(lambda leaf: leaf + 0.1, params)
    assert state == {} and params["squeeze"]["kernel"].shape == (6, 3)
    first, second = (
        {name: np.asarray(leaf) for name, leaf in params[part].items()}
        for part in ("squeeze", "excite")
    )
    means = np.asarray(x).reshape(3, -1, 6).mean(1)
    hidden = np.maximum(means @ first["kernel"] + first["bias"], 0)
    factors = 1 / (1 + np.exp(-(hidden @ second["kernel"] + second["bias"])))
    expected = np.asarray(x) * factors.reshape(3, *(1,) * len(space), 6)
    assert_close(layer.apply(params, {}, x)[0], expected, 1e-6)


def test_fewer_channels_than_the_ratio_and_other_inputs_are_refused():
    with pytest.raises(LayerError, match=r"\(16\) expects .* at least 16 channels.*\(2, 3, 8\)"):
        squeeze_and_excitation().init(jax.random.key(0), normal(2, 3, 8))
    with pytest.raises(LayerError, match=r"expects \(batch, \*space, channels\).* got \(2, 32\)"):
        squeeze_and_excitation().init(jax.random.key(0), normal(2, 32))
    with pytest.raises(LayerError, match="expects ratio to be a positive integer, but got 0"):
        squeeze_and_excitation(0)
    layer = squeeze_and_excitation(2)
    params, _ = layer.init(jax.random.key(0), normal(2, 3, 4))
    with pytest.raises(LayerError, match=r"squeeze: dense\(3\) expects \(..., 4\) but got"):
        layer.apply(params, {}, normal(2, 3, 6))
