"""Compiled programs are cached as long as their train step is alive, and no longer."""

import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path

import jax
import optax
import pytest
from clouds import HPARAMS, TRAIN, VALIDATION, by_rate, clouds, run
from compilations import compiled
from refusals import chunks_compiled

from jaxnets import Layer, losses, models
from jaxnets.training import evaluate, find_learning_rate, make_train_step, predict_proba
from jaxnets.training.population import fit_population
from jaxnets.training.programs import _PROGRAMS, MAX_PROGRAMS, program

HERE = Path(__file__).parent
OPTIMIZER = optax.sgd(0.1)
PROGRAM = """
import ctypes, gc, sys
import optax
from clouds import TRAIN, VALIDATION, run
from jaxnets import losses, models
from jaxnets.training import evaluate, make_train_step

def fit_and_forget():
    step = make_train_step(
        models.mlp((8, 3)), optax.adam(0.01), lambda o, y: losses.softmax_cross_entropy(o, y)
    )
    evaluate(step, run(step, validation=VALIDATION, epochs=1).train_state, TRAIN)

def resident():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * 4096 / 1e6

for _ in range(2):  # warm-up: global programs are compiled once
    fit_and_forget()
before = resident()
for _ in range(5):
    fit_and_forget()
print(resident() - before)
"""


def used_by(step):
    """Train, evaluate, predict, run a range test and train a population with a train step."""
    fitted = run(step, epochs=1, validation=VALIDATION)
    options = {"hparams": HPARAMS}
    evaluate(step, fitted.train_state, TRAIN, **options)
    predict_proba(step, fitted.train_state, TRAIN[0], **options)
    find_learning_rate(step, fitted.train_state, TRAIN, batch_size=12, steps=6, **options)
    fit_population(
        *(step, TRAIN),
        keys=jax.random.split(jax.random.key(0), 2),
        hparams={"learning_rate": jax.numpy.array([0.1, 0.2])},
        epochs=1,
        batch_size=12,
        strategy="map",
    )


def alive(programs):
    """The number of weak references that are alive."""
    gc.collect()
    return sum(program() is not None for program in programs)


def test_programs_are_freed_with_their_train_step():
    step = by_rate(models.linear(3))
    used_by(step)
    programs = [weakref.ref(program) for program in _PROGRAMS[step].values()]
    count, dies = len(_PROGRAMS), weakref.ref(step)
    assert alive(programs) == len(programs) > 5
    del step
    assert alive(programs) == 0
    assert dies() is None
    assert len(_PROGRAMS) == count - 1


def test_equal_train_steps_share_their_programs():
    model, optimizer = models.linear(3), optax.sgd(0.1)

    def equal():
        return make_train_step(model, optimizer, losses.softmax_cross_entropy)

    first = equal()
    run(first, epochs=1)
    before = chunks_compiled()
    run(equal(), epochs=1)
    assert chunks_compiled() == before


def test_a_run_compiles_its_chunk_and_its_evaluation_once_and_no_copies_of_data():
    step, data = by_rate(models.linear(3)), clouds(59)  # a number of rows of this test alone
    compiled.clear()
    run(step, data, validation=VALIDATION)
    assert compiled.count("jit(chunk)") == compiled.count("jit(block_sums)") == 1
    assert not {"jit(stage)", "jit(convert_element_type)", "jit(broadcast_in_dim)"} & {*compiled}


def test_an_error_that_only_evaluation_raises_is_raised():
    def apply(params, state, x, *, key=None, train=False):
        if not train:
            raise RuntimeError("not in evaluation")
        return models.linear(3).apply(params, state, x, key=key, train=train)

    with pytest.raises(RuntimeError, match="not in evaluation"):
        run(by_rate(Layer(models.linear(3).init, apply)), validation=VALIDATION)


def test_a_train_step_keeps_a_bounded_number_of_programs():
    train_step = make_train_step(models.linear(3), optax.sgd(0.1), losses.softmax_cross_entropy)

    def number(step, i):
        del step
        return lambda: i

    programs = [program(train_step, number, i) for i in range(MAX_PROGRAMS + 1)]
    assert len(_PROGRAMS[train_step]) == MAX_PROGRAMS
    assert program(train_step, number, MAX_PROGRAMS) is programs[-1]
    assert program(train_step, number, 0) is not programs[0]  # the oldest was evicted


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, and trims glibc's memory")
def test_training_many_models_does_not_leak_memory():
    path = os.pathsep.join([str(HERE), str(HERE.parents[1])])
    environment = {**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 25  # MB; 5 models that are kept take 60 or more


def test_a_program_outlives_the_equal_train_step_that_it_was_made_for():
    def made(step):
        return lambda x: x + len(step().named_metrics)

    model = models.mlp((2,))
    first, second = (make_train_step(model, OPTIMIZER, losses.mean_squared_error) for _ in range(2))
    compiled, shared = program(first, made), program(second, made)
    assert first == second and compiled is shared
    del first
    gc.collect()
    assert shared(1) == 2 and shared(1.0) == 2  # traced after the first is gone
