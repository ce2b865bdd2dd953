"""TF-IDF: counts of tokens, weighted by how few texts have them."""

from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import sparse

from jaxnets.errors import DataError

Norm = Literal["l1", "l2"]


class TfIdf(NamedTuple):
    """A weight per token, fitted by `fit_tfidf`; `apply` weights the counts of any split.

    Attributes:
      idf: the inverse document frequency of each token, float64 (tokens,).
      sublinear: whether the term frequency is 1 + log(count) instead of the count.
      norm: the norm that every row is divided by, or None.
    """

    idf: np.ndarray
    sublinear: bool
    norm: Norm | None

    def apply(self, counts: Any) -> sparse.csr_array:
        """The weights of counts (n, tokens), float64; a text without known tokens stays 0."""
        counts = _as_counts("TfIdf.apply", counts)
        if counts.shape[1:] != self.idf.shape:
            raise DataError(
                f"TfIdf.apply expects counts of {self.idf.size} tokens, but got {counts.shape}; "
                "count with the vocabulary it was fitted on"
            )
        frequencies = counts.data
        if self.sublinear:
            frequencies = np.log(frequencies) + 1
        weighted = sparse.csr_array(
            (frequencies * self.idf[counts.indices], counts.indices, counts.indptr), counts.shape
        )
        if self.norm is None:
            return weighted
        power = {"l1": 1, "l2": 2}[self.norm]
        sums = (abs(weighted) ** power).sum(1) ** (1 / power)
        lengths = np.diff(weighted.indptr)
        weighted.data /= np.repeat(np.where(sums == 0, 1, sums), lengths)
        return weighted


def fit_tfidf(
    counts: Any, *, smooth: bool = True, sublinear: bool = False, norm: Norm | None = "l2"
) -> TfIdf:
    """Fit the inverse document frequencies to the counts of the training texts.

    Like scikit-learn's `TfidfTransformer`: idf = log(n / documents) + 1, where `documents` is the
    number of the n texts that have the token.

    Args:
      counts: counts (n, tokens), such as from `Vocabulary.count`.
      smooth: add 1 to n and to `documents`, so that no weight is infinite.
      sublinear: take 1 + log(count) as the term frequency.
      norm: divide each row by its "l2" or "l1" norm, or None.

    Raises:
      DataError: no counts (n, tokens) of at least one text.
    """
    counts = _as_counts("fit_tfidf", counts)
    if norm not in ("l1", "l2", None):
        raise DataError(f'fit_tfidf expects norm "l1", "l2" or None, but got {norm!r}')
    n, documents = counts.shape[0], np.diff(counts.tocsc().indptr).astype(np.float64)
    if n == 0:
        raise DataError(f"fit_tfidf expects counts of at least one text, but got {counts.shape}")
    with np.errstate(divide="ignore"):
        idf = np.log((n + smooth) / (documents + smooth)) + 1
    return TfIdf(idf, sublinear, norm)


def _as_counts(where: str, counts: Any) -> sparse.csr_array:
    """The counts in compressed rows, as float64, without stored zeros."""
    if np.ndim(counts) != 2 and not sparse.issparse(counts):
        raise DataError(
            f"{where} expects counts (n, tokens), but got shape {np.shape(counts)}; see "
            "Vocabulary.count"
        )
    counts = sparse.csr_array(counts, dtype=np.float64)
    counts.eliminate_zeros()
    wrong = counts.data[~((counts.data > 0) & (counts.data < np.inf))]
    if wrong.size:
        raise DataError(
            f"{where} expects finite counts of at least 0, but got {wrong[0]}; see Vocabulary.count"
        )
    return counts
