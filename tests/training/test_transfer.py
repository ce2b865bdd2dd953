"""Merged weights, optimizers by name, and parts in inference mode."""

import re
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from clouds import HPARAMS, TRAIN, by_rate, run
from helpers import assert_close, assert_same, normal

from jaxnets import LayerError, batch_norm, dense, dropout, serial
from jaxnets.interop import safetensors
from jaxnets.training import RunError, inference_mode, merge_params, partition_by_name

X, Y = TRAIN
BODY = "^(?!head/)"
LAYERS = ("low", "high", "head")
SGD = optax.sgd(0.1)


def network(width, classes):
    return serial(
        ("low", dense(width)), jnp.tanh, ("high", dense(5)), jnp.tanh, ("head", dense(classes))
    )


@cache
def weights(width=6, classes=3, seed=0):
    return network(width, classes).init(jax.random.key(seed), X[:1])[0]


@jax.jit
@jax.grad
def slope(params):
    """The gradient of the network's mean loss over all examples, from its definition."""
    h = X
    for name in LAYERS:
        h = (h if name == "low" else jnp.tanh(h)) @ params[name]["kernel"]
        h += params[name]["bias"][None]
    log_p = h - jnp.log(jnp.exp(h).sum(-1, keepdims=True))
    return -log_p[jnp.arange(len(Y)), Y].mean()


def updated(params, tx, part=lambda tree: tree):
    """The params after five updates of the part that the optimizer gets."""
    state = tx.init(part(params))
    for _ in range(5):
        updates, state = tx.update(part(slope(params)), state, part(params))
        params = {**params, **optax.apply_updates(part(params), updates)}
    return params


def descended(params, rates):
    """The params after five steps of gradient descent with one rate per layer."""
    for _ in range(5):
        down = slope(params)
        for name, rate in rates.items():
            moved = jax.tree.map(lambda w, g, rate=rate: w - rate * g, params[name], down[name])
            params = {**params, name: moved}
    return params


def test_frozen_params_stay_bit_for_bit_and_the_others_are_updated_as_if_alone():
    params, adamw = weights(), optax.adamw(0.1)  # its decay does not need a gradient
    ended = updated(params, partition_by_name({BODY: optax.set_to_zero()}, adamw))
    assert_same([ended["low"], ended["high"]], [params["low"], params["high"]])
    assert_same(ended, updated(params, adamw, part=lambda tree: {"head": tree["head"]}))


def test_a_factor_on_the_learning_rate_is_descent_at_that_rate():
    tx = partition_by_name({"^low/": optax.chain(SGD, optax.scale(0.25))}, SGD)
    rates = {"low": 0.025, "high": 0.1, "head": 0.1}
    assert_close(updated(weights(), tx), descended(weights(), rates), 1e-5)


def test_discriminative_rates_are_one_rule_per_layer():
    below = {"^high/": 1 / 2.6, "^low/": 1 / 2.6**2}
    tx = partition_by_name(
        {n: optax.chain(SGD, optax.scale(rate)) for n, rate in below.items()}, SGD
    )
    rates = {"low": 0.1 / 2.6**2, "high": 0.1 / 2.6, "head": 0.1}
    assert_close(updated(weights(), tx), descended(weights(), rates), 1e-5)


def test_a_rule_is_an_expression_or_a_predicate_and_the_first_that_matches_holds():
    ones = {"low": {"kernel": jnp.ones(2), "bias": jnp.ones(1)}, "head": {"bias": jnp.ones(1)}}
    rules = {"^head": optax.scale(2), lambda path: path.endswith("bias"): optax.scale(3)}
    tx = partition_by_name(rules, optax.scale(5))
    updates, _ = tx.update(ones, tx.init(ones))
    expected = {"low": {"kernel": [5, 5], "bias": [3]}, "head": {"bias": [2]}}
    assert jax.tree.map(lambda leaf: leaf.tolist(), updates) == expected


@pytest.mark.parametrize("names", ["^heads", "bias", lambda path: path == "body"])
def test_a_rule_without_parameters_is_refused_with_all_names(names):
    tx = partition_by_name({"bias$": SGD, names: SGD}, SGD)
    with pytest.raises(RunError, match=re.escape("there are ['head/bias', 'head/kernel', 'high/")):
        tx.init(weights())


def test_merged_params_have_the_pretrained_body_and_the_new_head():
    new, old = weights(classes=4), weights(seed=1)
    before = jax.tree.map(jnp.copy, new)
    moved = merge_params(new, old, BODY)
    assert_same(moved, {"low": old["low"], "high": old["high"], "head": new["head"]})
    assert_same(new, before)
    assert_same(merge_params(new, old, lambda path: not path.startswith("head")), moved)


def test_weights_from_a_file_are_merged_into_a_network_with_another_head(tmp_path):
    def whole(classes, seed):
        model = serial(("low", dense(6)), ("norm", batch_norm()), ("head", dense(classes)))
        params, state = model.init(jax.random.key(seed), X[:1])
        return {"params": params, "state": jax.tree.map(lambda leaf: leaf + seed, state)}

    old, new = whole(3, 1), whole(4, 2)
    safetensors.save(tmp_path / "old.safetensors", old)
    moved = merge_params(new, safetensors.load(tmp_path / "old.safetensors"), "^(?!params/head/)")
    assert_same(moved["state"], old["state"])
    assert_same(moved["params"], {**old["params"], "head": new["params"]["head"]})


def test_a_file_of_a_wider_network_is_refused_with_every_shape(tmp_path):
    safetensors.save(tmp_path / "wide.safetensors", weights(width=9))
    with pytest.raises(LayerError) as raised:
        merge_params(weights(), safetensors.load(tmp_path / "wide.safetensors"), BODY)
    assert [line.strip() for line in str(raised.value).splitlines()[1:]] == [
        "high/kernel is (9, 5) and should be (6, 5)",
        "low/bias is (9,) and should be (6,)",
        "low/kernel is (2, 9) and should be (2, 6)",
    ]


def test_merging_never_drops_or_casts_silently():
    params = weights()
    with pytest.raises(LayerError, match="high/bias is missing\n  high/kernel is missing"):
        merge_params(params, {"low": params["low"]}, BODY)
    with pytest.raises(LayerError, match="extra/scale is not in the model"):
        merge_params(params, {**params, "extra": {"scale": jnp.ones(1)}}, BODY)
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.float16), params)
    with pytest.raises(LayerError, match="low/bias is float16 and should be float32"):
        merge_params(params, half, "^low/")
    with pytest.raises(LayerError, match=r"no name matches '\^trunk/'; there are \['head/bias'"):
        merge_params(params, params, "^trunk/")


def part():
    return serial(("fc", dense(4)), ("norm", batch_norm()), ("drop", dropout(0.5)))


def test_inference_mode_uses_running_statistics_in_training_without_updating_them():
    x = normal(8, 2)
    params, state = part().init(jax.random.key(0), x)
    state = {"norm": {"mean": normal(4), "var": normal(4, seed=1) ** 2}}
    y, after = inference_mode(part()).apply(params, state, x, train=True)  # without a key
    assert_same(after, state)
    h = np.asarray(x) @ params["fc"]["kernel"] + np.asarray(params["fc"]["bias"])[None]
    mean, var = (np.asarray(state["norm"][name])[None] for name in ("mean", "var"))
    assert_close(y, (h - mean) / np.sqrt(var + 1e-5), 1e-5)  # scale is 1 and bias is 0


def test_a_frozen_part_keeps_its_names_and_values_while_the_rest_trains():
    def whole(low):
        return serial(("low", low), jnp.tanh, ("norm", batch_norm()), ("head", dense(3)))

    def tx(hparams):
        sgd = optax.sgd(hparams["learning_rate"])
        return partition_by_name({"^low/": optax.set_to_zero(), "^norm/": optax.scale(-0.5)}, sgd)

    model = whole(inference_mode(part()))
    assert_same(*(m.init(jax.random.key(0), X[:1]) for m in (model, whole(part()))))
    train_step = by_rate(model, optimizer=tx)
    start = train_step(HPARAMS).init(jax.random.key(0), X[:1])
    ended = run(train_step, start=start).train_state
    for before, after in ((start.params, ended.params), (start.model_state, ended.model_state)):
        assert_same(after["low"], before["low"])
        assert not (jax.tree.leaves(after["norm"])[0] == jax.tree.leaves(before["norm"])[0]).any()
    assert not (ended.params["head"]["kernel"] == start.params["head"]["kernel"]).any()
