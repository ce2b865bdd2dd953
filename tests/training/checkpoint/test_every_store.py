"""The laws of every checkpoint store, and of a minimal one in memory."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from helpers import assert_same, normal
from states import plain, train_state

from jaxnets import dense, losses, training
from jaxnets.errors import DamagedError
from jaxnets.training import CheckpointError, Checkpoints, FileStore, ShardedStore, fit
from jaxnets.training.checkpoint.store import Store


class MemoryStore:
    """Keeps the contents in a dict of each folder."""

    def __init__(self, folder, contents):
        self.contents = contents.setdefault(folder, {})

    def path(self, step):
        return Path(f"memory-{step}")

    def steps(self):
        return list(self.contents)

    def start(self, content):
        def finish():
            arrays = jax.tree.map(np.array, content.arrays)
            self.contents[content.step] = content._replace(arrays=arrays)

        return finish

    def settle(self):
        """Nothing to wait for."""

    def read(self, step):
        if step not in self.contents:
            raise DamagedError(f"{self.path(step)} is missing")
        return self.contents[step]

    def arrays(self, content, template):
        return content.arrays

    def remove(self, step):
        self.contents.pop(step, None)


STORES = {"FileStore": FileStore, "ShardedStore": ShardedStore}
STORES["MemoryStore"] = partial(MemoryStore, contents={})
every_store = pytest.mark.parametrize("store", STORES.values(), ids=STORES)
STATE = train_state()
NUMBERS = {"x": jnp.arange(3.0)}


def test_the_table_covers_every_public_store():
    public = {name for name in training.__all__ if name.endswith("Store")}
    assert public <= STORES.keys(), "add the new store to STORES"


@every_store
def test_a_store_has_the_methods_of_the_protocol(store, tmp_path):
    methods = [name for name in vars(Store) if not name.startswith("_")]
    made = store(tmp_path)
    assert not [name for name in methods if not callable(getattr(made, name, None))]


@every_store
def test_a_train_state_comes_back_bit_for_bit_though_it_is_donated(store, tmp_path):
    state = jax.tree.map(jnp.copy, STATE)
    with Checkpoints(tmp_path, store=store) as checkpoints:
        checkpoints.save(3, state, {"seed": 0, "loss": float("nan")}, score=0.5)
        jax.tree.map(lambda leaf: leaf.delete(), state)
    template = jax.eval_shape(lambda: STATE)
    tree, metadata, step = Checkpoints(tmp_path, store=store).restore(template)
    assert_same(plain(tree), plain(STATE))
    assert jax.random.key_impl(tree.key) == jax.random.key_impl(STATE.key)
    assert (metadata["seed"], np.isnan(metadata["loss"]), step) == (0, True, 3)


@every_store
def test_the_newest_and_the_best_are_kept(store, tmp_path):
    with Checkpoints(tmp_path, keep=2, store=store) as checkpoints:
        assert checkpoints.latest() is checkpoints.restore(NUMBERS) is None
        for step, score in ((1, 5.0), (2, 1.0), (3, 3.0), (4, 4.0), (10, 5.0)):
            checkpoints.save(step, {"x": NUMBERS["x"] + step}, {}, score=score)
    reopened = Checkpoints(tmp_path, keep=2, store=store)
    assert sorted(reopened._store.steps()) == [2, 4, 10]
    assert reopened.latest() == reopened.latest_valid() == 10
    assert_same(reopened.restore(NUMBERS, step=2).tree, {"x": NUMBERS["x"] + 2})
    with pytest.raises(CheckpointError, match=r"no checkpoint of step 3; it has \[2, 4, 10\]"):
        reopened.restore(NUMBERS, step=3)


@every_store
def test_a_step_that_is_saved_again_is_replaced(store, tmp_path):
    for number in (1, 2):
        with Checkpoints(tmp_path, store=store) as checkpoints:
            checkpoints.save(7, {"x": number * NUMBERS["x"]}, {"try": number})
    tree, metadata, _ = checkpoints.restore(NUMBERS)
    assert_same((tree, metadata), ({"x": 2 * NUMBERS["x"]}, {"try": 2}))


@every_store
def test_a_step_that_vanishes_is_damaged_and_may_be_removed_again(store, tmp_path):
    with Checkpoints(tmp_path, store=store) as checkpoints:
        checkpoints.save(1, NUMBERS, {})
    for _ in range(2):
        checkpoints._store.remove(1)
    with pytest.raises(DamagedError, match=str(checkpoints._store.path(1))):
        checkpoints._store.read(1)
    assert checkpoints.latest() is None


@every_store
def test_a_run_continues_bit_for_bit(store, tmp_path):
    step = training.make_train_step(dense(1), optax.adam(0.1), losses.squared_error)
    data = (normal(12, 2), normal(12, 1, seed=1))
    options = {"key": jax.random.key(0), "batch_size": 4}
    whole = fit(step, data, epochs=2, **options)
    for epochs in (1, 2):
        with Checkpoints(tmp_path, store=store) as checkpoints:
            result = fit(
                step, data, epochs=epochs, checkpoints=checkpoints, resume=epochs == 2, **options
            )
    assert_same(plain(result.train_state), plain(whole.train_state))
