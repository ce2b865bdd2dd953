"""Spectral norm in PyTorch and here: outputs, vectors and gradients."""

import warnings

import jax
import numpy as np
import pytest
from helpers import assert_close, normal

from jaxnets import dense, spectral_norm

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[parity]'")

pytestmark = pytest.mark.parity

TOLERANCES = {"float32": 1e-5, "bfloat16": 2e-2, "float64": 1e-12}  # of the largest value


@pytest.mark.parametrize("train", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("dtype", TOLERANCES)
def test_spectral_norm_its_vectors_and_its_gradients_agree(train, dtype):
    layer, x = spectral_norm(dense(3)), normal(5, 4)
    params, state = layer.init(jax.random.key(0), x)

    def tensor(array):
        return torch.tensor(np.asarray(array, np.float64)).to(getattr(torch, dtype))

    module = torch.nn.Linear(4, 3).to(getattr(torch, dtype))
    module.weight.data = tensor(params["kernel"]).T.contiguous()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its successor makes a step in the other order, v to u
        module = torch.nn.utils.spectral_norm(module, eps=1e-30).train(train)
    module.weight_u.copy_(tensor(normal(3)))
    module.weight_v.copy_(tensor(normal(4)))
    module.bias.data.zero_()
    y = module(tensor(x))
    y.backward(tensor(normal(5, 3, seed=9)))
    u, v, gradient = module.weight_u, module.weight_v, module.weight_orig.grad
    expected = tuple(each.detach().double().numpy() for each in (y, u, v, gradient.T))

    with jax.enable_x64(dtype == "float64"):
        state = {"u": normal(3), "v": normal(4)}
        params, state, x = jax.tree.map(lambda leaf: leaf.astype(dtype), (params, state, x))

        @jax.jit
        def run(params):
            y, pull, after = jax.vjp(
                lambda params: layer.apply(params, state, x, train=train), params, has_aux=True
            )
            gradients = pull(normal(5, 3, seed=9).astype(dtype))[0]
            return y, after["u"], after["v"], gradients["kernel"]

        actual = run(params)
    assert_close(actual, expected, TOLERANCES[dtype])
