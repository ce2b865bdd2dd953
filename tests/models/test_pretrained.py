"""The trained networks in the package have the accuracy that they state."""

import hashlib
from pathlib import Path

import jax
import numpy as np
import pytest

from experiments import mnist_record, pretrained
from jaxnets import LayerError, data, models
from jaxnets.models.pretrained import RECIPES, network_of, to_bytes

DIGITS = models.pretrained("mnist")
WEIGHTS = Path(models.__file__).parent / "weights"


def test_the_digits_have_the_stated_accuracy_on_the_test_images():
    """On the first 500; `experiments.pretrained` measures all."""
    x, y = (part[:500] for part in data.load("mnist").test)
    logits = jax.jit(DIGITS.model.apply)(DIGITS.params, DIGITS.state, x)[0]
    assert DIGITS.accuracy == 0.9950
    assert (np.asarray(logits).argmax(-1) == y).mean() == pytest.approx(DIGITS.accuracy, abs=0.01)


@pytest.mark.parametrize("name", RECIPES)
def test_each_network_is_that_of_its_recipe(name):
    network = models.pretrained(name)
    x = jax.ShapeDtypeStruct((1, 28, 28, 1), np.uint8)
    specs = jax.eval_shape(network.model.init, jax.random.key(0), x)
    assert jax.tree.map(lambda a: a.shape, (network.params, network.state)) == jax.tree.map(
        lambda a: a.shape, specs
    )
    assert len(network.classes) == 10 and 0.92 < network.accuracy < 1
    assert network.command.startswith("python -m experiments.")


def test_the_files_take_at_most_2_megabytes_in_total():
    assert sum(path.stat().st_size for path in WEIGHTS.iterdir()) <= 2e6


def test_rounding_again_gives_the_same_file():
    metadata = {"command": DIGITS.command, "seed": "0", "accuracy": str(DIGITS.accuracy)}
    content = to_bytes(DIGITS.params, DIGITS.state, metadata)
    assert hashlib.sha256(content).hexdigest() == RECIPES["mnist"].sha256
    assert pretrained.COMMANDS["mnist"] == DIGITS.command


def test_the_network_is_that_of_the_experiment():
    x = jax.ShapeDtypeStruct((1, 28, 28, 1), np.uint8)
    ours, theirs = (
        str(jax.make_jaxpr(model.apply)(DIGITS.params, DIGITS.state, x))
        for model in (network_of(RECIPES["mnist"]), mnist_record.model)
    )
    assert ours == theirs


def test_an_unknown_name_and_a_damaged_file_are_refused(monkeypatch):
    with pytest.raises(LayerError, match="pretrained expects mnist, fashion_mnist, but got 'cifar"):
        models.pretrained("cifar")
    damaged = RECIPES["mnist"]._replace(sha256="0" * 64)
    monkeypatch.setitem(RECIPES, "mnist", damaged)
    with pytest.raises(LayerError, match=r"expects the SHA-256 0000.* for mnist, but got 8ad9"):
        models.pretrained("mnist")
