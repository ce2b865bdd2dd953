"""The contact sheets of the augmentations."""

import numpy as np
from PIL import Image

from experiments import augmentations
from jaxnets.data import augment


def test_a_sheet_of_a_digit_and_one_of_a_photograph_are_drawn(small_mnist, tmp_path, monkeypatch):
    photo = tmp_path / "photo.png"
    Image.fromarray(np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)).save(photo)
    monkeypatch.setattr(augmentations, "augmentations", lambda side: {"shift": augment.shift(2)})
    options = {"photo": photo, "side": 16, "data_dir": small_mnist, "out": tmp_path / "sheets"}
    augmentations.experiment(augmentations.Config(**options))
    for name in ("digit", "photo"):
        sheet = np.asarray(Image.open(tmp_path / "sheets" / f"{name}.png"))
        assert len(np.unique(sheet)) > 10
