"""The report of a run: what it costs to trace, and its confusion matrix."""

import json
from functools import cache

import numpy as np
import pytest
from matplotlib.figure import Figure

from experiments import mnist_mlp, reports
from jaxnets import data, dense, flatten, load_model, scale_pixels, serial
from jaxnets.training import TrainStep


@pytest.fixture(scope="module")
def run(small_mnist, tmp_path_factory):
    """Run mnist_mlp with a small network; return its folder, the number of its traces, and what
    its confusion matrix is drawn from.
    """
    predict, draw = TrainStep.predict_batch, reports.plots.confusion

    @cache
    def run(epochs):
        network, traced, drawn = serial(scale_pixels(), flatten, ("head", dense(10))), [], []

        def counted(*arguments):  # called only while tracing
            traced.append(arguments)
            return predict(*arguments)

        def confusion(counts, *rest):
            drawn.append(counts)
            return draw(counts, *rest)

        options = {"batch_size": 60, "validation": 40, "data_dir": small_mnist}
        out = tmp_path_factory.mktemp("report") / "run"
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(mnist_mlp, "model", network)
            patch.setattr(TrainStep, "predict_batch", counted)
            patch.setattr(reports.plots, "confusion", confusion)
            patch.setattr(Figure, "savefig", lambda *arguments, **options: None)
            mnist_mlp.experiment(mnist_mlp.Config(epochs=epochs, out=out, **options))
        return out, len(traced), drawn[0]

    return run


def test_more_epochs_do_not_trace_the_network_more_often(run):
    assert run(1)[1] == run(4)[1]


def test_the_confusion_matrix_is_that_of_the_saved_network(run, small_mnist):
    folder, _, drawn = run(1)
    test = data.load("mnist", data_dir=small_mnist).test
    expected = np.zeros((10, 10), int)
    names = load_model(folder / "model.jaxnets").predict(test.x)
    np.add.at(expected, (test.y, names.astype(int)), 1)
    np.testing.assert_array_equal(drawn, expected)
    accuracy = json.loads((folder / "result.json").read_text())["test_accuracy"]
    assert np.trace(expected) / len(test.y) == pytest.approx(accuracy)
