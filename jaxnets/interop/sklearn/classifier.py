"""A network as a scikit-learn classifier."""

from typing import Any, ClassVar, Self

import numpy as np
from scipy.special import log_softmax, softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets, unique_labels
from sklearn.utils.validation import validate_data

from jaxnets import losses, metrics
from jaxnets.interop.sklearn.estimator import NetworkEstimator


class JaxnetsClassifier(ClassifierMixin, NetworkEstimator):
    """A network that tells classes apart, trained by Adam on the cross-entropy.

    Settings have the names and units of `sklearn.neural_network.MLPClassifier`.

    Args:
      hidden_layer_sizes: units of each hidden layer; with none it is logistic regression.
      activation: "identity", "logistic", "relu" or "tanh".
      alpha: the L2 penalty on kernels, alpha / 2 times their sum of squares over the batch size.
      learning_rate_init: Adam's learning rate, constant throughout.
      batch_size: rows a step, cut to the rows there are.
      max_iter: epochs; without early stopping, all of them are run.
      early_stopping: hold rows out, stop when their loss has had no new low for
        `n_iter_no_change` epochs, and go back to the parameters of the lowest.
      validation_fraction: the share of rows held out.
      n_iter_no_change: that patience, in epochs.
      random_state: decides initial weights, order, held-out rows and all chance.
      build: `build(n_features, n_outputs) -> Layer`, to have its network in place of the MLP,
        with one logit a class. A function that can be imported: a pickle holds its name alone, and
        clones share what is compiled for it.

    Attributes:
      classes_: the labels, sorted.
      history_: one `jaxnets.training.Progress` an epoch, with the loss and the accuracy.
      loss_curve_: the mean training loss of each epoch, without the penalty.
      n_iter_: epochs run, each call of `partial_fit` being one.
      n_features_in_, feature_names_in_: as in all of scikit-learn.
    """

    _loss = staticmethod(losses.softmax_cross_entropy)
    _metrics: ClassVar = {"accuracy": metrics.accuracy}

    def fit(self, X: Any, y: Any) -> Self:
        """Train from fresh parameters on rows X (n, n_features) and labels y (n,)."""
        self._validate_params()
        x, y = self._validate(X, y, reset=True)
        self._set_classes(y)
        return self._fit(x, self._numbers(y), len(self.classes_))

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Make one pass over these rows, from the parameters there are.

        The first call needs `classes`, all the labels there will be.
        """
        self._validate_params()
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
        return self._partial_fit(x, self._numbers(y), len(self.classes_))

    def predict(self, X: Any) -> np.ndarray:
        """The most probable label of each row, (n,)."""
        most_probable = self._outputs(X).argmax(axis=1)
        return self.classes_[most_probable]

    def predict_proba(self, X: Any) -> np.ndarray:
        """The probability of each class, (n, n_classes), in the order of `classes_`."""
        return softmax(self._outputs(X), axis=1)

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """The logarithm of `predict_proba`, finite where that rounds to 0."""
        return log_softmax(self._outputs(X), axis=1)

    def _validate(self, X: Any, y: Any, *, reset: bool) -> tuple[Any, Any]:
        x, y = validate_data(self, X, y, dtype=np.float32, reset=reset)
        check_classification_targets(y)
        return x, y

    def _set_classes(self, labels: Any) -> None:
        self.classes_ = unique_labels(labels)
        if len(self.classes_) < 2:
            raise ValueError(
                f"{type(self).__name__} expects two classes or more, but got one class, "
                f"{self.classes_}"
            )

    def _numbers(self, y: np.ndarray) -> np.ndarray:
        """The number of each label's class, int32 (n,)."""
        if len(unknown := np.setdiff1d(y, self.classes_)):
            raise ValueError(f"y expects labels among {self.classes_}, but got {unknown} as well")
        return np.searchsorted(self.classes_, y).astype(np.int32)
