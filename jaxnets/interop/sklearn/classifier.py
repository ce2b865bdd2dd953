"""A network as a scikit-learn classifier."""

from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import validate_data

from jaxnets import losses, metrics
from jaxnets.interop.sklearn.estimator import NetworkEstimator
from jaxnets.interop.sklearn.network import Build


class JaxnetsClassifier(ClassifierMixin, NetworkEstimator):
    """A network for classification, trained by Adam on the cross-entropy.

    Arguments have the names and units of `sklearn.neural_network.MLPClassifier`.

    Args:
      hidden_layer_sizes: the number of units per hidden layer; if empty, it is logistic regression.
      activation: "identity", "logistic", "relu" or "tanh".
      alpha: the L2 penalty on kernels: alpha / 2 times their sum of squares, divided by the batch
        size times the mean weight of the rows.
      learning_rate_init: Adam's learning rate, which is constant.
      batch_size: rows per step, at most the number of rows.
      max_iter: epochs; without early stopping, all of them are run.
      early_stopping: hold out rows, stop when their loss has not reached a new minimum for
        `n_iter_no_change` epochs, and restore the parameters of the minimum.
      validation_fraction: the fraction of rows to hold out.
      n_iter_no_change: the patience, in epochs.
      random_state: the seed of initial weights, order, held-out rows and stochastic layers.
      class_weight: the weight of the rows of each class, by label, 1 for missing labels;
        "balanced" gives all classes of `fit` the same total weight. It multiplies `sample_weight`.
      build: `build(n_features, n_outputs) -> Layer`, for another network than the MLP, with one
        logit per class. Use a function that can be imported: a pickle has only its name, and clones
        share the compiled program.

    Attributes:
      classes_: the labels, sorted.
      history_: one `jaxnets.training.Progress` per epoch, with the loss and the accuracy.
      loss_curve_: the mean training loss of each epoch, without the penalty.
      n_iter_: the number of epochs run; each call of `partial_fit` is one.
      n_features_in_, feature_names_in_: as for all scikit-learn estimators.
    """

    _loss = staticmethod(losses.softmax_cross_entropy)
    _metrics: ClassVar = {"accuracy": metrics.accuracy}
    _parameter_constraints: ClassVar[dict[str, list]] = {
        **NetworkEstimator._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        *,
        activation: str = "relu",
        alpha: float = 1e-4,
        learning_rate_init: float = 1e-3,
        batch_size: int = 200,
        max_iter: int = 200,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        random_state: Any = None,
        class_weight: Any = None,
        build: Build | None = None,
    ):
        super().__init__(
            hidden_layer_sizes,
            activation=activation,
            alpha=alpha,
            learning_rate_init=learning_rate_init,
            batch_size=batch_size,
            max_iter=max_iter,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            random_state=random_state,
            build=build,
        )
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:
        """Train from new parameters on rows X (n, n_features) and labels y (n,).

        A sparse X, such as from `TfidfVectorizer`, becomes dense by 32 MB, or by a batch.
        `sample_weight` (n,), at least 0, is the weight of each row in the mean loss of its batch
        and of the held-out rows: in a single batch, 2 is equivalent to repeating the row.
        """
        self._validate_params()
        x, y = self._validate(X, y, reset=True)
        self._set_classes(y)
        targets = self._numbers(y)
        weights = self._weights(sample_weight, x, y, targets)
        return self._fit(x, targets, weights, len(self.classes_))

    def partial_fit(self, X: Any, y: Any, classes: Any = None, sample_weight: Any = None) -> Self:
        """Train for one epoch on these rows, from the current parameters.

        The first call needs `classes`, with all labels of later calls.
        """
        self._validate_params()
        if self.class_weight == "balanced":
            raise ValueError(
                "partial_fit cannot balance the classes, since it does not have all rows; pass "
                "class_weight as a dict, or call fit"
            )
        first = not hasattr(self, "n_iter_")
        if first and classes is None:
            raise ValueError("classes must be passed on the first call to partial_fit")
        x, y = self._validate(X, y, reset=first)
        if first:
            self._set_classes(classes)
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            raise ValueError(
                f"partial_fit expects the classes of its first call, {self.classes_}, but got "
                f"{classes}; leave them out"
            )
        targets = self._numbers(y)
        weights = self._weights(sample_weight, x, y, targets)
        return self._partial_fit(x, targets, weights, len(self.classes_))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each row, (n,)."""
        most_probable = self._outputs(X).argmax(axis=1)
        return self.classes_[most_probable]

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, (n, n_classes), in the order of `classes_`."""
        return softmax(self._outputs(X), axis=1)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithm of `predict_proba`, finite even if that rounds to 0."""
        return log_softmax(self._outputs(X), axis=1)

    def _validate(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        x, y = validate_data(self, X, y, accept_sparse="csr", dtype=np.float32, reset=reset)
        check_classification_targets(y)
        return x, y

    def _set_classes(self, labels: Any) -> None:
        self.classes_ = unique_labels(labels)
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} expects two classes or more, but got one class, "
                f"{self.classes_}"
            )

    def _weights(
        self, sample_weight: Any, x: np.ndarray, y: np.ndarray, targets: np.ndarray
    ) -> np.ndarray | None:
        """The weight of each row, float32 (n,): its sample weight times its class weight."""
        weights = self._sample_weight(sample_weight, x)
        if self.class_weight is None:
            return weights
        class_weights = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
        row_weights = class_weights[targets]
        return self._sample_weight(row_weights if weights is None else row_weights * weights, x)

    def _numbers(self, y: np.ndarray) -> np.ndarray:
        """The class number of each label, int32 (n,)."""
        if len(unknown := np.setdiff1d(y, self.classes_)):
            raise ValueError(f"y expects labels among {self.classes_}, but got {unknown} as well")
        return np.searchsorted(self.classes_, y).astype(np.int32)
