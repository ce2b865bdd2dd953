"""A sharding plan gives the run of one device, up to rounding, and each device holds its share."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_close
from jax.nn import relu
from jax.sharding import PartitionSpec
from refusals import assert_refused

from jaxnets import data, dense, flatten, losses, serial
from jaxnets.sharding import mesh_of
from jaxnets.training import (
    Checkpoints,
    CheckpointWarning,
    ShardingPlan,
    evaluate,
    fit,
    make_train_step,
    predict,
    sharding_report,
    start_run,
)
from jaxnets.training.placement import state_shardings
from jaxnets.training.population import fit_population

rng = np.random.default_rng(0)
DATA = rng.normal(size=(30, 32)).astype(np.float32), rng.integers(0, 3, 30)
NETWORK = serial(flatten, ("fc1", dense(64)), relu, ("head", dense(3)))
SGD = optax.sgd(0.1, momentum=0.9)
STEP = make_train_step(NETWORK, SGD, losses.softmax_cross_entropy)
COLUMNS = PartitionSpec(None, "model")
TENSOR = [("fc1/kernel", COLUMNS), ("head/kernel", PartitionSpec("model"))]
DATA_PARALLEL, FSDP = ShardingPlan({"batch": 2}), ShardingPlan({"batch": 2}, fsdp=True)
PLANS = {"data": DATA_PARALLEL, "fsdp": FSDP, "tensor": ShardingPlan({"model": 2}, TENSOR)}
COLLECTIVES = re.compile(r"(all-reduce|all-gather|reduce-scatter|all-to-all)(?:-start)?\(")


def train(plan=None, step=STEP, split=DATA, **options):
    options = {"steps": 8, "batch_size": 10, "validation": DATA} | options
    return fit(step, split, key=jax.random.key(0), sharding=plan, **options)


@pytest.fixture(scope="module")
def one():
    return train()


@pytest.fixture(scope="module", params=PLANS)
def sharded(request):
    return request.param, train(PLANS[request.param])


def test_a_sharded_run_is_that_of_one_device(one, sharded):
    _, result = sharded
    assert_close(result.train_state.params, one.train_state.params)
    assert_close(result.history[-1].validation, one.history[-1].validation)


def test_each_device_holds_its_share_of_the_params_and_of_their_momentum(sharded):
    name, result = sharded
    state = result.train_state
    trace = state.opt_state[0].trace
    for leaf in (state.params["fc1"]["kernel"], trace["fc1"]["kernel"]):
        shards = 1 if name == "data" else 2
        assert [shard.data.nbytes for shard in leaf.addressable_shards] == (
            [leaf.nbytes // shards] * shards
        )


def test_a_sharded_result_is_evaluated_and_predicts_where_it_is(one, sharded):
    state = sharded[1].train_state
    assert_close(evaluate(STEP, state, DATA), evaluate(STEP, one.train_state, DATA))
    np.testing.assert_array_equal(
        predict(STEP, state, DATA[0]), predict(STEP, one.train_state, DATA[0])
    )


def test_a_result_of_one_device_is_evaluated_on_several(one):
    plan = PLANS["tensor"]
    expected = evaluate(STEP, one.train_state, DATA)
    assert_close(evaluate(STEP, one.train_state, DATA, sharding=plan), expected)


def start(plan):
    return start_run(STEP, DATA, key=jax.random.key(0), batch_size=10, sharding=plan)


def test_the_collectives_are_those_of_the_layout():
    texts = {name: start(plan).program().as_text() for name, plan in PLANS.items()}
    kinds = {name: set(COLLECTIVES.findall(text or "")) for name, text in texts.items()}
    assert kinds["data"] == {"all-reduce"}
    assert "all-gather" in kinds["fsdp"]
    assert kinds["tensor"] <= {"all-reduce", "all-gather"}


def test_params_are_sharded_from_their_initialization_on():
    kernel = start(FSDP).train_state.params["fc1"]["kernel"]
    assert [shard.data.shape for shard in kernel.addressable_shards] == [(32, 32)] * 2


def of_rate(hparams):
    optimizer = optax.sgd(hparams["learning_rate"], momentum=0.9)
    return make_train_step(NETWORK, optimizer, losses.softmax_cross_entropy)


def test_the_members_of_a_population_are_trained_on_different_devices():
    options = {"steps": 4, "batch_size": 10, "strategy": "map"}
    options |= {"hparams": {"learning_rate": jnp.array([0.01, 0.02, 0.05, 0.1])}}
    keys = jax.random.split(jax.random.key(0), 4)
    one = fit_population(of_rate, DATA, keys=jax.random.clone(keys), **options)
    plan = ShardingPlan({"members": 2})
    two = fit_population(of_rate, DATA, keys=keys, sharding=plan, **options)
    assert_close(two.train_states.params, one.train_states.params)
    kernel = two.train_states.params["fc1"]["kernel"]
    assert [shard.data.shape for shard in kernel.addressable_shards] == [(2, 32, 64)] * 2


def test_a_stream_with_a_short_last_block_is_read_by_shards(one):
    stream = data.Stream(DATA, block_bytes=10 * 33 * 4 * 2)
    assert_close(train(DATA_PARALLEL, split=stream).train_state.params, one.train_state.params)


def test_gradients_accumulate_by_optax_and_are_sharded_like_the_params():
    optimizer = optax.MultiSteps(SGD, every_k_schedule=2).gradient_transformation()
    step = make_train_step(NETWORK, optimizer, losses.softmax_cross_entropy)
    options = {"batch_size": 6, "validation": None}
    result = train(FSDP, step, **options).train_state
    gradients = result.opt_state.acc_grads["fc1"]["kernel"]
    assert gradients.sharding == result.params["fc1"]["kernel"].sharding
    assert not gradients.is_fully_replicated
    assert_close(result.params, train(None, step, **options).train_state.params)


def test_a_run_saved_under_one_plan_resumes_under_another_with_a_warning(tmp_path, one):
    train(FSDP, steps=4, checkpoints=Checkpoints(tmp_path))
    with pytest.warns(CheckpointWarning, match="another sharding.*fsdp True, now False"):
        resumed = train(PLANS["tensor"], checkpoints=Checkpoints(tmp_path), resume=True)
    assert not resumed.train_state.params["fc1"]["kernel"].is_fully_replicated
    assert_close(resumed.train_state.params, one.train_state.params)


def test_an_optimizer_that_stacks_its_params_is_sharded_along_the_same_axes():
    step = make_train_step(NETWORK, optax.lbfgs(0.1), losses.softmax_cross_entropy)
    report = sharding_report(step, DATA[0], ShardingPlan({"batch": 2}, fsdp=True))
    memory = [leaf for leaf in report.leaves if "memory/fc1/kernel" in leaf.path]
    assert {leaf.spec for leaf in memory} == {PartitionSpec(None, None, "batch")}


def test_the_report_says_what_each_device_of_a_pod_holds():
    plan = ShardingPlan({"batch": 64, "model": 64}, [("fc1/bias", PartitionSpec("model"))], True)
    report = sharding_report(STEP, DATA[0], plan)
    held = {leaf.path: leaf.held for leaf in report.leaves}
    assert held["params/fc1/kernel"] == 32 * 64 * 4 / 64
    assert held["params/head/kernel"] == 64 * 3 * 4  # too small to shard
    assert report.size - report.held == 2 * (32 + 1) * 64 * 4 * 63 / 64
    assert f"each device holds {report.held:,} of {report.size:,} bytes" in str(report)


def test_the_report_names_what_fsdp_leaves_whole():
    report = sharding_report(STEP, DATA[0], ShardingPlan({"batch": 5}, fsdp=True))
    assert report.unsharded == ("params/fc1/kernel",)


def test_a_param_that_is_small_in_each_member_is_not_reported_as_unsharded():
    plan = ShardingPlan({"members": 2, "batch": 2}, fsdp=True)
    report = sharding_report(STEP, DATA[0], plan, members=8)
    assert report.unsharded == ()  # the head has 192 elements in a member, and 1,536 in all


def test_a_run_warns_of_params_that_fsdp_leaves_whole():
    params = {"a": jax.ShapeDtypeStruct((33, 65), jnp.float32)}  # no axis is even
    with pytest.warns(UserWarning, match="does not shard 1 of 1 arrays over .*by its size: a;"):
        state_shardings(mesh_of(FSDP.axes), FSDP, params)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (({},), r"axes by their names, but got \{\}; write"),
        ((2,), "axes by their names, but got 2"),
        (({"batch": 0},), r"axes\['batch'\] to be a positive integer, but got 0"),
        (({3: 2},), "names of axes, but got 3"),
        (({"data": 8},), r"but got \['data'\], over which nothing is sharded; .* \"batch\""),
        (({"batch": 2}, None), "a list of rules, but got None"),
        (({"batch": 2}, {"fc1/kernel": COLUMNS}), "a list of rules, but got"),
        (({"batch": 2}, [], "yes"), "fsdp to be a bool, but got 'yes'"),
        (({"model": 2}, [], True), 'an axis "batch" for fsdp'),
        (({"batch": 2}, [("fc1/kernel", COLUMNS)]), "rules with the axes.*add the axis"),
        (({"members": 2}, [("a", PartitionSpec("members"))]), "rules with the axes"),
        (({"model": 2}, ["fc1"]), "rules .pattern, PartitionSpec., but got 'fc1'"),
        (({"model": 2}, [("(", COLUMNS)]), "rules .pattern, PartitionSpec., but got"),
        (({"model": 2}, [("a", "model")]), "'model' is not a PartitionSpec"),
        (({"model": 2}, [("a", PartitionSpec("model", "model"))]), "an axis is used twice"),
    ],
)
def test_a_wrong_plan_is_refused(arguments, message):
    assert_refused(lambda: ShardingPlan(*arguments), message)


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (ShardingPlan({"batch": 4}), "at most the 2 devices.*got 4.*device_count=4"),
        (ShardingPlan({"model": 2}, [("fc2/kernel", COLUMNS)]), "'fc2/kernel' matches none of"),
        (ShardingPlan({"model": 2}, [("head/kernel", COLUMNS)]), "is not divisible by 2"),
        (ShardingPlan({"model": 2}, [("head/bias", COLUMNS)]), "at most 1 axes for head/bias"),
        (ShardingPlan({"members": 2}), '"members" expects a population.*got 1 model;'),
        (8, "sharding=ShardingPlan.*but got 8; pass one"),
    ],
)
def test_a_plan_that_does_not_fit_the_run_is_refused(plan, message):
    assert_refused(lambda: train(plan), message)


@pytest.mark.parametrize(
    ("x", "plan", "members", "message"),
    [
        (DATA[0], 8, None, "sharding_report expects sharding=ShardingPlan.*but got 8"),
        (DATA[0], DATA_PARALLEL, 0, "members to be a positive integer, but got 0"),
        (DATA[0], ShardingPlan({"members": 3}), 4, "by 3 devices, but got 4.*use 3"),
        (DATA[0], ShardingPlan({"members": 2}), None, 'got 1 model; use the axis "batch"'),
        (3, DATA_PARALLEL, None, "x as arrays .n, .*but got int; pass train.x"),
    ],
)
def test_a_report_of_what_cannot_be_trained_is_refused(x, plan, members, message):
    assert_refused(lambda: sharding_report(STEP, x, plan, members=members), message)


def test_one_model_is_not_evaluated_over_the_members_of_a_population(one):
    plan = ShardingPlan({"members": 2})
    assert_refused(lambda: evaluate(STEP, one.train_state, DATA, sharding=plan), "got 1 model;")


def test_devices_and_a_plan_together_are_refused():
    assert_refused(lambda: train(FSDP, devices=2), "both devices=2 and sharding; pass one")


@pytest.mark.parametrize("seconds", [0, -1, "1", True, float("nan")])
def test_a_wrong_time_without_progress_is_refused(seconds):
    assert_refused(lambda: train(stall_seconds=seconds), "stall_seconds to be a positive number")
