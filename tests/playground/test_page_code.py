"""The code that the page shows ends in the parameters that the page shows."""

import jax
import numpy as np
import pytest

from jaxnets.playground.listing import listing
from jaxnets.playground.options import Options, change
from jaxnets.playground.session import Session

STEPS = 23  # more than an epoch of each
CONFIGURATIONS = [  # every kind of option, in few programs: each takes seconds to compile
    {
        **{"data": "spiral", "noise": 0.2, "share": 80, "seed": 2**20 - 10**6},
        **{"penalty": "L2", "penalty_rate": 0.03, "activation": "sigmoid"},
    },
    {"data": "xor", "features": ["x1*x2", "sin x1"], "activation": "relu", "batch": 30},
    {"data": "gauss", "penalty": "L1", "penalty_rate": 0.01, "hidden": []},
    {
        **{"task": "regression", "data": "plane", "rate": 0.01},
        **{"batch_norm": True, "dropout": 0.3, "batch": 12},
    },
    {"task": "regression", "data": "hills", "activation": "linear", "hidden": [2, 3, 4, 2]},
    {"data": "mnist 3 8", "noise": 0.1, "hidden": [1, 2, 3, 4, 5, 6], "seed": 2},
    {"seeds": 4, "seed": 7, "optimizer": "adam", "rate": 0.003, "batch": 25, "hidden": [5, 2]},
]


@pytest.mark.parametrize("changes", CONFIGURATIONS)
def test_the_code_ends_in_the_same_parameters(changes):
    options = change(Options(), {"hidden": [3]} | changes)
    session = Session.__new__(Session)
    session.chosen, session.playing = 0, False
    session.start(options)
    session.advance(STEPS - 5)
    session.advance(5)
    namespace = {}
    exec(listing(options, STEPS), namespace)
    result = namespace["result"]
    if options.seeds == 1:
        expected = jax.tree.map(lambda leaf: leaf[None], result.train_state.params)
    else:
        expected = result.train_states.params
    shown = {name: session.states.params[name] for name in expected}  # the others are skipped
    assert len(expected) == len(options.hidden) + 1
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5), expected, shown
    )
