"""The benchmark's peers do the same work, and their networks learn."""

import subprocess
import sys
from functools import cache
from importlib import import_module
from importlib.util import find_spec

import jax
import numpy as np
import pytest

from experiments.bench.peers.choose import choose
from experiments.bench.peers.images import epochs, images
from experiments.bench.task import Task
from jaxnets import models

# The library that each peer imports. Rank promotion is allowed in their code.
IN_JAX = {"linen": "flax", "nnx": "flax", "stax": "jax", "equinox": "equinox"}
PEERS = {**IN_JAX, "stax_scan": "jax", "keras": "keras", "torch": "torch", "ours": "jax"}
MARKS = {name: pytest.mark.parity for name in ("equinox", "keras", "torch")}  # the extra's name
MARKS["torch_compile"] = [pytest.mark.parity, pytest.mark.slow]

# mlp: 784 * 500 + 500, 500 * 300 + 300, 300 * 10 + 10.
# cnn_bn: 9 * 16 + 2 * 16, 9 * 16 * 32 + 2 * 32, 9 * 32 * 64 + 2 * 64, 7 * 7 * 64 * 50 + 50,
# 50 * 10 + 10.
# cnn_5x5: 25 * 32 + 32, 25 * 32 * 64 + 64, 7 * 7 * 64 * 256 + 256, 256 * 10 + 10.
COUNTS = {"mlp": 545_810, "cnn_bn": 180_768, "cnn_5x5": 857_738}
LARGE = {
    "alexnet": 60_965_224,
    "vgg16": 138_357_544,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
}


def task(case="mlp", data_dir=None, **options):
    return Task(
        case, 128, **{"dtype": "float32", "devices": 1, "seed": 0, **options}, data_dir=data_dir
    )


def peer(name):
    """The peer's module; skips where its library is not installed."""
    library = PEERS.get(name, "torch")
    if find_spec(library) is None:
        pytest.skip(f"{library} is not installed: pip install -e '.[parity]'")
    return import_module(f"experiments.bench.peers.{name}")


def over(*names):
    """Parametrize over peers; mark those whose library the extra `parity` installs."""
    marked = [pytest.param(name, marks=MARKS.get(name, ())) for name in names]
    return pytest.mark.parametrize("name", marked)


# PyTorch's compiler warns about PyTorch's own code.
pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")


@pytest.fixture(autouse=True)
def peer_settings(request):
    # "rbg" keys compile twice as fast; Keras supports only "threefry2x32".
    kind = "threefry2x32" if "keras" in request.node.name else "rbg"
    with jax.numpy_rank_promotion("allow"), jax.default_prng_impl(kind):
        yield


@pytest.fixture(scope="module")
def trained(small_mnist):
    """A peer's name -> its trainer after 30 steps, the weights before, its first and last loss."""

    @cache
    def train(name):
        trainer = peer(name).make(task(data_dir=str(small_mnist)))
        assert trainer.prepare().keys() == {"trace", "compile"}
        before = first_weights(name, trainer) if name in PEERS else None  # for the counts
        return trainer, before, trainer.steps(1), trainer.steps(29)

    return train


@over(*PEERS, "torch_compile")
def test_the_loss_falls_and_digits_are_classified(trained, name):
    trainer, _, first, last = trained(name)
    assert 2 < first < 3  # near log 10, the loss of guessing among ten classes
    assert last < first / 2
    assert trainer.accuracy() > 0.6


def test_steps_in_a_scan_equal_single_steps(trained):
    _, _, *alone = trained("stax")
    _, _, *scanned = trained("stax_scan")
    np.testing.assert_allclose(scanned, alone, rtol=1e-3)


@over("ours", "stax", "stax_scan", "keras", "torch")  # the others' steps are those of stax
def test_the_rate_decays_to_zero_over_the_epochs(name, small_mnist):
    trainer = peer(name).make(task(data_dir=str(small_mnist), epochs=2))
    trainer.prepare()
    moved, weights = [], first_weights(name, trainer)
    for _ in range(3):
        trainer.epoch()
        before, weights = weights, first_weights(name, trainer)
        moved.append(max(abs(a - b).max() for a, b in zip(weights, before, strict=True)))
    assert moved[0] > 2 * moved[1] > 0
    assert moved[2] < 1e-6  # the rate is zero


@pytest.fixture(scope="module")
def population(small_mnist):
    """A peer's name -> the trainer of two members, their losses in 5 steps, the weights then."""

    @cache
    def population(name):
        trainer = peer(name).make(task("population", str(small_mnist), members=2))
        trainer.prepare()
        return trainer, [trainer.steps(1) for _ in range(5)], first_weights(name, trainer)

    return population


@over("ours", "stax", "stax_scan", "torch")  # linen's are vmapped like those of stax
def test_every_member_of_a_population_learns(population, name):
    trainer, (first, *_), _ = population(name)
    assert 2 < first < 3 and trainer.steps(95) < first / 2  # means of the members
    assert 0.6 < trainer.accuracy() <= 1


@pytest.mark.parametrize("name", ["linen", "stax"])
def test_a_member_of_a_jax_peers_population_is_the_network_of_its_seed(
    population, name, small_mnist
):
    alone = peer(name).make(task("population", str(small_mnist)))
    alone.steps(5)
    for both, first in zip(population(name)[2], first_weights(name, alone), strict=True):
        np.testing.assert_allclose(both[0], first, atol=1e-5)
        assert both.ndim == 2 or (both[0] != both[1]).any()  # biases start equal


@pytest.mark.parity
def test_a_member_of_torchs_population_equals_a_single_network():
    networks, torch = peer("torch_networks"), import_module("torch")
    x, y = torch.rand(5, 1, 28, 28), torch.arange(5)
    both = networks.Population(2).apply(networks.initialise)
    first = (both.hidden.weight[:32], both.kernels[0])
    logits = torch.relu(x.flatten(1) @ first[0].T) @ first[1]
    torch.testing.assert_close(both(x)[0], logits)  # biases are still zero
    loss = peer("torch").cross_entropy
    expected = torch.autograd.grad(loss(logits, y), first)
    found = torch.autograd.grad(loss(both(x), y), (both.hidden.weight, both.kernels))
    torch.testing.assert_close((found[0][:32], found[1][0]), expected)


def test_jaxnets_shards_a_batch_over_two_devices(small_mnist, monkeypatch):
    ours, losses = import_module("experiments.bench.peers.ours"), []
    monkeypatch.setitem(ours.NETWORKS, "mlp", lambda: models.mlp((8, 10)))  # compiles quickly
    for devices in (1, 2):
        trainer = ours.make(task("mlp", str(small_mnist), devices=devices))
        trainer.prepare()
        losses.append([trainer.steps(1) for _ in range(3)])
    assert losses[0][-1] < losses[0][0]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-4)


@pytest.mark.parity
@pytest.mark.parametrize("case", COUNTS | LARGE)
def test_torch_has_as_many_parameters_as_jaxnets(case):
    network = peer("torch_networks").CASES[case]
    with import_module("torch").device("meta"):
        parameters = list(network().parameters())
    assert sum(parameter.numel() for parameter in parameters) == (COUNTS | LARGE)[case]


@pytest.mark.parametrize("case", COUNTS)
@over("ours", *IN_JAX, "keras", "torch")
def test_all_peers_start_with_as_many_parameters_of_one_distribution(
    trained, name, case, small_mnist
):
    """Kernels are truncated normal, biases zero, and scales of batch norm one."""
    if case == "mlp":
        _, params, *_ = trained(name)
    else:
        params = first_weights(name, peer(name).make(task(case, str(small_mnist))))
    assert sum(leaf.size for leaf in params) == COUNTS[case]
    kernels = [leaf for leaf in params if leaf.ndim > 1]
    features_last = name not in ("equinox", "torch")
    found, largest = [], []
    for kernel in kernels:
        fan_in = kernel.size / kernel.shape[-1 if features_last else 0]
        found.append(kernel.std() * fan_in**0.5)
        largest.append(abs(kernel).max() * fan_in**0.5)
    sizes = np.array([kernel.size for kernel in kernels])
    assert (abs(np.array(found) - 1) < 4 / np.sqrt(2 * sizes)).all()  # 4 standard errors
    assert 2 < max(largest) < 2.28  # 2 / 0.87962566
    ones = [leaf for leaf in params if leaf.ndim == 1 and leaf.any()]
    assert len(ones) == (3 if case == "cnn_bn" else 0)  # scales of batch norm
    assert all((leaf == 1).all() for leaf in ones)


def first_weights(name, trainer):
    """The parameters as NumPy arrays, without axes of one."""
    if name == "torch":
        implementation = next(iter(trainer.implementations.values()), trainer.implementation)
        model = implementation.model
        params = [parameter.detach().numpy().copy() for parameter in model.parameters()]
    elif name == "keras":
        params = [variable.value for variable in trainer.model.trainable_variables]
    elif name == "ours":
        params = train_state_of(trainer).params
    else:
        params = trainer.carry.params
    return [np.squeeze(leaf) for leaf in jax.tree.leaves(params)]


def train_state_of(trainer):
    """Our trainer's train state; before `prepare`, the initial train state of its seed."""
    if hasattr(trainer, "run"):
        return trainer.run.train_state
    return jax.jit(trainer.train_step.init)(jax.random.key(0), trainer.train.x[:1])


@pytest.mark.parity
def test_torch_starts_from_its_initial_weights_after_its_trials(small_mnist):
    trainer = peer("torch").make(task("cnn_5x5", str(small_mnist)))
    trainer.prepare()
    assert all(name in trainer.notes for name in ("NCHW, eager", "channels_last, eager"))
    for name, value in trainer.implementation.model.state_dict().items():
        np.testing.assert_array_equal(value, trainer.implementation.first[name], strict=True)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"case": "vgg16"}, "does not have the case 'vgg16'; it has mlp, cnn"),
        ({"dtype": "float16"}, "float32 or bfloat16, but the task has dtype 'float16'"),
        ({"devices": 2}, "one device, but the task has 2"),
    ],
)
def test_a_task_that_a_peer_does_not_support_is_refused(wrong, words):
    assert choose(task(), {"mlp": 1, "cnn": 2}) == 1
    with pytest.raises(NotImplementedError, match=words):
        choose(task(**wrong), {"mlp": 1, "cnn": 2})


def test_every_epoch_shuffles_the_rows_and_drops_the_last_partial_batch():
    orders = epochs(300, task())
    first, second = next(orders), next(orders)
    assert first.shape == (2, 128) and first.dtype == np.int32
    assert len(np.unique(first)) == 256 and first.max() < 300
    assert (first != second).any()
    with pytest.raises(ValueError, match="128 need as many images, but there are 100"):
        next(epochs(100, task()))


def test_images_are_those_of_mnist_and_noise_depends_on_the_seed(small_mnist):
    from jaxnets import data

    train, test = images(task(data_dir=str(small_mnist)))
    expected = data.load("mnist", data_dir=small_mnist)
    for found, wanted in ((train, expected.train), (test, expected.test)):
        np.testing.assert_array_equal(found.x, wanted.x, strict=True)
        np.testing.assert_array_equal(found.y, wanted.y, strict=True)
    noise, _ = images(Task("resnet18", 2, seed=3))
    again, _ = images(Task("resnet18", 2, seed=3))
    assert noise.x.shape[1:] == (224, 224, 3)
    np.testing.assert_array_equal(noise.x, again.x)


def test_reading_images_imports_no_framework():
    command = "import sys, experiments.bench.peers.images; print({'jax', 'torch'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
