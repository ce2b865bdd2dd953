"""The report of a run: what it costs to trace, and its confusion matrix."""

import json

import numpy as np
import pytest

from experiments import mnist_mlp
from jaxnets import data, dense, flatten, load_model, scale_pixels, serial
from jaxnets.training import TrainStep


@pytest.fixture
def run(small_mnist, tmp_path, monkeypatch):
    """Run mnist_mlp with a small network; return its folder, and how often it was traced."""

    def run(epochs):
        network, traced = serial(scale_pixels(), flatten, ("head", dense(10))), []
        predict = TrainStep.predict_batch

        def counted(*arguments):  # called only while tracing
            traced.append(arguments)
            return predict(*arguments)

        monkeypatch.setattr(mnist_mlp, "model", network)
        monkeypatch.setattr(TrainStep, "predict_batch", counted)
        options = {"batch_size": 60, "validation": 40, "data_dir": small_mnist}
        config = mnist_mlp.Config(epochs=epochs, out=tmp_path / str(epochs), **options)
        mnist_mlp.experiment(config)
        monkeypatch.setattr(TrainStep, "predict_batch", predict)
        return config.out, len(traced)

    return run


def test_more_epochs_do_not_trace_the_network_more_often(run):
    assert run(1)[1] == run(4)[1]


def test_the_confusion_matrix_is_that_of_the_saved_network(run, small_mnist, monkeypatch):
    drawn = []
    draw = mnist_mlp.runner.reports.plots.confusion
    monkeypatch.setattr(
        "experiments.reports.plots.confusion",
        lambda counts, *rest: [drawn.append(counts), draw(counts, *rest)][1],
    )
    folder, _ = run(1)
    test = data.load("mnist", data_dir=small_mnist).test
    expected = np.zeros((10, 10), int)
    names = load_model(folder / "model.jaxnets").predict(test.x)
    np.add.at(expected, (test.y, names.astype(int)), 1)
    np.testing.assert_array_equal(drawn[0], expected)
    accuracy = json.loads((folder / "result.json").read_text())["test_accuracy"]
    assert np.trace(expected) / len(test.y) == pytest.approx(accuracy)
