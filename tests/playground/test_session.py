"""What a session does with the commands of its page, and what compiles."""

import json

import numpy as np
import optax
import pytest

from jaxnets.playground import programs
from jaxnets.playground.frames import event
from jaxnets.playground.optimizers import OPTIMIZERS, make_optimizer
from jaxnets.playground.options import Options, OptionsError, change
from jaxnets.playground.programs import compile_programs
from jaxnets.playground.session import Session

SMALL = change(Options(), {"hidden": [3], "seeds": 4})


@pytest.fixture
def session():
    compile_programs(SMALL)
    made = Session(SMALL)
    made._take_over(lambda kind, message: None)
    return made


def after(session, **changes):
    session.change(changes)
    session._take_over(lambda kind, message: None)
    session.advance(7)
    return session


def test_no_setting_but_the_structure_compiles_not_even_depth(session):
    before = programs.COMPILED[0]
    for changes in (
        {"rate": 0.1}, {"penalty": "L1", "penalty_rate": 0.1}, {"noise": 0.3}, {"data": "spiral"},
        {"share": 80}, {"batch": 3}, {"hidden": [8]}, {"hidden": [2] * 6}, {"hidden": []},
        {"data": "mnist 4 9"}, {"features": ["p1", "p8"]}, {"data": "mnist 0-9"}, {"data": "xor"},
        {"features": ["x1", "sin x2"]},
        {"activation": "relu"}, {"seed": 5}, {"task": "regression"},
    ):  # fmt: skip
        after(session, **changes)
        assert session.waiting is None and session.step > 0, changes
        assert session.options == change(session.options, changes)
    assert programs.COMPILED[0] == before


def test_rates_and_penalties_take_effect_without_a_new_start(session):
    session.advance(5)
    after(session, rate=0.3, penalty="L2")
    assert session.step == 12 and not session.exact
    assert after(session, noise=0.1).step == 7 and session.exact


def test_units_beyond_the_width_have_no_weights(session):
    kernel = np.array(after(session, hidden=[2]).states.params["hidden"]["fc"]["kernel"][:, 0])
    assert (kernel[:, :, 2:] == 0).all() and (kernel[:, 2:] == 0).all()
    assert (kernel[:, :2, :2] != 0).all()


def test_layers_beyond_the_depth_have_no_weights_and_no_part_in_the_outputs(session):
    after(session, hidden=[3, 2])
    assert len(session.frame()["layers"]) == 3
    before = session.frame()["scores"]
    stack = session.states.params["hidden"]["fc"]
    for part, leaf in stack.items():
        assert not np.any(leaf[:, 2:]) and np.any(leaf[:, :2])
        stack[part] = np.array(leaf) + np.arange(6).reshape(6, *[1] * (leaf.ndim - 2)) // 2
    assert session.frame()["scores"] == before
    session.edit(1, 0, 0, 5.0)
    assert session.frame()["scores"] != before


def test_a_weight_and_a_bias_are_edited_in_the_network_on_view(session):
    session.chosen = 1
    session.edit(0, 1, 2, 2.5)
    session.edit(1, None, 0, -3)
    params = session.states.params
    kernel, bias = params["hidden"]["fc"]["kernel"][:, 0], params["head"]["bias"]
    assert kernel[1, 1, 2] == 2.5 and (np.array(kernel)[[0, 2, 3], 1, 2] != 2.5).all()
    assert bias[1, 0] == -3 and not session.exact
    session.advance(1)


@pytest.mark.parametrize(
    "place",
    [(2, 0, 0, 1), (0, 8, 0, 1), (0, 0, 3, 1), (0, 0, 0, None), (0, 0, 0, 1e9), ("0", 0, 0, 1)],
)
def test_an_edit_out_of_bounds_is_refused(session, place):
    with pytest.raises(OptionsError, match="expects"):
        session.edit(*place)


def test_a_frame_is_json_and_holds_what_the_page_draws(session):
    session.advance(20)
    overview = json.loads(event("start", session.overview()).split(b"data: ")[1])
    assert np.array(overview["scores"]).shape == (4, 4)
    assert overview["step"] == 20 and overview["code"].startswith("import jax")
    assert len(overview["layers"]) == 2 and len(overview["x"]) == 500


def test_a_network_that_diverges_stops_at_its_last_finite_state_and_says_why(session):
    after(session, task="regression", data="plane", activation="linear", rate=10.0)
    session.advance(300)
    assert session.stopped.all() and not session.playing
    frame = session.frame()
    assert frame["cause"].startswith("At step ") and "the operation" in frame["cause"]
    assert all(np.isfinite(leaf).all() for leaf in session.states.params["hidden"]["fc"].values())
    assert b"NaN" not in event("frame", frame).split(b"cause")[0]


def test_every_optimizer_of_optax_is_offered():
    helpers = {"scale_by_learning_rate", "scale_by_rprop", "_deprecated_dpsgd"}
    older = {"optimistic_adam"}  # deprecated in favour of optimistic_adam_v2
    names = {"nadam", "nadamw"}  # partial applications of adam and adamw
    for name in dir(optax):
        code = getattr(getattr(optax, name), "__code__", None)
        if code and code.co_varnames[:1] in (("learning_rate",), ("max_learning_rate",)):
            names.add(name)
    assert names - helpers - older == {function for function, _ in OPTIMIZERS.values()}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_takes_a_traced_rate(name):
    params = {"kernel": np.ones((2, 3), np.float32)}
    optimizer = optax.with_extra_args_support(make_optimizer(name, np.float32(0.1)))
    optimizer.init(params)
