"""A GPT on characters: it learns more than the frequencies, and continues a prompt."""

import json
import math

import numpy as np
import pytest

from experiments import characters
from jaxnets.training import RunError

SMALL = {
    **{"characters": 30_000, "length": 16, "features": 16, "heads": 2, "blocks": 1},
    **{"epochs": 2, "validation": 50, "learning_rate": 0.02},
}


@pytest.mark.usefixtures("draw_nothing")
def test_it_beats_the_frequencies_of_characters_and_samples(tmp_path, capsys):
    config = characters.Config(out=tmp_path / "run", samples=3, prompt="The ", **SMALL)
    characters.experiment(config)
    dataset, vocabulary = characters.load(config)
    share = np.bincount(dataset.test.y.ravel(), minlength=len(vocabulary)) / dataset.test.y.size
    entropy = -(share[share > 0] * np.log2(share[share > 0])).sum()
    result = json.loads((tmp_path / "run/result.json").read_text(encoding="utf-8"))
    bits = result["test"]["bits"]
    assert bits < entropy - 0.3
    assert result["test"]["loss"] == pytest.approx(bits * math.log(2), rel=1e-5)
    samples = (tmp_path / "run/samples.txt").read_text(encoding="utf-8").split("\n---\n")
    assert len(samples) == 3 and all(sample.startswith("The ") for sample in samples)
    assert {len(sample) for sample in samples} == {16} and samples[0] in capsys.readouterr().out


def test_each_label_is_the_next_character():
    dataset, vocabulary = characters.load(characters.Config(**SMALL))
    x, y = dataset.train
    np.testing.assert_array_equal(x.ravel()[1:], y.ravel()[:-1])
    words = "".join(vocabulary.decode(x.ravel()))
    assert words.isascii() and " the " in words


@pytest.mark.parametrize("prompt", ["", "x" * 16])
def test_a_prompt_that_fills_the_rows_is_refused_before_training(prompt, tmp_path):
    config = characters.Config(out=tmp_path / "run", prompt=prompt, **SMALL)
    with pytest.raises(RunError, match="from 1 to 15 characters"):
        characters.experiment(config)
