"""Local response normalisation against the paper's formula as loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, normal

from jaxnets import LayerError, local_response_norm


def normalised(x, *size, **constants):
    return jax.jit(local_response_norm(*size, **constants))(x)


def by_loops(x, size, alpha, beta, k):
    """Krizhevsky et al. 2012, section 3.3, in float64."""
    a = np.asarray(x, np.float64)
    channels, b = a.shape[-1], np.empty_like(a)
    for i in range(channels):
        total = np.zeros(a.shape[:-1])
        for j in range(max(0, i - size // 2), min(channels - 1, i + size // 2) + 1):
            total += a[..., j] ** 2
        b[..., i] = a[..., i] / (k + alpha * total) ** beta
    return b


@pytest.mark.parametrize("size", [1, 3, 5, 9])
def test_it_is_the_formula_of_the_paper_at_every_channel(size):
    x = normal(2, 3, 4, 7)
    y = normalised(x, size, alpha=0.3, beta=0.6, k=1.5)
    assert_close(y, by_loops(x, size, alpha=0.3, beta=0.6, k=1.5), 1e-6)


def test_the_constants_are_alexnets():
    x = 100 * normal(2, 3, 4, 12)  # large, so that alpha has an effect
    assert_close(normalised(x), by_loops(x, 5, alpha=1e-4, beta=0.75, k=2), 1e-6)


def test_pytorch_agrees_with_an_alpha_of_size_times_ours():
    x = jnp.array([10.0, -20.0, 30.0, 0.0, 50.0, 60.0, -70.0])
    # torch.nn.functional.local_response_norm(x, 5, alpha=5e-4, beta=0.75, k=2.0)
    torch = [5.651837, -11.303675, 15.607122, 0.0, 20.947248, 25.682068, -29.962411]
    np.testing.assert_allclose(normalised(x, 5, alpha=1e-4, k=2.0), torch, rtol=1e-6)


@pytest.mark.parametrize("shape", [(6,), (2, 6), (2, 3, 6), (2, 3, 4, 6)])
def test_positions_and_examples_are_independent(shape):
    x = normal(*shape)
    expected = jax.vmap(local_response_norm(3, alpha=1.0))(x.reshape(-1, 6))
    assert_close(normalised(x, 3, alpha=1.0), expected.reshape(shape), 1e-6)


def test_zeros_stay_zeros_with_a_finite_gradient():
    gradient = jax.grad(lambda x: normalised(x).sum())(jnp.zeros((2, 6)))
    assert_close(gradient, jnp.full((2, 6), 2**-0.75), 1e-6)


def test_bfloat16_is_normalised_in_float32():
    x = (30 * normal(3, 16)).astype(jnp.bfloat16)
    exact = normalised(x.astype(jnp.float32), alpha=0.1)
    y = normalised(x, alpha=0.1)
    np.testing.assert_array_equal(y, exact.astype(jnp.bfloat16), strict=True)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 4}, "an odd size"),
        ({"size": 0}, "size to be a positive integer, but got 0"),
        ({"alpha": -1e-4}, "alpha of at least 0, but got -0.0001"),
        ({"beta": -0.75}, "beta of at least 0"),
        ({"k": 0.0}, "k above 0, .*but got 0.0"),
    ],
)
def test_invalid_constants_are_refused_at_construction(wrong, message):
    with pytest.raises(LayerError, match=rf"local_response_norm\(\d\) expects {message}"):
        local_response_norm(**wrong)
