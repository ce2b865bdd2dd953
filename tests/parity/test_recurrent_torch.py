"""LSTM, GRU and simple RNN with PyTorch's weights equal its packed sequences, in both directions.

Outputs, final states and all gradients, to 1e-6 of the largest value of each array.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import assert_close, normal

from jaxnets import Padded, bidirectional, gru, last_step, lowering, lstm, serial, simple_rnn
from jaxnets.lowering import recurrent

torch = pytest.importorskip("torch", reason="PyTorch is not installed: pip install -e '.[parity]'")
rnn_utils = torch.nn.utils.rnn

pytestmark = pytest.mark.parity

FEATURES, UNITS, TIME = 3, 5, 13
LENGTHS = np.array([13, 4, 1, 7, 9], np.int32)
X, WEIGHTS = normal(5, TIME, FEATURES), normal(5, TIME, 2 * UNITS, seed=1)
LAYERS = {
    "RNN": (simple_rnn, {}),
    "LSTM": (lstm, {"scan": lowering.plain_lstm}),
    "GRU": (gru, {"scan": lowering.plain_gru}),
    "LSTM, passes of CPU": (lstm, {"scan": lambda *a: recurrent._lstm(*a[:4])}),
    "GRU, passes of CPU": (gru, {"scan": lambda *a: recurrent._gru(*a[:4])}),
}


def module(kind):
    torch.manual_seed(0)
    make = getattr(torch.nn, kind.split(",")[0])
    return make(FEATURES, UNITS, batch_first=True, bidirectional=True)


def params_of(kind, get):
    """Params of one direction from `get("weight_ih")` and the like, also for gradients."""
    params = {"kernel": get("weight_ih").T, "recurrent_kernel": get("weight_hh").T}
    if not kind.startswith("GRU"):
        return params | {"bias": get("bias_ih") + get("bias_hh")}
    both, h = get("bias_ih") + get("bias_hh"), 2 * UNITS
    bias = np.concatenate([both[:h], get("bias_ih")[h:]])
    return params | {"bias": bias, "recurrent_bias": get("bias_hh")[h:]}


def both_directions(kind, theirs, read):
    def direction(suffix):
        return params_of(kind, lambda name: np.asarray(read(getattr(theirs, f"{name}_l0{suffix}"))))

    return {"forward": direction(""), "backward": direction("_reverse")}


def packed(theirs):
    """PyTorch's outputs, final states (batch, 2 * units), and gradient of the inputs."""
    x = torch.tensor(np.asarray(X), requires_grad=True)
    sequence = rnn_utils.pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False)
    out, final = theirs(sequence)
    y, _ = rnn_utils.pad_packed_sequence(out, batch_first=True, total_length=TIME)
    final = final[0] if isinstance(final, tuple) else final
    final = torch.cat([final[0], final[1]], -1)
    ((y * torch.tensor(np.asarray(WEIGHTS))).sum() + final.sum()).backward()
    return y.detach().numpy(), final.detach().numpy(), x.grad.numpy()


@pytest.mark.parametrize("kind", LAYERS)
def test_outputs_final_states_and_all_gradients_are_those_of_packed_sequences(kind):
    theirs = module(kind)
    y, final, by_x = packed(theirs)
    params = both_directions(kind, theirs, lambda p: p.detach().numpy())
    make, options = LAYERS[kind]
    layer = make(UNITS, **options)
    ends = bidirectional(serial(("rnn", layer), last_step))
    junk = jnp.where(jnp.arange(TIME)[None, :, None] < LENGTHS[:, None, None], X, jnp.nan)

    @jax.jit
    def ours(params, x):
        padded = Padded(x, LENGTHS)
        y, _ = bidirectional(layer).apply(params, {}, padded)
        nested = {name: {"rnn": p} for name, p in params.items()}
        final, _ = ends.apply(nested, {}, padded)
        return (y.values * WEIGHTS).sum() + final.sum(), (y.values, final)

    gradients, results = jax.grad(ours, (0, 1), has_aux=True)(params, junk)
    assert_close(results, (y, final), 1e-6)
    # The two biases of a gate have the same gradient, except those of the GRU's candidate.
    expected = both_directions(kind, theirs, lambda p: p.grad.numpy())
    for direction in expected.values():
        bias = direction["bias"]
        direction["bias"] = (
            bias / 2
            if not kind.startswith("GRU")
            else np.concatenate([bias[: 2 * UNITS] / 2, bias[2 * UNITS :]])
        )
    assert_close(gradients, (expected, by_x), 1e-6)
