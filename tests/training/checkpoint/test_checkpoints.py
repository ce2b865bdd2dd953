"""Checkpoints are restored bit for bit; a mismatch is reported for every leaf."""

import json
import threading
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_same, normal
from safetensors import safe_open
from states import plain, steps, train_state

from jaxnets.interop import safetensors
from jaxnets.training import (
    CheckpointError,
    Checkpoints,
    CheckpointWarning,
    FileStore,
    ShardedStore,
)
from jaxnets.training.checkpoint import file as checkpoint_file

STATE = train_state()
NUMBERS = {"x": jnp.arange(3.0)}


def saved(folder, tree, step=1, metadata=None, **options):
    with Checkpoints(folder, **options) as checkpoints:
        checkpoints.save(step, tree, metadata or {})
    return Checkpoints(folder, **options)


def refusal(folder, template):
    with pytest.raises(CheckpointError) as raised:
        Checkpoints(folder).restore(template)
    return str(raised.value)


@pytest.mark.parametrize("abstract", [False, True], ids=["arrays", "shapes"])
def test_a_train_state_is_restored_bit_for_bit_with_its_step_and_metadata(tmp_path, abstract):
    metadata = {
        "config": {"seed": 0, "widths": [3, 4], "rate": 0.1, "name": 'a "name"', "no": None}
    }
    template = jax.eval_shape(lambda tree: tree, STATE) if abstract else STATE
    tree, restored_metadata, step = saved(tmp_path, STATE, 12, metadata).restore(template)
    assert jax.tree.structure(tree) == jax.tree.structure(STATE)
    assert_same(plain(tree), plain(STATE))
    assert jax.random.bits(tree.key) == jax.random.bits(jax.random.key(5))
    assert (restored_metadata, step) == (metadata, 12)


@pytest.mark.parametrize(
    "dtype", ["bfloat16", "float16", "float8_e4m3fn", "float8_e5m2", "int8", "bool", "complex64"]
)
def test_every_dtype_and_unusual_shape_is_restored(tmp_path, dtype):
    tree = [jnp.asarray(normal(2, 3) > 0, dtype), jnp.zeros((0, 3), dtype), jnp.ones((), dtype)]
    assert_same(saved(tmp_path, tree).restore(tree).tree, tree)


def test_nan_infinity_and_minus_zero_keep_their_bits(tmp_path):
    bits = jnp.array([0x7FC00001, 0xFFC00000, 0x7F800000, 0x80000000, 1], jnp.uint32)
    tree = {"odd": jax.lax.bitcast_convert_type(bits, jnp.float32)}
    restored = saved(tmp_path, tree).restore(tree).tree
    assert_same(jax.lax.bitcast_convert_type(restored["odd"], jnp.uint32), bits)


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_a_key_of_any_implementation_draws_the_same(tmp_path, impl):
    keys = jax.random.split(jax.random.key(3, impl=impl), 2)
    restored = saved(tmp_path, keys).restore(keys).tree
    assert jax.random.key_impl(restored) == impl
    assert_same(jax.random.key_data(restored), jax.random.key_data(keys))


def test_training_continues_from_a_restored_state_bit_for_bit(tmp_path):
    tx = optax.adam(0.1)

    @jax.jit
    def step(state):
        updates, opt_state = tx.update(state.params, state.opt_state)
        params = optax.apply_updates(state.params, updates)
        return state._replace(step=state.step + 1, params=params, opt_state=opt_state)

    half = step(STATE)
    restored = saved(tmp_path, half).restore(STATE).tree
    assert_same(plain(step(restored)), plain(step(half)))


def test_any_tool_for_safetensors_opens_the_file(tmp_path):
    saved(tmp_path, STATE, 3, {"a": 1})
    path = tmp_path / "step-00000003.safetensors"
    with safe_open(path, "numpy") as file:
        np.testing.assert_array_equal(
            file.get_tensor("params/fc0/kernel"), STATE.params["fc0"]["kernel"]
        )
        metadata = file.metadata()
    assert json.loads(metadata["metadata"]) == {"a": 1}
    assert json.loads(metadata["keys"]) == {"key": "threefry2x32"}
    assert json.loads(metadata["versions"])["jax"] == jax.__version__
    assert_same(safetensors.load(path)["params"], STATE.params)


def test_saving_is_asynchronous_and_the_saved_tree_may_be_donated(monkeypatch, tmp_path):
    fetched, start = threading.Event(), FileStore.start

    def delayed_start(store, content):
        finish = start(store, content)
        return lambda: fetched.wait(30) and finish()

    monkeypatch.setattr(FileStore, "start", delayed_start)
    double = jax.jit(lambda x: 2 * x, donate_argnums=0)
    with Checkpoints(tmp_path) as checkpoints:
        x = jnp.arange(3.0)
        checkpoints.save(1, {"x": x}, {})
        assert not list(tmp_path.glob("*.safetensors"))
        double(x)
        assert x.is_deleted()
        fetched.set()
    assert_same(Checkpoints(tmp_path).restore(NUMBERS).tree, NUMBERS)


def test_metadata_changed_after_the_save_is_saved_as_it_was(monkeypatch, tmp_path):
    go, write = threading.Event(), checkpoint_file.write
    monkeypatch.setattr(checkpoint_file, "write", lambda *a: go.wait(30) and write(*a))
    metadata = {"losses": [1]}
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(1, NUMBERS, metadata)
        metadata["losses"].append(2)
        go.set()
    assert Checkpoints(tmp_path).restore(NUMBERS).metadata == {"losses": [1]}


def test_the_last_few_and_the_best_are_kept_and_the_best_across_processes(tmp_path):
    scores = {1: 0.5, 2: 0.2, 3: 0.4, 4: None, 5: float("nan"), 6: float("-inf")}
    for step, score in scores.items():  # each time a new object, as after a restart
        with Checkpoints(tmp_path, keep=2) as checkpoints:
            checkpoints.save(step, NUMBERS, {}, score=score)
    assert steps(tmp_path) == [2, 5, 6]


def test_without_scores_the_newest_are_kept(tmp_path):
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        for step in (5, 10, 100):
            checkpoints.save(step, NUMBERS, {})
    assert steps(tmp_path) == [100]


def test_of_equal_scores_the_newer_is_the_best(tmp_path):
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        for step in (1, 2, 3):
            checkpoints.save(step, NUMBERS, {}, score=0.5 if step < 3 else 1)
    assert steps(tmp_path) == [2, 3]


def test_the_last_save_is_kept_even_if_later_steps_exist(tmp_path):
    with Checkpoints(tmp_path, keep=1) as checkpoints:
        for step in (9, 4):
            checkpoints.save(step, NUMBERS, {})
    assert steps(tmp_path) == [4, 9]


def test_saving_a_step_again_replaces_it(tmp_path):
    saved(tmp_path, NUMBERS, metadata={"try": 1})
    saved(tmp_path, NUMBERS, metadata={"try": 2})
    assert Checkpoints(tmp_path).restore(NUMBERS).metadata == {"try": 2}


@pytest.mark.parametrize("folder", ["", "missing"], ids=["empty", "missing"])
def test_an_empty_or_missing_folder_has_no_checkpoint_and_is_not_changed(tmp_path, folder):
    checkpoints = Checkpoints(tmp_path / folder)
    assert checkpoints.latest() is None
    assert checkpoints.restore(NUMBERS) is None
    assert not list(tmp_path.iterdir())


def test_other_files_in_the_folder_are_ignored(tmp_path):
    others = ["step-1.safetensors", "step-00000002.safetensors.9-ff.old", "metrics.jsonl", "x.tmp"]
    others += ["step-000000003.safetensors", "..safetensors", "step-0000000\u0661.safetensors"]
    for name in others:
        (tmp_path / name).write_text("mine")
    assert Checkpoints(tmp_path).latest() is None
    saved(tmp_path, NUMBERS, keep=1)
    assert {path.name for path in tmp_path.iterdir()} == {*others, "step-00000001.safetensors"}


def test_a_step_can_be_restored_and_a_missing_one_is_refused(tmp_path):
    checkpoints = saved(tmp_path, NUMBERS, 4)
    saved(tmp_path, NUMBERS, 8)
    assert checkpoints.latest() == 8
    assert checkpoints.restore(NUMBERS, step=4).step == 4
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 5; it has \[4, 8\]"):
        checkpoints.restore(NUMBERS, step=5)


KERNEL = "params/fc0/kernel: expected float32 (5, 5), but got float32 (4, 4)"


@pytest.mark.parametrize(
    ("changed", "lines"),
    [
        (
            {"width": 5},
            {KERNEL, *(KERNEL.replace("params", f"opt_state/0/{n}") for n in ("mu", "nu"))},
        ),
        ({"depth": 2}, {"params/fc1/kernel: expected float32 (4, 4), but got no such leaf"}),
        ({"dtype": jnp.bfloat16}, {"params/fc0/kernel: expected bfloat16 (4, 4), but got float32"}),
        ({"tx": optax.sgd(1)}, {"opt_state/0/count: expected no such leaf, but got int32 ()"}),
        ({"impl": "rbg"}, {"key: expected rbg key, uint32 (4,), but got threefry2x32 key, uint32"}),
    ],
    ids=["width", "depth", "dtype", "optimizer", "key"],
)
def test_a_mismatch_names_every_leaf_and_does_not_fall_back(tmp_path, changed, lines):
    template = train_state(**changed)
    saved(tmp_path, template, 1)
    saved(tmp_path, STATE, 2)
    message = refusal(tmp_path, template)
    assert "step-00000002.safetensors does not fit" in message
    assert not {line for line in lines if line not in message}
    expected, stored = (
        {jax.tree_util.keystr(p, simple=True, separator="/"): (x.shape, x.dtype) for p, x in pairs}
        for pairs in (jax.tree.leaves_with_path(template), jax.tree.leaves_with_path(STATE))
    )
    differ = {name for name in {**expected, **stored} if expected.get(name) != stored.get(name)}
    assert {line.split(":")[0].strip() for line in message.splitlines()[1:-1]} == differ


def test_a_key_and_its_bare_data_are_not_the_same(tmp_path):
    saved(tmp_path, {"key": jax.random.key_data(jax.random.key(0))})
    message = refusal(tmp_path, {"key": jax.random.key(0)})
    assert "key: expected threefry2x32 key, uint32 (2,), but got uint32 (2,)" in message


@pytest.mark.parametrize(
    ("tree", "metadata", "message"),
    [
        ({"a/b": jnp.ones(1), "a": {"b": jnp.ones(1)}}, {}, "only 1 different paths"),
        ({"x": np.ones(2)}, {}, "x is float64, which JAX would cast to float32"),
        ({"x": jnp.ones(2, jnp.int4)}, {}, "int4"),
        (NUMBERS, {"x": {1, 2}}, "metadata that JSON can represent"),
    ],
    ids=["names", "float64", "int4", "metadata"],
)
def test_leaves_that_cannot_be_saved_unchanged_are_refused_at_once(
    tmp_path, tree, metadata, message
):
    with pytest.raises(CheckpointError, match=message):
        Checkpoints(tmp_path).save(1, tree, metadata)
    assert not list(tmp_path.iterdir())


def test_invalid_numbers_are_refused(tmp_path):
    with pytest.raises(CheckpointError, match="keep to be a positive integer, but got 0"):
        Checkpoints(tmp_path, keep=0)
    with pytest.raises(CheckpointError, match="at least 0, but got -1"):
        Checkpoints(tmp_path).save(-1, NUMBERS, {})


def test_a_later_format_is_refused_without_falling_back(monkeypatch, tmp_path):
    saved(tmp_path, NUMBERS, 1)
    with monkeypatch.context() as later:
        later.setattr(checkpoint_file, "FORMAT", "jaxnets checkpoint 2")
        saved(tmp_path, NUMBERS, 2)
    assert "'jaxnets checkpoint 2', but this jaxnets reads" in refusal(tmp_path, NUMBERS)


def test_a_damaged_newest_checkpoint_falls_back_with_a_warning(tmp_path):
    for step in (1, 2, 3):
        saved(tmp_path, NUMBERS, step)
    for step in (2, 3):
        (tmp_path / f"step-0000000{step}.safetensors").write_bytes(b"not this")
    with pytest.warns(CheckpointWarning, match=r"step-0000000[23].*\n.*step-00000001") as warned:
        assert Checkpoints(tmp_path).restore(NUMBERS).step == 1
    assert len(warned) == 2
    with pytest.raises(CheckpointError, match=r"step-00000003\.safetensors cannot be read"):
        Checkpoints(tmp_path).restore(NUMBERS, step=3)


def test_if_all_are_damaged_the_error_has_every_reason(tmp_path):
    for step in (1, 2):
        (tmp_path / f"step-0000000{step}.safetensors").write_bytes(b"not this")
    assert refusal(tmp_path, NUMBERS).count("cannot be read") == 2


def test_a_damaged_file_is_neither_counted_nor_the_best_nor_removed(tmp_path):
    for step in (1, 2, 3):
        with Checkpoints(tmp_path, keep=2) as checkpoints:
            checkpoints.save(step, NUMBERS, {}, score=step)
    damaged = tmp_path / "step-00000003.safetensors"
    damaged.write_bytes(damaged.read_bytes().replace(b'"score":"3.0"', b'"score":"0.0"'))
    saved(tmp_path, NUMBERS, 4, keep=1)
    assert steps(tmp_path) == [1, 3, 4]


def test_a_renamed_checkpoint_is_not_taken_for_another_step(tmp_path):
    saved(tmp_path, NUMBERS, 1)
    (tmp_path / "step-00000001.safetensors").rename(tmp_path / "step-00000009.safetensors")
    assert "holds step 1" in refusal(tmp_path, NUMBERS)


def test_names_that_look_like_paths_stay_in_the_folder(tmp_path):
    tree = {"../../out": jnp.ones(2), "/out": jnp.zeros(2), "\0": jnp.ones(1)}
    assert_same(saved(tmp_path / "run", tree).restore(tree).tree, tree)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_latest_valid_is_the_newest_step_that_is_not_damaged(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.latest_valid() is None
    for step in (1, 2, 3):
        saved(tmp_path, NUMBERS, step)
    assert checkpoints.latest_valid() == 3
    (tmp_path / "step-00000003.safetensors").write_bytes(b"not this")
    assert (checkpoints.latest(), checkpoints.latest_valid()) == (3, 2)
    for step in (1, 2):
        (tmp_path / f"step-0000000{step}.safetensors").write_bytes(b"not this")
    assert checkpoints.latest_valid() is None


@pytest.mark.parametrize("store", [FileStore, ShardedStore])
def test_a_relative_folder_is_resolved_when_it_is_passed(tmp_path, monkeypatch, store):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    checkpoints = Checkpoints("run", store=store)
    monkeypatch.chdir(tmp_path / "elsewhere")
    checkpoints.save(1, NUMBERS, {})
    checkpoints.wait()
    assert not list(Path().iterdir())
    assert_same(Checkpoints(tmp_path / "run", store=store).restore(NUMBERS).tree, NUMBERS)
