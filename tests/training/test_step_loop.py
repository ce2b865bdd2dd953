"""On accelerators a chunk's steps run in blocks of a length that the compiler knows."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from clouds import TRAIN, plain
from helpers import assert_close

from jaxnets import dense, dropout, losses, serial
from jaxnets.arrays import Examples
from jaxnets.training import make_train_step, source
from jaxnets.training.chunk import make_chunk
from jaxnets.training.runners import Members, OneModel
from jaxnets.training.start import make_loop
from jaxnets.training.step_loop import BLOCK, loop_in_blocks

MODEL = serial(("drop", dropout(0.2)), ("head", dense(3)))
STEP = make_train_step(MODEL, optax.sgd(0.1, momentum=0.9), losses.softmax_cross_entropy)
ROWS = 2 * BLOCK + 3  # one per step, so that an epoch has two blocks and three more steps
STEPS = 2 * ROWS - 1
RUNNERS = {"one model": OneModel(), "vmap": Members(2, "vmap"), "map": Members(2, "map")}
KNOWN = rf'known_trip_count":{{"n":"{BLOCK}"}}'
# A loop from 0 to a constant: its counter is the loop's second value, after the block's first step.
CONSTANT_BOUND = r"compare +LT, %iterArg_\w+, %(c\w*), SIGNED"


def chunk_of(runner, remainder="drop"):
    """The function of a chunk, and its arguments."""
    loop = make_loop(
        *(STEP, Examples(*(jnp.asarray(a[:ROWS]) for a in TRAIN)), jax.random.key(1)),
        batch_size=1,
        remainder=remainder,
        on_nonfinite="ignore",
        evaluate_every=(1, "epochs"),
        devices=1,
        runner=runner,
    )
    key = jax.random.key(0)
    keys = key if isinstance(runner, OneModel) else jax.random.split(key, runner.members)
    train_state = loop.init(keys, None)
    sums, (arrays, _) = loop.zero_sums(train_state, None), loop.source.read(0, STEPS)
    run = make_chunk(lambda: STEP, runner, loop.source.reader, False, ())
    return run, loop.arguments(train_state, sums, None, arrays, 0, STEPS)


@pytest.mark.parametrize("name", RUNNERS)
def test_a_chunk_in_blocks_takes_the_same_steps_in_one_program(name, monkeypatch):
    run, arguments = chunk_of(RUNNERS[name])
    expected = jax.jit(run)(*arguments)
    monkeypatch.setattr(source, "step_loop", loop_in_blocks)
    run, _ = chunk_of(RUNNERS[name])
    compiled = jax.jit(run).lower(*arguments).compile()
    assert re.search(KNOWN, compiled.as_text())
    train_state, sums, objectives = compiled(*arguments)
    # Equal bit for bit if compiled as users do; quick compilation fuses the loops differently.
    assert_close((plain(train_state), sums, objectives), (plain(expected[0]), *expected[1:]))


@pytest.mark.parametrize("name", RUNNERS)
def test_a_chunk_has_an_inner_loop_with_a_constant_bound_for_a_gpu_but_not_for_a_cpu(name):
    run, arguments = chunk_of(RUNNERS[name])
    for platform, count in (("cuda", 1), ("cpu", 0)):
        text = jax.export.export(jax.jit(run), platforms=[platform])(*arguments).mlir_module()
        assert text.count("func.func public") == 1
        assert bounds_of_loops(text).count(BLOCK) == count


def bounds_of_loops(text):
    """The constant upper bounds of the loops in a module's text."""
    constants = dict(re.findall(r"%(c\w*) = stablehlo.constant dense<(\d+)> : tensor<i32>", text))
    bounds = re.findall(CONSTANT_BOUND, text)
    return [int(constants[name]) for name in bounds if name in constants]


@jax.jit
def visited(start, stop):
    """Which of 40 steps `loop_in_blocks` takes, in which order."""

    def step(number, carry):
        order, taken = carry
        return order.at[number].set(taken), taken + 1

    return loop_in_blocks(start, stop, step, (jnp.full(40, -1), 0))[0]


@pytest.mark.parametrize("start", [0, 3, BLOCK])
@pytest.mark.parametrize("steps", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK])
def test_the_steps_are_taken_in_order_and_once(start, steps):
    expected = np.full(40, -1)
    expected[start : start + steps] = np.arange(steps)
    np.testing.assert_array_equal(visited(start, start + steps), expected)
