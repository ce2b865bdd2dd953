"""The code that the page shows ends in the parameters that the page shows."""

import jax
import numpy as np
import pytest

from jaxnets.playground import programs
from jaxnets.playground.listing import listing
from jaxnets.playground.network import separate
from jaxnets.playground.options import Options, change
from jaxnets.playground.points import make_points
from jaxnets.playground.session import Session
from jaxnets.playground.tables import Tables

STEPS = 23  # more than an epoch of each
FRUIT = {"data": "table", "table": "fruit.csv", "seed": 3}
CONFIGURATIONS = [  # every kind of option, in few programs: each takes seconds to compile
    {
        **{"data": "spiral", "noise": 0.2, "share": 80, "seed": 2**20 - 10**6},
        **{"penalty": "L2", "penalty_rate": 0.03, "activation": "sigmoid"},
        **{"features": ["x1*x2", "sin x1"], "batch": 30},
    },
    {
        **{"task": "regression", "data": "plane", "rate": 0.01},
        **{"batch_norm": True, "dropout": 0.3, "batch": 12},
    },
    {"task": "regression", "data": "hills", "activation": "linear", "hidden": [1, 2, 3, 4, 5, 6]},
    {
        **{"data": "mnist 3 8", "noise": 0.1, "hidden": [], "seed": 2},
        **{"penalty": "L1", "penalty_rate": 0.01},
    },
    {"data": "mnist 0-9", "batch": 20, "hidden": [8], "rate": 0.1, "activation": "relu"},
    FRUIT
    | {"target": "kind", "columns": ["weight", "length"], "features": ["x1", "x1*x2"], "share": 70},
    FRUIT | {"task": "regression", "target": "weight", "features": ["p1", "p3"]},
    {
        **{"data": "gauss", "seeds": 4, "seed": 7, "optimizer": "adam", "rate": 0.003},
        **{"batch": 25, "hidden": [5, 2]},
    },
]


@pytest.fixture(scope="module", autouse=True)
def quick_programs():
    """The programs that train, without the one that draws what they have learned."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "_CACHE", {})
        patch.setattr(programs, "look", lambda structure, *arguments: ())
        yield


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """A table of 120 rows with text, missing numbers and dates."""
    made, rng = Tables(), np.random.default_rng(0)
    path = tmp_path_factory.mktemp("own") / "fruit.csv"
    rows = []
    for i, (a, b) in enumerate(rng.normal(size=(120, 2))):
        kind = "apple" if a + b > 0.5 else "pear" if a > b else "plum"
        length = "" if i % 9 == 0 else f"{b:.3f}"
        rows.append(
            f"{a:.3f},{length},{'red' if b > a else 'green'},2026-01-{i % 28 + 1:02},{kind}"
        )
    path.write_text("\n".join(["weight,length,colour,day,kind", *rows]))
    yield {"fruit.csv": made.open(path)._replace(path=path)}
    made.close()


@pytest.mark.parametrize("changes", CONFIGURATIONS)
def test_the_code_ends_in_the_same_parameters(changes, tables, monkeypatch):
    options = change(Options(), {"hidden": [3]} | changes)
    session = Session.__new__(Session)
    session.chosen, session.playing = 0, False
    points = make_points(options, tables)
    session.start(options, points)
    session.advance(STEPS - 5)
    session.advance(5)
    namespace = {}
    monkeypatch.chdir(tables["fruit.csv"].path.parent)
    exec(listing(options, STEPS, points.outputs), namespace)
    result = namespace["result"]
    if options.seeds == 1:
        expected = jax.tree.map(lambda leaf: leaf[None], result.train_state.params)
    else:
        expected = result.train_states.params
    ended = jax.vmap(separate)(session.states.params)
    shown = {name: ended[name] for name in expected}  # the others are skipped
    assert len(expected) == len(options.hidden) + 1
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5), expected, shown
    )
