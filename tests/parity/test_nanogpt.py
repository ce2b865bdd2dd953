"""GPT-2 as nanoGPT has it, without biases and with the exact GELU, by the names of its weights."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close

from jaxnets import models
from jaxnets.interop import torch as from_torch
from jaxnets.trees import flatten_names

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[parity]'")
nn, F = torch.nn, torch.nn.functional

pytestmark = pytest.mark.parity
SIZES = {"features": 12, "heads": 3, "blocks": 2}


def linear(inputs, outputs):
    return nn.Linear(inputs, outputs, bias=False)


class Block(nn.Module):
    """Causal attention and an MLP, each after a norm."""

    def __init__(self):
        super().__init__()
        self.ln_1, self.ln_2 = (nn.LayerNorm(12, bias=False) for _ in range(2))
        self.attn = nn.ModuleDict({"c_attn": linear(12, 36), "c_proj": linear(12, 12)})
        self.mlp = nn.ModuleDict({"c_fc": linear(12, 48), "c_proj": linear(48, 12)})

    def forward(self, x):
        parts = self.attn["c_attn"](self.ln_1(x)).chunk(3, -1)
        q, k, v = (part.unflatten(-1, (3, 4)).transpose(1, 2) for part in parts)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attn["c_proj"](y.transpose(1, 2).flatten(2))
        return x + self.mlp["c_proj"](F.gelu(self.mlp["c_fc"](self.ln_2(x))))


class GPT(nn.Module):
    """The language model, with a head of its own."""

    def __init__(self):
        super().__init__()
        blocks = nn.ModuleList([Block(), Block()])
        parts = {"wte": nn.Embedding(11, 12), "wpe": nn.Embedding(8, 12), "h": blocks}
        self.transformer = nn.ModuleDict(parts | {"ln_f": nn.LayerNorm(12, bias=False)})
        self.lm_head = linear(12, 11)

    def forward(self, tokens):
        parts = self.transformer
        x = parts["wte"](tokens) + parts["wpe"].weight[: tokens.shape[1]]
        for block in parts["h"]:
            x = block(x)
        return self.lm_head(parts["ln_f"](x))


def test_outputs_and_gradients_of_nanogpt_agree():
    torch.manual_seed(0)
    module = GPT().double()
    for weight in module.parameters():
        weight.data.normal_(0, 0.5)
    tokens = np.random.default_rng(0).integers(0, 11, (2, 6))
    y = module(torch.tensor(tokens))
    y.backward(y.detach().cos())
    gradients = {name: weight.grad for name, weight in module.named_parameters()}
    exact = partial(jax.nn.gelu, approximate=False)
    model = models.gpt(11, 8, **SIZES, activation=exact, epsilon=1e-5)

    def run(params):
        y, pull = jax.vjp(lambda params: model.apply(params, {}, tokens)[0], params)
        return y, pull(jnp.cos(y))[0]

    with jax.enable_x64(True):
        spec = jax.ShapeDtypeStruct(tokens.shape, np.int32)
        params, _ = from_torch.load(module.state_dict(), model, spec, dtype=np.float64)
        ours, our_gradients = jax.jit(run)(params)
        expected, _ = from_torch.load(gradients, model, spec, dtype=np.float64)
        assert_close(np.asarray(ours), y.detach().numpy(), 1e-6)
        assert_close(without_biases(our_gradients), without_biases(expected), 1e-4)
    params, _ = from_torch.load(module.state_dict(), model, spec, dtype=np.float32)
    ours = jax.jit(lambda params: model.apply(params, {}, tokens.astype(np.int32))[0])(params)
    assert_close(np.asarray(ours), y.detach().numpy(), 1e-5)


def without_biases(tree):
    """The arrays by path, except biases, which nanoGPT does not have."""
    return {path: leaf for path, leaf in flatten_names(tree).items() if not path.endswith("bias")}
