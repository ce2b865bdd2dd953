"""Sharded state is restored in any sharding, bit for bit; Orbax's files are verified first."""

import os
import resource
import shutil
import socket
import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest
from helpers import assert_same
from jax.sharding import NamedSharding, PartitionSpec
from states import plain, train_state

from jaxnets.training import CheckpointError, Checkpoints, CheckpointWarning, ShardedStore
from jaxnets.training.checkpoint import file


def sharded(tree):
    """The tree with each first axis sharded over the devices, if they divide it."""
    mesh = jax.make_mesh((len(jax.devices()),), ("data",))

    def put(leaf):
        divides = leaf.ndim > 0 and leaf.shape[0] % len(jax.devices()) == 0
        spec = PartitionSpec("data") if divides else PartitionSpec()
        return jax.device_put(leaf, NamedSharding(mesh, spec))

    return jax.tree.map(put, tree)


STATE = sharded(train_state(width=8))


def saved(folder, *steps, tree=STATE, score=None, keep=3):
    with Checkpoints(folder, keep=keep, store=ShardedStore) as checkpoints:
        for step in steps:
            checkpoints.save(step, tree, {"seed": 0}, score=score)
    return checkpoints


def data_files(folder):
    """Orbax's data files, the largest first."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.parent.name == "d"]
    return sorted(files, key=lambda path: -path.stat().st_size)


def test_a_sharded_train_state_is_restored_bit_for_bit_in_its_sharding(tmp_path):
    tree, metadata, step = saved(tmp_path, 3).restore(STATE)
    assert_same(plain(tree), plain(STATE))
    assert (metadata, step) == ({"seed": 0}, 3)
    kernel = tree.params["fc0"]["kernel"]
    assert kernel.sharding == STATE.params["fc0"]["kernel"].sharding
    assert len(kernel.sharding.device_set) == len(jax.devices()) > 1


PROGRAM = """
import sys
sys.path[:0] = ["tests", "tests/training/checkpoint"]
from test_sharded import *
assert len(jax.devices()) == 8
saved(sys.argv[1], 5)
"""


def run(program, *arguments, devices):
    flags = f"--xla_force_host_platform_device_count={devices}"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.Popen(command, env=environment)


def test_what_eight_devices_saved_is_restored_on_two_or_on_one(tmp_path):
    assert run(PROGRAM, tmp_path, devices=8).wait(60) == 0
    checkpoints = Checkpoints(tmp_path, store=ShardedStore)
    for template in (STATE, jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), STATE)):
        assert_same(plain(checkpoints.restore(template).tree), plain(train_state(width=8)))


def test_a_flipped_bit_in_a_shard_is_named_and_restore_falls_back(tmp_path):
    checkpoints = saved(tmp_path, 1, 2)
    for path in data_files(tmp_path / "2"):
        intact = path.read_bytes()
        path.write_bytes(intact[:-1] + bytes([intact[-1] ^ 1]))
        with pytest.raises(CheckpointError, match=path.name):
            checkpoints.restore(STATE, step=2)
        with pytest.warns(CheckpointWarning, match=path.name):
            assert checkpoints.restore(STATE).step == 1
        path.write_bytes(intact)
    assert checkpoints.restore(STATE).step == 2


@pytest.mark.parametrize(
    "entries",
    [{}, {"files": 3}, {"leaves": []}, {"leaves": {"a": 1}}, {"leaves": {"a": ["f", 1, None]}}],
    ids=str,
)
def test_a_manifest_with_other_entries_is_refused_in_one_line(tmp_path, entries):
    checkpoints = saved(tmp_path, 1)
    path = tmp_path / "1" / "manifest.safetensors"
    content = file.read(path)
    metadata = content.metadata | entries if entries else {}
    file.write(path, content._replace(metadata=metadata))
    with pytest.raises(CheckpointError, match=r"manifest\.safetensors is not a manifest") as raised:
        checkpoints.restore(STATE, step=1)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("what", ["missing", "added", "manifest", "pipe"])
def test_a_folder_that_was_changed_is_refused(tmp_path, what):
    checkpoints, path = saved(tmp_path, 1), data_files(tmp_path / "1")[0]
    if what == "added":
        (path.parent / "more").touch()
    else:
        path = tmp_path / "1" / "manifest.safetensors" if what == "manifest" else path
        path.unlink()
    if what == "pipe":
        os.mkfifo(path)
    with pytest.raises(CheckpointError, match=rf"more|{path.name}"):
        checkpoints.restore(STATE)


def test_a_mismatch_names_its_leaves_before_orbax_sees_it(tmp_path):
    template = train_state(width=8, dtype=jnp.bfloat16, impl="rbg")
    with pytest.raises(CheckpointError) as raised:
        saved(tmp_path, 1).restore(template)
    message = str(raised.value)
    assert "params/fc0/kernel: expected bfloat16 (8, 8), but got float32 (8, 8)" in message
    assert "key: expected rbg key" in message


def test_the_last_few_and_the_best_are_kept_and_a_step_is_replaced(tmp_path):
    for step, score in ((1, 0.5), (2, 0.1), (3, 0.3), (4, 0.3), (4, 0.2)):
        saved(tmp_path, step, tree={"x": jnp.full(2, score)}, score=score, keep=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "4"]
    restored = Checkpoints(tmp_path, store=ShardedStore).restore({"x": jnp.zeros(2)}).tree
    assert_same(restored, {"x": jnp.full(2, 0.2)})


def test_names_that_look_like_paths_stay_in_the_folder(tmp_path):
    tree = {"../../out": jnp.ones(2), "/out": jnp.zeros(2)}
    assert_same(saved(tmp_path / "run", 1, tree=tree).restore(tree).tree, tree)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_step_that_was_removed_can_be_saved_again(tmp_path):
    checkpoints = saved(tmp_path, 1, 2, 1, keep=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]
    assert checkpoints.restore(STATE, step=1).step == 1


def test_an_interrupted_removal_leaves_no_checkpoint_that_seems_valid(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "rmtree", lambda *arguments, **options: None)
    checkpoints = saved(tmp_path, 1, 2, keep=1)
    with pytest.raises(CheckpointError, match=r"1/manifest\.safetensors cannot be read"):
        checkpoints.restore(STATE, step=1)


def test_a_background_write_that_fails_is_raised_and_leaves_the_earlier_checkpoint(tmp_path):
    checkpoints = saved(tmp_path, 1)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, before[1]))
    try:
        checkpoints.save(2, {"x": jax.random.normal(jax.random.key(0), (2**19,))}, {})
        with pytest.raises(CheckpointError, match="Orbax failed"):
            checkpoints.wait()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert Checkpoints(tmp_path, store=ShardedStore).restore(STATE).step == 1
    checkpoints.save(3, STATE, {})
    checkpoints.wait()
    assert Checkpoints(tmp_path, store=ShardedStore).restore(STATE).step == 3


def test_a_save_killed_before_its_manifest_falls_back_with_a_warning(tmp_path):
    checkpoints = saved(tmp_path, 1, 2)
    (tmp_path / "2" / "manifest.safetensors").unlink()
    with pytest.warns(CheckpointWarning, match=r"2/manifest\.safetensors cannot be read"):
        assert checkpoints.restore(STATE).step == 1


def test_a_deleted_folder_is_an_error_and_is_not_created_again(tmp_path):
    checkpoints = saved(tmp_path, 1)
    tmp_path.rename(tmp_path.parent / "elsewhere")
    with pytest.raises(CheckpointError, match="could not be saved"):
        checkpoints.save(2, STATE, {})
    assert not tmp_path.exists()
    assert Checkpoints(tmp_path.parent / "elsewhere", store=ShardedStore).restore(STATE).step == 1


TWO = """
import sys
import jax, jax.numpy as jnp
from jax.sharding import NamedSharding, PartitionSpec
from jaxnets.training import CheckpointError, Checkpoints, ShardedStore
folder, address, number = sys.argv[1:]
jax.config.update("jax_cpu_collectives_implementation", "gloo")
jax.distributed.initialize(address, num_processes=2, process_id=int(number))
assert len(jax.devices()) == 4 and len(jax.local_devices()) == 2
mesh = jax.make_mesh((4,), ("data",))
spread, replicated = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in (["data"], []))

def state(seed):
    key = jax.random.key(seed)
    x = jnp.arange(24.0).reshape(8, 3) + seed  # integers, so that no program rounds them
    return {"x": x, "key": key, "step": jnp.int32(seed)}

shardings = {"x": spread, "key": replicated, "step": replicated}
make = jax.jit(state, static_argnums=0, out_shardings=shardings)
with Checkpoints(folder, keep=2, store=ShardedStore) as checkpoints:
    for step in (1, 2, 3):
        checkpoints.save(step, make(step), {"seed": step})
try:
    Checkpoints(folder).save(1, make(1), {})
except CheckpointError as error:
    assert "key, step, x are also on devices of other processes; pass Check" in str(error)
else:
    raise AssertionError
restored = checkpoints.restore(make(0))
assert (restored.step, restored.metadata) == (3, {"seed": 3})
assert restored.tree["x"].sharding == spread
assert jax.jit(lambda a, b: (a["x"] == b["x"]).all())(restored.tree, make(3))
"""


def test_two_processes_save_and_restore_one_state_together(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    both = [run(TWO, tmp_path, address, number, devices=2) for number in (0, 1)]
    try:
        assert [process.wait(50) for process in both] == [0, 0]
    finally:
        for process in both:
            process.kill()
    key = jax.random.key(3)
    x = jnp.arange(24.0).reshape(8, 3) + 3
    saved_state = {"x": x, "key": key, "step": jnp.int32(3)}
    restored = Checkpoints(tmp_path, store=ShardedStore).restore(saved_state)
    assert_same(plain(restored.tree), plain(saved_state))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]
