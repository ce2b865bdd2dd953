"""The experiment that rounds a trained network writes the file that comes with the package."""

import numpy as np

from experiments import pretrained
from experiments.folder import save_params
from jaxnets import models
from jaxnets.training import TrainState


def test_a_trained_network_is_rounded_and_measured(tmp_path, small_mnist, capsys):
    digits = models.pretrained("mnist")
    (tmp_path / "trained").mkdir()
    save_params(tmp_path / "trained", TrainState((), digits.params, digits.state, (), ()))
    config = pretrained.Config(
        trained=tmp_path / "trained", out=tmp_path / "run", data_dir=small_mnist
    )
    pretrained.experiment(config)
    written = np.frombuffer((tmp_path / "run/mnist.safetensors").read_bytes(), np.uint8)
    assert len(written) < 700_000 and "% after" in capsys.readouterr().out
