"""SqueezeNet on Fashion-MNIST, made small."""

import json

import pytest
from counting import abstract, count

from experiments import fashion_squeezenet
from jaxnets import conv, global_max_pool, scale_pixels, serial


def test_the_network_has_the_parameters_of_the_docstring():
    params, state = abstract(fashion_squeezenet.model, 28, 28, 1)
    assert (count(params), state) == (726_474, {})
    assert "726,474 parameters" in fashion_squeezenet.__doc__


@pytest.mark.usefixtures("draw_nothing")
def test_the_script_trains_and_reports_its_test_accuracy(monkeypatch, small_mnist, tmp_path):
    small = serial(scale_pixels(), ("conv", conv(10, (3, 3))), global_max_pool)
    monkeypatch.setattr(fashion_squeezenet, "model", small)
    options = {"epochs": 1, "batch_size": 60, "validation": 40, "data_dir": small_mnist}
    fashion_squeezenet.experiment(fashion_squeezenet.Config(**options, out=tmp_path / "run"))
    result = json.loads((tmp_path / "run" / "result.json").read_text())
    assert result["steps"] == 10 and 0 < result["test_accuracy"] < 1
