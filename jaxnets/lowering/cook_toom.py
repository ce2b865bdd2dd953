"""Convolution with fewer multiplications, tile by tile, on images (height, width, batch, channels).

A tile of m outputs of a correlation with r taps needs m + r - 1 products instead of m * r: those
of the kernel and of the inputs, each transformed (Cook 1966, Toom 1963; Winograd 1980; as
F(m x m, r x r) for networks: Lavin & Gray 2016). Here one matrix transforms the inputs of all tiles
along an axis, the padding included, so that forward and backward passes are matmuls alone.
"""

import math
from fractions import Fraction
from functools import cache
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxnets.layer import Array
from jaxnets.lowering.materialize import materialize, materialize_gradient
from jaxnets.lowering.padding import Pairs

MOST_PRODUCTS = 9  # of a tile along an axis: with more, float32 loses digits
MOST_STRIPS = 8  # of an image: each is some operations more to compile
# The finite points of a tile with so many products; one with fewer takes the first of them. Those
# of 9 had the smallest worst error of the sets measured in float32, both gradients included.
POINTS = {8: "0 1 -1 1/2 -2 2 -1/2", 9: "0 1 -1 1/3 -2/3 3/4 -3/2 3"}


class Transforms(NamedTuple):
    """The matrices of an axis, whose outputs are (outputs @ (kernel * inputs)) of all tiles.

    Attributes:
      extent: the outputs of the axis, which the last tile may exceed.
      tiles: how many there are.
      outputs: (tile, products), for each tile.
      kernel: (products, taps), for each tile.
      inputs: (products * tiles, inputs of the axis), for all tiles at once.
    """

    extent: int
    tiles: int
    outputs: np.ndarray
    kernel: np.ndarray
    inputs: np.ndarray

    @property
    def products(self) -> int:
        """The multiplications of one tile."""
        return len(self.kernel)


def cook_toom_conv(x: Array, kernel: Array, padding: Pairs) -> Array:
    """Cross-correlation of (height, width, batch, channels) with (*size, channels, features).

    The padding is narrower than the kernel. In float32, errors are within 4e-5 of the largest
    value, at the size of a network's layer; `lax.conv`'s are about 5e-7.
    """
    (height, width), (rows, columns) = x.shape[:2], kernel.shape[:2]
    (before, after), sides = padding
    across = transforms(width, columns, *sides)
    outputs = height + before + after - rows + 1
    tile = best_tile(outputs, rows)
    strip = tile * -(-outputs // (tile * MOST_STRIPS))  # so few rows that the cache may hold them
    strips = []
    for first in range(0, outputs, strip):
        start, stop = first - before, min(first + strip, outputs) - before + rows - 1
        seen = materialize(x[max(start, 0) : stop])
        down = transforms(len(seen), rows, max(-start, 0), max(stop - height, 0))
        strips.append(_strip(seen, kernel, down, across))
    return jnp.concatenate(strips)


def _strip(x: Array, kernel: Array, down: Transforms, across: Transforms) -> Array:
    """The rows of the outputs that are made of these rows of the inputs."""
    batch, channels, features = *x.shape[2:], kernel.shape[-1]
    on_kernel = np.kron(np.repeat(down.kernel, down.tiles, axis=0), across.kernel)
    weights = _as(x, on_kernel) @ kernel.reshape(on_kernel.shape[1], -1)
    inputs = _across(across.inputs, _down(down.inputs, x))
    matrices = (len(weights), -1, channels)  # one for each product of a tile
    products = inputs.reshape(matrices) @ weights.reshape(len(weights), channels, features)
    products = products.reshape(len(down.inputs), across.products, across.tiles, batch, features)
    y = _across(across.outputs, products)
    y = _down(down.outputs, y.reshape(down.products, down.tiles, *y.shape[1:]))
    y = materialize_gradient(y).transpose(1, 0, 3, 2, 4, 5)  # tiles, and the outputs within a tile
    y = y.reshape(math.prod(y.shape[:2]), -1, batch, features)
    return y[: down.extent, : across.extent]


def best_tile(outputs: int, taps: int) -> int:
    """The outputs of a tile with which an axis takes fewest products."""
    tiles = range(1, MOST_PRODUCTS - taps + 2)
    return min(tiles, key=lambda tile: -(-outputs // tile) * (tile + taps - 1))


@cache
def transforms(inputs: int, taps: int, before: int, after: int) -> Transforms:
    """Those of an axis of `inputs` with `before` and `after` zeros around them."""
    extent = inputs + before + after - taps + 1
    tile = best_tile(extent, taps)
    tiles = -(-extent // tile)
    outputs, kernel, on_tile = tile_transforms(tile, taps)
    products = len(kernel)
    on_inputs = np.zeros((products, tiles, max(tiles * tile + taps - 1, before + inputs)))
    for i in range(tiles):
        on_inputs[:, i, i * tile : i * tile + products] = on_tile
    on_inputs = on_inputs[:, :, before : before + inputs].reshape(-1, inputs)
    return Transforms(extent, tiles, outputs, kernel, on_inputs)


@cache
def tile_transforms(tile: int, taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrices A (tile, n), G (n, taps), B (n, n), n = tile + taps - 1: y = A ((G k) * (B x)).

    Exact, from the product of two polynomials by their values at n points, one of them infinity:
    correlation is its transpose.
    """
    n = tile + taps - 1
    inverse = _inverse(_values_at_points(n, n))
    b, g = [list(column) for column in zip(*inverse, strict=True)], _values_at_points(n, taps)
    for row in range(n):  # the common denominator goes to the kernel, which is transformed once
        scale = math.lcm(*(value.denominator for value in b[row]))
        b[row] = [value * scale for value in b[row]]
        g[row] = [value / scale for value in g[row]]
    return _floats(_values_at_points(n, tile)).T, _floats(g), _floats(b)


def _floats(rows: list[list[Fraction]]) -> np.ndarray:
    return np.array([list(map(float, row)) for row in rows])


def _values_at_points(n: int, terms: int) -> list[list[Fraction]]:
    """The powers of n points; at infinity a polynomial's value is its last coefficient."""
    points = map(Fraction, POINTS[max(n, min(POINTS))].split()[: n - 1])
    finite = [[point**power for power in range(terms)] for point in points]
    return [*finite, [Fraction(power == terms - 1) for power in range(terms)]]


def _inverse(matrix: list[list[Fraction]]) -> list[list[Fraction]]:
    """By Gauss and Jordan, in fractions."""
    n = len(matrix)
    rows = [[*row, *(Fraction(i == j) for j in range(n))] for i, row in enumerate(matrix)]
    for column in range(n):
        pivot = next(row for row in range(column, n) if rows[row][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [value / rows[column][column] for value in rows[column]]
        for row in range(n):
            if row != column:
                factor = rows[row][column]
                above = rows[column]
                rows[row] = [v - factor * w for v, w in zip(rows[row], above, strict=True)]
    return [row[n:] for row in rows]


def _down(matrix: np.ndarray, x: Array) -> Array:
    """The matrix along the first axis."""
    return (_as(x, matrix) @ x.reshape(len(x), -1)).reshape(len(matrix), *x.shape[1:])


def _across(matrix: np.ndarray, x: Array) -> Array:
    """The matrix along the second axis: one matmul for each place along the first."""
    each = jnp.broadcast_to(_as(x, matrix), (len(x), *matrix.shape))
    columns = x.reshape(*x.shape[:2], -1)
    y = lax.dot_general(each, columns, (((2,), (1,)), ((0,), (0,))))
    return y.reshape(len(x), len(matrix), *x.shape[2:])


def _as(x: Array, matrix: np.ndarray) -> Array:
    return jnp.asarray(matrix, x.dtype)
