"""Small runs of the experiment on initial weights and of the example of a custom layer."""

import json

import numpy as np
import pytest

from experiments import custom_layer, initialisation


@pytest.fixture(scope="module")
def result(small_mnist, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "new"
    sizes = {"units": 4, "steps": 20, "every": 10, "batch_size": 32, "depth": 4, "width": 20}
    config = initialisation.Config(data_dir=small_mnist, out=folder, **sizes)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("normal, sd 0.5", "Glorot: variance 2 / (in + out)"):
            patch.delitem(initialisation.INITIALISERS, name)
        patch.delitem(initialisation.ACTIVATIONS, "tanh")
        returned = initialisation.experiment(config)
    assert json.loads((folder / "result.json").read_text(encoding="utf-8")) == returned
    for name in ("collapse.png", "gradients.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    return returned


def test_from_zeros_all_hidden_units_stay_equal_and_from_glorot_all_are_distinct(result):
    zeros, glorot = result["training"]["zeros"], result["training"]["Glorot"]
    assert zeros["updates"] == [10, 20]
    assert zeros["distinct_units"] == zeros["rank"] == [1, 1]
    assert glorot["distinct_units"] == glorot["rank"] == [4, 4]
    assert glorot["loss"][-1] < zeros["loss"][-1]


def test_gradients_vanish_or_keep_their_size_by_initialisation_and_activation(result):
    def ratio(activation, name):
        norms = result["gradient_norms"][activation][name]
        return norms["layer1/bias"] / norms["layer4/bias"]

    assert ratio("ReLU", "normal, sd 0.01") < 1e-3
    assert 0.2 < ratio("ReLU", "He: variance 2 / in") < 5
    assert ratio("logistic", "He: variance 2 / in") < 0.1


def test_distinct_columns_are_counted_up_to_rounding():
    kernel = np.array([[1.0, 1.0 + 1e-7, 2.0, 1.0], [0.5, 0.5, 0.5, -0.5]])
    assert initialisation.distinct_columns(kernel) == 3
    assert initialisation.distinct_columns(np.zeros((3, 4))) == 1


def test_the_custom_layer_passes_its_check_and_the_wrong_one_fails(capsys):
    custom_layer.experiment(custom_layer.Config())
    right, wrong = capsys.readouterr().out.splitlines()
    assert float(right.split()[-1]) < 1e-6
    assert wrong.startswith("wrong gradient: the gradient of params/custom/bias[")
    assert "3 of 43 entries are off" in wrong
