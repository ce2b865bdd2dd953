"""Weights of PyTorch, Keras and Flax, loaded by name: the outputs are theirs."""

import jax
import numpy as np
import pytest
from helpers import assert_close, normal

from jaxnets import bidirectional, dense, embedding, gru, last_step, lstm, serial, simple_rnn
from jaxnets.interop import flax, keras, torch

pytestmark = pytest.mark.parity
X = normal(2, 5, 3)


def test_a_pytorch_network_of_stacked_bidirectional_layers():
    library = pytest.importorskip("torch")
    nn, make = library.nn, bidirectional(gru(4))
    modules = nn.ModuleDict(
        {
            "table": nn.Embedding(7, 3),
            "rnn": nn.GRU(3, 4, num_layers=2, bidirectional=True, batch_first=True),
            "head": nn.Linear(8, 2),
        }
    )
    tokens = np.array([[1, 2, 6], [0, 3, 3]])
    theirs = modules["head"](modules["rnn"](modules["table"](library.tensor(tokens)))[0][:, -1])
    stack = serial(("l0", make), ("l1", make))
    model = serial(("table", embedding(7, 3)), ("rnn", stack), last_step, ("head", dense(2)))
    params, state = torch.load(modules.state_dict(), model, tokens)
    assert_close(model.apply(params, state, tokens)[0], theirs.detach().numpy(), 1e-6)


@pytest.mark.parametrize("kind, layer", [("RNN", simple_rnn(4)), ("LSTM", lstm(4))])
def test_a_single_pytorch_module(kind, layer):
    library = pytest.importorskip("torch")
    module = getattr(library.nn, kind)(3, 4, batch_first=True)
    params, state = torch.load(module.state_dict(), layer, X)
    expected = module(library.tensor(np.asarray(X)))[0].detach().numpy()
    assert_close(layer.apply(params, state, X)[0], expected, 1e-6)


KERAS = {
    "SimpleRNN": simple_rnn(4),
    "LSTM": lstm(4),
    "GRU": gru(4),
}


@pytest.mark.parametrize("kind", KERAS)
@jax.numpy_rank_promotion("allow")  # for Keras
def test_a_keras_model_with_a_bidirectional_layer(kind, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    layers = pytest.importorskip("keras").layers
    make = getattr(layers, kind)
    model = pytest.importorskip("keras").Sequential(
        [
            layers.Input((5, 3)),
            layers.Bidirectional(make(4, return_sequences=True), name="both"),
            make(4, bias_initializer="random_normal", name="rnn"),
            layers.Dense(2, name="head"),
        ]
    )
    ours = serial(
        ("both", bidirectional(KERAS[kind])), ("rnn", KERAS[kind]), last_step, ("head", dense(2))
    )
    weights = {w.path: np.asarray(w.value) for w in model.weights}
    params, state = keras.load(weights, ours, X)
    assert_close(ours.apply(params, state, X)[0], np.asarray(model(X)), 2e-6)


FLAX = {"OptimizedLSTMCell": lstm(4), "LSTMCell": lstm(4), "GRUCell": gru(4)}
FLAX["SimpleCell"] = simple_rnn(4)


@pytest.mark.parametrize("kind", FLAX)
def test_a_linen_module(kind):
    nn = pytest.importorskip("flax.linen")
    module = nn.RNN(getattr(nn, kind)(4))
    variables = module.init(jax.random.key(0), X)
    variables = jax.tree.map(lambda leaf: leaf + 0.1, variables)  # biases that are not 0
    params, state = flax.load(variables["params"], FLAX[kind], X)
    assert_close(FLAX[kind].apply(params, state, X)[0], module.apply(variables, X), 1e-6)
