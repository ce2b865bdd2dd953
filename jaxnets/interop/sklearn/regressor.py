"""A network as a scikit-learn regressor."""

from typing import Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import Tags, column_or_1d
from sklearn.utils.validation import validate_data

from jaxnets import losses
from jaxnets.arrays import as_rows
from jaxnets.interop.sklearn.estimator import NetworkEstimator


class JaxnetsRegressor(RegressorMixin, NetworkEstimator):
    """A network for regression with one or more targets, trained on half the squared error.

    Arguments and attributes are those of `JaxnetsClassifier`, without `class_weight` and
    `classes_`; `build` returns a network with one output per target. Without hidden layers it is
    ridge regression. Scale the targets to a mean of about 0 and a standard deviation of about 1.
    """

    _loss = staticmethod(losses.half_squared_error)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train from new parameters on rows X (n, n_features), targets y (n,) or (n, m).

        `sample_weight` (n,), at least 0, is the weight of each row, as in `JaxnetsClassifier`.
        """
        self._validate_params()
        x, targets = self._validate(X, y, reset=True)
        return self._fit(x, targets, self._sample_weight(sample_weight, x), targets.shape[1])

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train for one epoch on these rows, from the current parameters."""
        self._validate_params()
        x, targets = self._validate(X, y, reset=not hasattr(self, "n_iter_"))
        weights = self._sample_weight(sample_weight, x)
        return self._partial_fit(x, targets, weights, targets.shape[1])

    def predict(self, X: Any) -> np.ndarray:
        """The prediction for each row, (n,), or (n, m) for m > 1 targets."""
        outputs = self._outputs(X)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def _validate(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, np.ndarray]:
        options = {"accept_sparse": "csr", "multi_output": True, "y_numeric": True}
        x, y = validate_data(self, X, y, dtype=np.float32, reset=reset, **options)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        y = y.reshape(len(y), -1)
        return x, np.asarray(as_rows("fit", "y", y, ValueError)).astype(np.float32)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
