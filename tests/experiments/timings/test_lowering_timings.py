"""Each implementation that the lowerings choose from is timed."""

import json

from experiments.timings import convolutions, matmuls


def test_each_implementation_of_convolution_is_timed(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(convolutions, "SHAPES", [convolutions.Shape(3, 6, 4, 2)])
    out = tmp_path / "new" / "found.json"
    convolutions.main(convolutions.Config(batch_size=2, rounds=2, out=out))
    [found] = json.loads(out.read_text())["shapes"]
    assert set(found["milliseconds"]) == set(convolutions.IMPLEMENTATIONS)
    assert all(taken["n"] == 2 and taken["median"] > 0 for taken in found["milliseconds"].values())
    assert "3 x 3, 4 to 2 channels at 6 x 6: Cook and Toom" in capsys.readouterr().out


def test_each_choice_of_matmuls_is_timed(tmp_path, monkeypatch, capsys, small_mnist):
    monkeypatch.setattr(matmuls, "HIDDEN", [(7,)])
    out = tmp_path / "found.json"
    sizes = {"batch_size": 4, "steps": 2, "rounds": 2, "data_dir": small_mnist}
    matmuls.main(matmuls.Config(**sizes, out=out))
    [found] = json.loads(out.read_text())["networks"]
    assert set(found["milliseconds"]) == {"XLA's choice", "Eigen alone"}
    assert found["Eigen times faster"]["n"] == 2
    assert "hidden (7,): XLA's choice" in capsys.readouterr().out
