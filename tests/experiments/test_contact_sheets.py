"""The contact sheets of the augmentations, and that of all pictures."""

import numpy as np
import pytest
from PIL import Image

from experiments import augmentations, contact_sheet
from jaxnets.data import augment
from jaxnets.training import RunError


def test_a_sheet_of_a_digit_and_one_of_a_photograph_are_drawn(small_mnist, tmp_path, monkeypatch):
    photo = tmp_path / "photo.png"
    Image.fromarray(np.arange(20 * 30 * 3, dtype=np.uint8).reshape(20, 30, 3)).save(photo)
    monkeypatch.setattr(augmentations, "augmentations", lambda side: {"shift": augment.shift(2)})
    options = {"photo": photo, "side": 16, "data_dir": small_mnist, "out": tmp_path / "sheets"}
    augmentations.experiment(augmentations.Config(**options))
    for name in ("digit", "photo"):
        sheet = np.asarray(Image.open(tmp_path / "sheets" / f"{name}.png"))
        assert len(np.unique(sheet)) > 10


def test_every_picture_below_the_folders_is_on_one_sheet(tmp_path, capsys):
    colours = {"a": (255, 0, 0), "b": (0, 255, 0), "c": (0, 0, 255)}
    for name, colour in colours.items():
        (tmp_path / name).mkdir()
        Image.new("RGB", (40, 20), colour).save(tmp_path / name / "x.png")
    out = tmp_path / "sheet.png"
    config = contact_sheet.Config((tmp_path,), out=out, columns=2, width=100)
    for _ in range(2):  # the second time, without the sheet itself
        contact_sheet.experiment(config)
        assert f"3 pictures in {out}" in capsys.readouterr().out
    seen = {tuple(pixel) for pixel in np.asarray(Image.open(out)).reshape(-1, 3).tolist()}
    assert seen >= set(colours.values())
    with pytest.raises(RunError, match="but got 0 files"):
        contact_sheet.experiment(contact_sheet.Config((tmp_path / "none",), out=out))
