"""Cook-Toom (Winograd) convolution of images (height, width, batch, channels).

A tile of m outputs of a correlation with r taps needs m + r - 1 products of transformed inputs and
kernels instead of m * r (Toom 1963; Cook 1966; Winograd 1980; for networks, as F(m x m, r x r):
Lavin & Gray 2016). Here one matrix transforms the inputs of all tiles along an axis, including the
padding, so that forward and backward passes consist of matmuls only.
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

MOST_PRODUCTS = 9  # per tile and axis: with more, float32 loses accuracy
MOST_STRIPS = 8  # per image: each adds operations to compile
# The finite interpolation points by number of products; smaller tiles use the first ones. The set
# for 9 had the smallest worst-case error of those measured in float32, including both gradients.
POINTS = {8: "0 1 -1 1/2 -2 2 -1/2", 9: "0 1 -1 1/3 -2/3 3/4 -3/2 3"}


class Transforms(NamedTuple):
    """The matrices for one axis; a tile's outputs are outputs @ ((kernel @ k) * (inputs @ x)).

    Attributes:
      extent: the number of outputs along the axis; the last tile may exceed it.
      tiles: the number of tiles.
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
        """The number of multiplications per tile."""
        return len(self.kernel)


def cook_toom_conv(x: Array, kernel: Array, padding: Pairs) -> Array:
    """Cross-correlation of (height, width, batch, channels) with (*size, channels, features).

    The padding must be narrower than the kernel. In float32, errors are within 4e-5 of the largest
    value for layers of usual size; those of `lax.conv` are about 5e-7.
    """
    (height, width), (rows, columns) = x.shape[:2], kernel.shape[:2]
    (before, after), sides = padding
    across = transforms(width, columns, *sides)
    outputs = height + before + after - rows + 1
    tile = best_tile(outputs, rows)
    strip = tile * -(-outputs // (tile * MOST_STRIPS))  # rows; small enough for the cache
    strips = []
    for first in range(0, outputs, strip):
        start, stop = first - before, min(first + strip, outputs) - before + rows - 1
        inputs = materialize(x[max(start, 0) : stop])
        down = transforms(len(inputs), rows, max(-start, 0), max(stop - height, 0))
        strips.append(_strip(inputs, kernel, down, across))
    return jnp.concatenate(strips)


def _strip(x: Array, kernel: Array, down: Transforms, across: Transforms) -> Array:
    """The rows of the output that depend on these rows of the input."""
    batch, channels, features = *x.shape[2:], kernel.shape[-1]
    kernel_matrix = np.kron(np.repeat(down.kernel, down.tiles, axis=0), across.kernel)
    weights = _as(x, kernel_matrix) @ kernel.reshape(kernel_matrix.shape[1], -1)
    inputs = _across(across.inputs, _down(down.inputs, x))
    matrices = (len(weights), -1, channels)  # one per product of a tile
    products = inputs.reshape(matrices) @ weights.reshape(len(weights), channels, features)
    products = products.reshape(len(down.inputs), across.products, across.tiles, batch, features)
    y = _across(across.outputs, products)
    y = _down(down.outputs, y.reshape(down.products, down.tiles, *y.shape[1:]))
    y = materialize_gradient(y).transpose(1, 0, 3, 2, 4, 5)  # tiles, then outputs within a tile
    y = y.reshape(math.prod(y.shape[:2]), -1, batch, features)
    return y[: down.extent, : across.extent]


def best_tile(outputs: int, taps: int) -> int:
    """The tile size that minimises the number of products along an axis."""
    tiles = range(1, MOST_PRODUCTS - taps + 2)
    return min(tiles, key=lambda tile: -(-outputs // tile) * (tile + taps - 1))


@cache
def transforms(inputs: int, taps: int, before: int, after: int) -> Transforms:
    """The transforms for an axis of `inputs` values, padded by `before` and `after` zeros."""
    extent = inputs + before + after - taps + 1
    tile = best_tile(extent, taps)
    tiles = -(-extent // tile)
    outputs, kernel, tile_inputs = tile_transforms(tile, taps)
    products = len(kernel)
    all_inputs = np.zeros((products, tiles, max(tiles * tile + taps - 1, before + inputs)))
    for i in range(tiles):
        all_inputs[:, i, i * tile : i * tile + products] = tile_inputs
    all_inputs = all_inputs[:, :, before : before + inputs].reshape(-1, inputs)
    return Transforms(extent, tiles, outputs, kernel, all_inputs)


@cache
def tile_transforms(tile: int, taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Matrices A (tile, n), G (n, taps), B (n, n), n = tile + taps - 1: y = A ((G k) * (B x)).

    Computed exactly. The product of two polynomials follows from their values at n points, one of
    which is infinity; correlation is the transpose of this product.
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
    """The powers of n points; the value of a polynomial at infinity is its last coefficient."""
    points = map(Fraction, POINTS[max(n, min(POINTS))].split()[: n - 1])
    finite = [[point**power for power in range(terms)] for point in points]
    return [*finite, [Fraction(power == terms - 1) for power in range(terms)]]


def _inverse(matrix: list[list[Fraction]]) -> list[list[Fraction]]:
    """The inverse by Gauss-Jordan elimination, in exact fractions."""
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
    """Applies the matrix along the first axis."""
    return (_as(x, matrix) @ x.reshape(len(x), -1)).reshape(len(matrix), *x.shape[1:])


def _across(matrix: np.ndarray, x: Array) -> Array:
    """Applies the matrix along the second axis, as a batched matmul over the first."""
    matrices = jnp.broadcast_to(_as(x, matrix), (len(x), *matrix.shape))
    columns = x.reshape(*x.shape[:2], -1)
    y = lax.dot_general(matrices, columns, (((2,), (1,)), ((0,), (0,))))
    return y.reshape(len(x), len(matrix), *x.shape[2:])


def _as(x: Array, matrix: np.ndarray) -> Array:
    return jnp.asarray(matrix, x.dtype)
