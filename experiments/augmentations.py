"""Contact sheets of the augmentations, of a digit and of a photograph.

python -m experiments.augmentations
python -m experiments.augmentations --photo cat.jpg

Each row shows the original and 8 random draws of one augmentation. Mixup mixes the digit with
another digit, and the photograph with itself upside down. Writes digit.png and photo.png to
`--out`, in about 15 s on two CPU cores.
"""

from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from experiments import command_line, configs
from experiments.folder import open_folder, write_figure
from experiments.photographs import fit_within, load_photo
from jaxnets import data
from jaxnets.command_line.progress import tracked
from jaxnets.data import augment
from jaxnets.keys import stream
from jaxnets.training.train_step import Augment

DRAWS = 8


@dataclass(frozen=True)
class Config(configs.Config):
    """Contact sheets of the augmentations."""

    photo: Path | None = None
    """A picture file; by default the portrait of Grace Hopper that comes with matplotlib."""
    side: int = 112
    """Pixels of the photograph's longer side."""
    seed: int = 0
    """The seed of all random draws."""


def augmentations(side: int) -> dict[str, Augment]:
    """The augmentations, by their code, with strengths for images of this size."""
    few, half = side // 8, side // 2
    return {
        f"shift({few})": augment.shift(few),
        f"crop({side - few}, {half})": augment.crop(side - few, half),
        "flip()": augment.flip(),
        "affine(rotation=30)": augment.affine(rotation=30),
        "affine(scale=0.3)": augment.affine(scale=0.3),
        "affine(shear=30)": augment.affine(shear=30),
        f"affine(shift={few}.5)": augment.affine(shift=few + 0.5),
        "affine, all four": augment.affine(rotation=15, scale=0.15, shear=10, shift=few / 2),
        f"cutout({half})": augment.cutout(half),
        "erase(1.0)": augment.erase(1.0),
        "mixup(1.0, 10)": augment.mixup(1.0, 10),
        "flip, affine, cutout": augment.chain(
            augment.flip(), augment.affine(rotation=15, scale=0.15), augment.cutout(half // 2)
        ),
    }


def contact_sheet(picture: np.ndarray, other: np.ndarray, title: str, seed: int) -> Figure:
    """A row per augmentation of a uint8 picture; mixup mixes it with `other`."""
    x = jnp.array([other, picture] * DRAWS)
    y = jnp.array([0, 1] * DRAWS)
    rows = {}
    parts = augmentations(min(picture.shape[:2]))
    for name, part in tracked(parts.items(), title.partition(",")[0].lower()):
        drawn, _ = jax.jit(part)(stream(jax.random.key(seed), name), x, y)
        rows[name] = [picture, *np.asarray(drawn[1::2])]

    height, width = picture.shape[0] / picture.shape[1] * 0.95, 0.95  # inches per tile
    size = (2.5 + (1 + DRAWS) * width, 1 + len(rows) * height)
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(title)
    axes = figure.subplots()
    axes.set_anchor("E")  # all space that the square pixels leave is for the names
    columns = ["original", *(f"draw {n}" for n in range(1, DRAWS + 1))]
    step = [side + max(1, side // 14) for side in picture.shape[:2]]
    axes.imshow(_mosaic([*rows.values()], step), cmap="gray", interpolation="nearest")
    middle = [(side - 1) / 2 for side in picture.shape[:2]]
    axes.set_yticks([middle[0] + step[0] * i for i in range(len(rows))], rows, family="monospace")
    axes.set_xticks([middle[1] + step[1] * i for i in range(len(columns))], columns)
    axes.tick_params(top=True, labeltop=True, bottom=False, labelbottom=False, length=0)
    axes.spines[:].set_visible(False)
    return figure


def _mosaic(rows: list[list[np.ndarray]], step: list[int]) -> np.ndarray:
    """The pictures of each row side by side on white, each centred in its tile."""
    channels = rows[0][0].shape[2:]
    whole = np.full((len(rows) * step[0], len(rows[0]) * step[1], *channels), 255, np.uint8)
    room = rows[0][0].shape
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            top = i * step[0] + (room[0] - picture.shape[0]) // 2
            left = j * step[1] + (room[1] - picture.shape[1]) // 2
            whole[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return whole


def experiment(config: Config) -> None:
    """Draw both sheets."""
    mnist = data.load("mnist", data_dir=config.data_dir)
    folder, _ = open_folder("augmentations", config)
    other, digit = mnist.test.x[0], mnist.test.x[4]
    photo = np.rint(fit_within(load_photo(config.photo), config.side) * 255).astype(np.uint8)
    size = "{1} x {0} pixels".format(*photo.shape)
    sheets = {
        "digit": contact_sheet(digit, other, "Augmentations of a digit, 28 x 28", config.seed),
        "photo": contact_sheet(
            photo, photo[::-1], f"Augmentations of a photograph, {size}", config.seed
        ),
    }
    for name, figure in sheets.items():
        write_figure(folder / f"{name}.png", figure, dpi=110)
    print(f"digit.png and photo.png are in {folder}")


if __name__ == "__main__":
    command_line.main(experiment, Config)
