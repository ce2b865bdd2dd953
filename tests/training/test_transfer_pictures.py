"""Transfer learning on a folder of pictures, as docs/data.md has it: only the head learns."""

import re
from functools import partial
from pathlib import Path

import jax
import numpy as np
import optax
from helpers import assert_same
from own_files import write_cnn, write_pets

from jaxnets import data, losses, models, scale_pixels, serial
from jaxnets.training import evaluate, fit, make_train_step, predict

PAGE = Path(__file__).parents[2] / "docs" / "data.md"
SMALL = ((4,), (4,))


def test_a_new_head_learns_on_a_frozen_body(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_pets(tmp_path)
    params, state = write_cnn(tmp_path, SMALL)
    small = type("models", (), {"small_cnn": partial(models.small_cnn, widths=SMALL)})
    names = {
        "data": data, "fit": fit, "jax": jax, "losses": losses, "make_train_step": make_train_step,
        "models": small, "optax": optax, "predict": predict, "scale_pixels": scale_pixels,
        "serial": serial,
    }  # fmt: skip
    listings = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    [listing] = [text for text in listings if "merge_params" in text]
    assert len([line for line in listing.splitlines() if re.match(r"\w", line)]) <= 12
    exec(compile(listing, "data.md", "exec"), names)
    tuned = names["tuned"].train_state
    for stage in ("stage1", "stage2"):
        assert_same(tuned.params["cnn"][stage], params["cnn"][stage])
        assert_same(tuned.model_state["cnn"][stage], state["cnn"][stage])
    assert tuned.params["cnn"]["head"]["bias"].shape == (2,)
    assert np.any(tuned.params["cnn"]["head"]["bias"])
    assert capsys.readouterr().out == "['cats']\n"
    assert evaluate(names["tune"], tuned, names["pets"].test)["loss"] < 0.6  # chance: 0.69
