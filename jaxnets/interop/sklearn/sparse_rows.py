"""Sparse matrices as examples: rows that become dense when they are read."""

from typing import Any

import numpy as np
from scipy import sparse

from jaxnets.data import Stream


class SparseRows:
    """A sparse matrix (n, features) whose rows are dense arrays, as a `data.Stream` reads them."""

    def __init__(self, matrix: Any):
        self.matrix: Any = sparse.csr_array(matrix)
        self.shape: tuple[int, int] = self.matrix.shape
        self.dtype, self.ndim = self.matrix.dtype, 2

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        return self.matrix[rows].toarray()


def as_rows(x: Any) -> Any:
    """A dense array as it is, and a sparse matrix as `SparseRows`."""
    return SparseRows(x) if sparse.issparse(x) else x


def as_examples(rows: list[Any] | None) -> Any:
    """What `fit` trains on: dense arrays as they are, sparse inputs as a stream of batches."""
    is_sparse = rows is not None and isinstance(rows[0], SparseRows)
    return Stream(tuple(rows)) if is_sparse else rows  # type: ignore[arg-type]
