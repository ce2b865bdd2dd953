"""The penalties l1, l2 and l1_l2 against sums by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from derivatives import assert_derivatives
from helpers import assert_close, normal

from jaxnets import losses

PARAMS = {
    "fc1": {"kernel": normal(3, 2), "bias": normal(2, seed=1)},
    "head": {"kernel": normal(2, 4, seed=2)},
}


@pytest.mark.parametrize(
    "names, paths",
    [
        ("kernel$", ["fc1/kernel", "head/kernel"]),
        ("^fc1/", ["fc1/kernel", "fc1/bias"]),
        ("bias|head", ["fc1/bias", "head/kernel"]),
        ("", ["fc1/kernel", "fc1/bias", "head/kernel"]),
    ],
)
def test_a_penalty_is_the_sum_over_the_selected_parameters(names, paths):
    weights = np.concatenate([np.ravel(PARAMS[p.split("/")[0]][p.split("/")[1]]) for p in paths])
    l1, l2 = (penalty(PARAMS, 0.5, names=names) for penalty in (losses.l1, losses.l2))
    np.testing.assert_allclose(l1, 0.5 * np.abs(weights).sum(), rtol=1e-6)
    np.testing.assert_allclose(l2, 0.5 * np.square(weights).sum(), rtol=1e-6)


@pytest.mark.parametrize("penalty", [losses.l1, losses.l2])
def test_a_penalty_omits_biases_and_takes_a_traced_rate(penalty):
    kernels = {name: {"kernel": layer["kernel"]} for name, layer in PARAMS.items()}
    assert_close(jax.jit(penalty)(PARAMS, 0.5), penalty(kernels, 0.5, names=""), 1e-6)


@pytest.mark.parametrize("penalty", [losses.l1, losses.l2, partial(losses.l1_l2, l2_rate=0.5)])
def test_a_penalty_without_parameters_lists_the_existing_names(penalty):
    with pytest.raises(ValueError, match=r"'kernle'; choose from \['fc1/bias', 'fc1/kernel', 'h"):
        penalty(PARAMS, 0.5, names="kernle")


@pytest.mark.parametrize(
    ("names", "absolute", "squares"),
    [("kernel$", 14, 66), ("fc1", 10, 30), ("^fc2/kernel$", 11, 61), ("bias", 7, 25)],
)
def test_l1_l2_has_a_rate_for_each_penalty(names, absolute, squares):
    params = {
        "fc1": {"kernel": jnp.array([[1.0, -2.0]]), "bias": jnp.array([3.0, 4.0])},
        "fc2": {"kernel": jnp.array([[5.0], [-6.0]])},
    }
    actual = jax.jit(losses.l1_l2, static_argnames="names")(params, 0.5, 0.25, names=names)
    np.testing.assert_allclose(actual, 0.5 * absolute + 0.25 * squares, rtol=1e-6)


@pytest.mark.parametrize("penalty", [losses.l1, losses.l2])
def test_gradients_agree_with_finite_differences_to_second_order(penalty):
    with jax.enable_x64(True):
        x = jnp.asarray(normal(6, 4), jnp.float64)
        assert_derivatives(lambda x: penalty({"kernel": x}, 0.5), x)
