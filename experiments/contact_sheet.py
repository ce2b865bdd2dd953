"""All pictures below some folders on one contact sheet.

python -m experiments.contact_sheet runs experiments/results
"""

from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from PIL import Image, ImageDraw

from experiments import command_line
from jaxnets.command_line.progress import tracked
from jaxnets.files import atomic_write
from jaxnets.training import RunError

GAP, LABEL = 10, 18


@dataclass(frozen=True)
class Config:
    """All pictures below some folders on one sheet."""

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """The folders; every PNG below them is shown, with its path."""
    out: Path | None = None
    """The file to write; by default runs/contact_sheet.png."""
    columns: int = 3
    """Columns of pictures; each picture is added to the shortest column."""
    width: int = 640
    """Pixels of a column."""


def experiment(config: Config) -> None:
    """Write the sheet."""
    paths = sorted({path for folder in config.folders for path in folder.rglob("*.png")})
    out = config.out or Path("runs") / "contact_sheet.png"
    paths = [path for path in paths if path.absolute() != out.absolute()]
    if not paths or config.columns < 1 or config.width < 100:
        raise RunError(
            f"expected folders with PNG files, --columns from 1 and --width from 100, but got "
            f"{len(paths)} files, {config.columns} and {config.width}"
        )
    heights, places = np.zeros(config.columns, int), []
    for path in tracked(paths, "reading pictures"):
        tile = labelled(path, config.width)
        column = int(heights.argmin())
        places.append((tile, (column * (config.width + GAP), int(heights[column]))))
        heights[column] += tile.height + GAP
    size = (config.columns * (config.width + GAP) - GAP, int(heights.max()) - GAP)
    sheet = Image.new("RGB", size, "gray")
    for tile, place in places:
        sheet.paste(tile, place)
    sheet.save(content := BytesIO(), "PNG")
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(out) as file:
        file.write(content.getbuffer())
    print(f"{len(paths)} pictures in {out}")


def labelled(path: Path, width: int) -> Image.Image:
    """A picture of this width, below its path."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    picture = picture.resize((width, max(1, round(picture.height * width / picture.width))))
    tile = Image.new("RGB", (width, picture.height + LABEL), "white")
    ImageDraw.Draw(tile).text((4, 3), str(path), fill="black")
    tile.paste(picture, (0, LABEL))
    return tile


if __name__ == "__main__":
    command_line.main(experiment, Config)
