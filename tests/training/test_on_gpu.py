"""On a GPU, layers, models and training give the results of a CPU.

`pytest -m gpu` runs these tests, and only these, on the GPU; every other `pytest` runs on the CPU.
In float32 a GPU multiplies in TF32 by default, with 10 bits of mantissa, so the layers are compared
twice: in full float32, and as users run them.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import CASES
from clouds import HPARAMS, MODEL, TRAIN, TRAIN_STEP, VALIDATION, by_rate, clouds, run
from helpers import assert_same
from networks import NETWORKS

from jaxnets import conv, dense, flatten, max_pool, metrics, models, serial
from jaxnets.training import Checkpoints, Interrupted, evaluate
from jaxnets.training.population import fit_population

pytestmark = pytest.mark.gpu

# Without batch norm over two examples, whose gradients magnify every rounding.
SMOOTH = ("fcn", "gpt", "lenet5", "lstm_classifier", "mlp", "small_cnn", "transformer_block")
KEYS = jax.random.split(jax.random.key(5), 3)


@pytest.fixture(scope="module")
def cpu():
    return jax.devices("cpu")[0]


def gradients(layer, x, device):
    """The outputs and the gradients with respect to params and inputs, computed on a device."""
    with jax.default_device(device):
        x = jax.device_put(x, device)
        params, state = layer.init(jax.random.key(0), x)

        def loss(params, x):
            outputs, _ = layer.apply(params, state, x)
            leaves = [leaf.astype(jnp.float32) for leaf in jax.tree.leaves(outputs)]
            return sum(jnp.sin(leaf).sum() for leaf in leaves), outputs

        with_respect_to = (0, 1) if all_floating(x) else 0
        differentiate = jax.jit(jax.value_and_grad(loss, with_respect_to, has_aux=True))
        (_, outputs), gradient = differentiate(params, x)
        return jax.device_get((params, outputs, gradient))


def assert_close_in_all(actual, expected, tolerance):
    """Each array within `tolerance` of its largest value, or of 1 % of the largest of all.

    The gradient of a bias before batch norm, or of attention's keys, is zero except for rounding.
    """
    largest = max(np.max(np.abs(leaf), initial=0) for leaf in jax.tree.leaves(expected))

    def close(actual, expected):
        scale = max(np.max(np.abs(expected), initial=0), 0.01 * largest)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * scale)

    jax.tree.map(close, actual, expected)


def all_floating(tree):
    return all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("precision, tolerance", [("highest", 1e-4), ("default", 2e-2)])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_layers_and_their_gradients_equal_those_on_a_cpu(case, precision, tolerance, cpu, gpu):
    with jax.default_matmul_precision(precision):
        actual = gradients(case.layer, case.x, gpu)
    assert_close_in_all(actual, gradients(case.layer, case.x, cpu), tolerance)


@pytest.mark.parametrize("name", SMOOTH)
def test_models_and_their_gradients_equal_those_on_a_cpu(name, cpu, gpu):
    network = NETWORKS[name]
    model = getattr(models, name)(**network.arguments)
    x = np.random.default_rng(0).integers(0, 5, (2, *network.shape)).astype(network.dtype)
    with jax.default_matmul_precision("highest"):
        actual = gradients(model, x, gpu)
    assert_close_in_all(actual, gradients(model, x, cpu), 1e-3)


def test_a_run_equals_that_on_a_cpu(cpu, gpu):
    step = by_rate(serial(("fc1", dense(8)), jnp.tanh, ("head", dense(3))))
    with jax.default_matmul_precision("highest"):
        actual = run(step)
        with jax.default_device(cpu):
            expected = run(step)
    assert_close_in_all(
        jax.device_get(actual.train_state.params), jax.device_get(expected.train_state.params), 1e-3
    )


@pytest.mark.parametrize("dtype", [None, jnp.bfloat16], ids=["float32", "bfloat16"])
def test_runs_learn(dtype, gpu):
    step = by_rate(MODEL, metrics={"accuracy": metrics.accuracy}, compute_dtype=dtype)(HPARAMS)
    fitted = run(step, epochs=20)
    assert evaluate(step, fitted.train_state, VALIDATION)["accuracy"] > 0.9


@pytest.mark.parametrize("at", [3, 10, 13])
def test_an_interrupted_run_resumes_bit_for_bit(tmp_path, at, gpu):
    def report(progress):
        if progress.step >= at:
            raise KeyboardInterrupt

    options = {"data": clouds(300), "epochs": 2, "batch_size": 12, "chunk_seconds": 1e-9}
    with pytest.raises((Interrupted, KeyboardInterrupt)), Checkpoints(tmp_path) as checkpoints:
        run(checkpoints=checkpoints, report=report, **options)
    with Checkpoints(tmp_path) as checkpoints:
        continued = run(checkpoints=checkpoints, resume=True, **options)
    undisturbed = run(**{**options, "chunk_seconds": 10.0})
    assert_same(weights(continued), weights(undisturbed))


def weights(fitted):
    return jax.device_get(fitted.train_state.params)


@pytest.mark.parametrize("strategy", ["vmap", "map"])
def test_members_of_a_population_equal_single_runs(strategy, gpu):
    options = {"batch_size": 12, "epochs": 2}
    hparams = {"learning_rate": jnp.full(len(KEYS), 0.1)}
    with jax.default_matmul_precision("highest"):
        members = fit_population(
            TRAIN_STEP, TRAIN, keys=KEYS, hparams=hparams, strategy=strategy, **options
        )
        for number, key in enumerate(KEYS):
            single = run(key=key, **options)
            member = jax.tree.map(lambda leaf, n=number: leaf[n], members.train_states.params)
            assert_close_in_all(jax.device_get(member), weights(single), 1e-3)


def test_a_convolutional_network_is_evaluated_as_on_a_cpu(cpu, gpu):
    model = serial(
        ("conv1", conv(4, (3, 3))), jax.nn.relu, max_pool((2, 2)), flatten, ("head", dense(3))
    )
    step = by_rate(model)(HPARAMS)
    x = np.random.default_rng(1).normal(size=(40, 8, 8, 1)).astype(np.float32)
    y = np.arange(40, dtype=np.int32) % 3
    evaluated = {}
    for device in (cpu, gpu):
        with jax.default_device(device), jax.default_matmul_precision("highest"):
            state = step.init(jax.random.key(0), x[:1])
            evaluated[device] = evaluate(step, state, (x, y))["loss"]
    assert evaluated[gpu] == pytest.approx(evaluated[cpu], rel=1e-4)
