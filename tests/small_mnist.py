"""MNIST's four files with their first rows only."""

import gzip
from pathlib import Path

from jaxnets import data

PACKAGED = Path(data.__file__).parent / "mnist"


def first_rows(path, rows):
    """The IDX content of the first rows of a packaged file."""
    content = gzip.decompress(path.read_bytes())
    header, row = (16, 28 * 28) if "images" in path.name else (8, 1)
    return content[:4] + rows.to_bytes(4, "big") + content[8 : header + rows * row]


def write_mnist(folder, *, train, test):
    """Write the files with `train` and `test` rows; return the folder."""
    rows = {"train": train, "t10k": test}
    for path in PACKAGED.glob("*.gz"):
        content = first_rows(path, rows[path.name.split("-")[0]])
        (folder / path.name).write_bytes(gzip.compress(content, 1))
    return folder
