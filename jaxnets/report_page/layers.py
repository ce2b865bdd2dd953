"""A model's layers as a table, and its first kernels as an image."""

from html import escape
from typing import Any

import jax
import numpy as np

from jaxnets.errors import LayerError
from jaxnets.inspect import Summary, summary
from jaxnets.layer import Layer
from jaxnets.report_page.predictions import pixels, png
from jaxnets.trees import flatten_names

MOST_KERNELS = 64
MOST_ROWS = 120


def sections(model: Layer, params: Any, x: Any) -> list[tuple[str, str]]:
    """The titles and the HTML of the sections about a model.

    Args:
      model: the model.
      params: its params.
      x: examples (n, ...), of which only the shape and dtype matter.
    """
    one = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((1, *leaf.shape[1:]), leaf.dtype), x)
    try:
        table = summary(model, one)
    except LayerError as error:  # a run may make its inputs from the examples, such as windows
        reason = str(error).partition("\n")[0]
        return [
            ("Layers and FLOPs", f"<p>The model does not take the examples: {escape(reason)}</p>")
        ]
    parts = [("Layers and FLOPs", layers(table))]
    kernel = first_kernel(table, params, x)
    return parts if kernel is None else [*parts, ("First kernels", kernels(*kernel))]


def layers(table: Summary) -> str:
    """The rows of a summary for one example, and the totals."""
    rows = "".join(
        f"<tr><td>{escape(row.path)}<td>{' x '.join(map(str, row.shape[1:])) or '1'}"
        f"<td>{row.parameters:,}<td>{row.flops:,}</tr>"
        for row in table.rows[:MOST_ROWS]
    )
    left_out = len(table.rows) - MOST_ROWS
    more = f"<p>{left_out} more layers are not shown.</p>" if left_out > 0 else ""
    return (
        '<div class="scroll"><table><thead><tr><th>layer<th>output of one example<th>parameters'
        "<th>FLOPs, forward</tr></thead>"
        f"{rows}<tr><th>total<th><th>{table.parameters:,}<th>{table.flops:,}</tr></table></div>{more}"
    )


def first_kernel(table: Summary, params: Any, x: Any) -> tuple[str, np.ndarray] | None:
    """The name of the first layer with a kernel, and its kernels (n, height, width, 1 or 3).

    A dense kernel on flattened images has their shape. None if the first kernel is not an image.
    """
    named = flatten_names(params)
    paths = [f"{row.path}/kernel" for row in table.rows]
    path = next((path for path in paths if path in named), None)
    if path is None:
        return None
    kernel = np.asarray(named[path], np.float32)
    if kernel.ndim == 2 and pixels(x) is not None and kernel.shape[0] == np.prod(x.shape[1:]):
        kernel = kernel.reshape(*x.shape[1:], -1)
    if kernel.ndim != 4 or kernel.shape[2] not in (1, 3) or min(kernel.shape[:2]) < 2:
        return None
    return path.removesuffix("/kernel"), np.moveaxis(kernel, -1, 0)


def kernels(name: str, tiles: np.ndarray) -> str:
    """An image of the kernels of largest norm; its caption explains the colours."""
    count = len(tiles)
    order = np.argsort(-np.sqrt((tiles**2).sum((1, 2, 3))), kind="stable")[:MOST_KERNELS]
    tiles = np.nan_to_num(tiles[order])
    scaled = tiles / (np.abs(tiles).max() or 1)
    colours = (scaled + 1) / 2 if scaled.shape[-1] == 3 else _diverging(scaled[..., 0])
    rows, columns = -(-len(tiles) // 16), min(16, len(tiles))
    height, width = tiles.shape[1:3]
    sheet = np.ones((rows * columns, height + 1, width + 1, 3), np.float32)
    sheet[: len(tiles), :height, :width] = colours
    sheet = sheet.reshape(rows, columns, height + 1, width + 1, 3).swapaxes(1, 2)
    sheet = sheet.reshape(rows * (height + 1), columns * (width + 1), 3)
    picture = png((255 * sheet).astype(np.uint8))
    scale = (
        "colours: a weight of 0 is middle grey"
        if scaled.shape[-1] == 3
        else "red: positive, blue: negative, white: 0"
    )
    which = f"all {count}" if count <= MOST_KERNELS else f"the {MOST_KERNELS} largest of {count}"
    words = f"{which} kernels of layer {name}, {height} x {width}, by norm; {scale}"
    return (
        f'<figure><img class="kernels" src="{picture}" alt="{escape(words)}">'
        f"<figcaption>{escape(words[0].upper() + words[1:])}; the largest magnitude is "
        f"{np.abs(tiles).max():.3g}.</figcaption></figure>"
    )


def _diverging(values: np.ndarray) -> np.ndarray:
    """Red for 1, white for 0 and blue for -1, (..., 3)."""
    ends = np.array([[0.0, 0.27, 0.53], [0.7, 0.09, 0.17]], np.float32)
    end = np.where(values[..., None] < 0, ends[0], ends[1])
    return 1 - np.abs(values)[..., None] * (1 - end)
