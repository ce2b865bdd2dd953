"""Sparse inputs of the estimators: results as for dense ones; only batches become dense."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_pipeline

from jaxnets.interop.sklearn import JaxnetsClassifier
from jaxnets.interop.sklearn.sparse_rows import SparseRows

rng = np.random.default_rng(0)
X = (rng.normal(size=(60, 12)) * (rng.uniform(size=(60, 12)) < 0.3)).astype(np.float32)
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
GOOD, BAD = [["good", "fine", "nice"], ["bad", "dull", "poor"]]
TEXTS = [" ".join(rng.choice((GOOD, BAD)[i % 2], 3)) for i in range(40)]
OPTIONS = {"hidden_layer_sizes": (4,), "batch_size": 20, "max_iter": 3, "random_state": 0}


@pytest.mark.parametrize("kind", [sparse.csr_array, sparse.coo_matrix])
def test_sparse_rows_give_the_bits_of_dense_ones(kind):
    dense = JaxnetsClassifier(**OPTIONS).fit(X, Y)
    thin = JaxnetsClassifier(**OPTIONS).fit(kind(X), Y)
    np.testing.assert_array_equal(thin.predict_proba(kind(X)), dense.predict_proba(X))
    np.testing.assert_array_equal(thin.predict_proba(X), dense.predict_proba(X))


def test_weights_and_early_stopping_take_sparse_rows():
    weights = rng.uniform(size=60)
    options = OPTIONS | {"early_stopping": True, "n_iter_no_change": 2}
    models = [
        JaxnetsClassifier(**options).fit(x, Y, sample_weight=weights)
        for x in (X, sparse.csr_array(X))
    ]
    np.testing.assert_allclose(*(model.predict_proba(X) for model in models), rtol=1e-5)


def test_a_pipeline_of_tfidf_learns_from_texts():
    options = OPTIONS | {"max_iter": 20, "learning_rate_init": 0.05}
    model = make_pipeline(TfidfVectorizer(), JaxnetsClassifier(**options))
    labels = ["good", "bad"] * 20
    model.fit(TEXTS, labels)
    assert model.predict(["a nice text", "so dull"]).tolist() == ["good", "bad"]


def test_only_the_rows_of_a_batch_become_dense():
    rows = SparseRows(sparse.csr_array((10**6, 10**6), dtype=np.float32))  # dense: 4 TB
    assert len(rows) == 10**6 and rows[np.array([5, 1])].shape == (2, 10**6)


def test_partial_fit_takes_sparse_rows():
    model = JaxnetsClassifier(**OPTIONS).partial_fit(sparse.csr_array(X), Y, classes=[0, 1])
    assert model.partial_fit(X, Y).n_iter_ == 2


def test_nan_is_refused_in_sparse_rows_too():
    x = X.copy()
    x[3, 3] = np.nan
    with pytest.raises(ValueError, match="contains NaN"):
        JaxnetsClassifier(**OPTIONS).fit(sparse.csr_array(x), Y)
