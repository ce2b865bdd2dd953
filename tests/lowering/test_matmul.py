"""The compiler options depend only on the params, and change results only by rounding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, normal

from jaxnets.lowering import compiler_options, matmul

pytestmark = pytest.mark.skipif(jax.default_backend() != "cpu", reason="the options are a CPU's")


@pytest.mark.parametrize(
    ("columns", "options"), [(10, matmul.EIGEN), (300, matmul.EIGEN), (256, {})]
)
def test_eigen_is_used_unless_columns_are_a_multiple_of_128(columns, options):
    params = {"fc": {"kernel": jnp.zeros((7, columns)), "bias": jnp.zeros(columns)}, "step": 0.0}
    assert compiler_options(jax.tree.map(jnp.asarray, params)) == options


def test_this_version_of_xla_accepts_the_option_and_matmuls_do_not_change():
    a, b = normal(64, 300), normal(300, 100, seed=1)
    matmuls = [jax.jit(jnp.matmul, compiler_options=options) for options in (None, matmul.EIGEN)]
    assert matmul._is_supported()
    assert_close(*(product(a, b) for product in matmuls))


def test_a_version_of_xla_without_the_option_uses_its_default(monkeypatch):
    monkeypatch.setattr(matmul, "EIGEN", {"xla_cpu_no_such_option": "1"})
    monkeypatch.setattr(matmul, "_is_supported", matmul._is_supported.__wrapped__)
    assert compiler_options({"kernel": jnp.zeros((7, 10))}) == {}


@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (0, 3, 4), (2, 1, 3, 4)])
def test_rows_in_any_number_of_axes_are_multiplied_as_numpy_does(shape):
    x, kernel = normal(*shape), normal(4, 5, seed=1)
    assert_close(matmul.rows_matmul(x, kernel), np.matmul(x, kernel))


def test_the_gradient_of_a_kernel_contracts_one_axis_whatever_the_rank():
    def loss(kernel):
        return matmul.rows_matmul(jnp.ones((2, 3, 4)), kernel).sum()

    jaxpr = jax.make_jaxpr(jax.grad(loss))(jnp.ones((4, 5)))
    products = [e for e in jaxpr.eqns if e.primitive.name == "dot_general"]
    contracted = [e.params["dimension_numbers"][0][0] for e in products]
    assert contracted and all(len(axes) == 1 for axes in contracted)
