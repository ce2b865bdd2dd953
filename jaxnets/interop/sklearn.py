"""Networks as scikit-learn estimators, for `GridSearchCV`, pipelines and all that takes them.

They compute in float32 on JAX's default device, whatever the dtype of the data. A program is
compiled for each shape of the data and each network, and serves every `alpha` and learning rate.
"""

from collections.abc import Callable
from functools import cache
from numbers import Integral, Real
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
import optax

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, is_classifier
    from sklearn.model_selection import train_test_split
    from sklearn.utils import Tags, check_random_state, column_or_1d
    from sklearn.utils._param_validation import Interval, StrOptions
    from sklearn.utils.multiclass import check_classification_targets, unique_labels
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise ImportError(
        "jaxnets.interop.sklearn needs scikit-learn 1.6 or newer; pip install -U scikit-learn"
    ) from error
from scipy.special import log_softmax, softmax

from jaxnets import losses, metrics
from jaxnets.layer import Array, Layer, Params
from jaxnets.models import mlp
from jaxnets.training import TrainState, Update, fit, make_update, predict_outputs

Build = Callable[[int, int], Layer]

ACTIVATIONS = {
    "identity": jax.nn.identity,
    "logistic": jax.nn.sigmoid,
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
}


class _NetworkEstimator(BaseEstimator):
    """What both estimators share: the parameters, training in chunks, prediction in blocks."""

    _loss: ClassVar[Any]
    _metrics: ClassVar[dict[str, metrics.Metric]]
    _parameter_constraints: ClassVar[dict[str, list]] = {
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions(set(ACTIVATIONS))],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "random_state": ["random_state"],
        "build": [callable, None],
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
        build: Build | None = None,
    ):
        self.hidden_layer_sizes = hidden_layer_sizes
        self.activation = activation
        self.alpha = alpha
        self.learning_rate_init = learning_rate_init
        self.batch_size = batch_size
        self.max_iter = max_iter
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.random_state = random_state
        self.build = build

    def _fit(self, x: np.ndarray, targets: np.ndarray, outputs: int) -> Self:
        """Start afresh and train for `max_iter` epochs, or until the validation loss stalls."""
        chance, validation = check_random_state(self.random_state), None
        if self.early_stopping:
            x, held_x, targets, held_targets = train_test_split(
                x,
                targets,
                test_size=self.validation_fraction,
                random_state=chance,
                stratify=targets if is_classifier(self) else None,
            )
            validation = (held_x, held_targets)
        start = self._start(x, outputs, chance)
        return self._train(start, x, targets, int(self.max_iter), validation)

    def _partial_fit(self, x: np.ndarray, targets: np.ndarray, outputs: int) -> Self:
        """One more pass, over these rows."""
        if self.early_stopping:
            raise ValueError("partial_fit holds no rows out; set early_stopping=False, or call fit")
        if hasattr(self, "n_iter_"):
            start = _to_device(self._train_state)
        else:
            start = self._start(x, outputs, check_random_state(self.random_state))
        return self._train(start, x, targets, 1)

    def _start(self, x: np.ndarray, outputs: int, chance: np.random.RandomState) -> TrainState:
        """Fresh parameters, and the network they are for, which later settings do not change."""
        sizes = tuple(np.atleast_1d(self.hidden_layer_sizes).tolist())
        self._network = (self.build, sizes, self.activation, x.shape[1], outputs)
        self.history_ = ()
        key = jax.random.key(chance.randint(np.iinfo(np.int32).max))
        return self._update().init(key, x[:1], {"learning_rate": 1.0, "l2": 0.0})

    def _update(self) -> Update:
        """Made of equal parts for equal networks, so that clones share what is compiled."""
        return make_update(
            network(*self._network), _adam, self._loss, metrics=self._metrics, penalty=_penalty
        )

    def _train(
        self,
        start: TrainState,
        x: np.ndarray,
        targets: np.ndarray,
        epochs: int,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
    ) -> Self:
        """Go on from `start` for so many passes over the rows, and keep what comes of it."""
        batch_size = min(int(self.batch_size), len(x))
        # Rows may be more or fewer than before: the next whole epoch of their length begins here.
        steps = -(-len(x) // batch_size)
        done = -(-int(start.step) // steps)
        start = start._replace(step=jnp.int32(done * steps))
        fitted = fit(
            self._update(),
            (x, targets),
            key=start.key,
            epochs=done + epochs,
            batch_size=batch_size,
            start=start,
            hyper={
                "learning_rate": np.float32(self.learning_rate_init),
                "l2": np.float32(self.alpha / (2 * batch_size)),
            },
            validation=validation,
            patience=None if validation is None else int(self.n_iter_no_change),
            remainder="pad",
        )
        self._train_state = _to_host(fitted.train_state)
        self.history_ += fitted.history
        self.loss_curve_ = [progress.train["loss"] for progress in self.history_]
        self.n_iter_ = len(self.history_)
        return self

    def _outputs(self, X: Any) -> np.ndarray:
        """What the network says of each row, (n, outputs), the same whatever rows are beside it."""
        check_is_fitted(self, "n_iter_")
        x = validate_data(self, X, dtype=np.float32, reset=False)
        _, params, state, *_ = self._train_state
        return predict_outputs(network(*self._network), params, state, x).astype(np.float64)


class JaxnetsClassifier(ClassifierMixin, _NetworkEstimator):
    """A network that tells classes apart, trained by Adam on the cross-entropy.

    Parameters are called and measured as those of `sklearn.neural_network.MLPClassifier`, which
    documents them, but for what is said here.

    Args:
      hidden_layer_sizes: units of each hidden layer of the MLP.
      activation: "identity", "logistic", "relu" or "tanh".
      alpha: the L2 penalty on kernels: alpha / 2 times their sum of squares, over the batch size.
      learning_rate_init: Adam's learning rate, constant throughout.
      batch_size: rows a step, cut to the rows there are.
      max_iter: epochs; without early stopping all of them are run.
      early_stopping: hold rows out, stop when their loss has had no new low for
        `n_iter_no_change` epochs, and go back to the parameters of the lowest.
      validation_fraction: the share of rows held out.
      n_iter_no_change: that patience, in epochs.
      random_state: decides initial weights, order, held-out rows and all chance.
      build: `build(n_features, n_outputs) -> Layer` in place of the MLP, with one logit a class. A
        function that can be imported, since clones share what is compiled for it and a pickle
        holds its name alone.

    Attributes:
      classes_: the labels, sorted.
      n_features_in_, feature_names_in_: as everywhere in scikit-learn.
      history_: a `jaxnets.training.Progress` an epoch, with the loss and the accuracy.
      loss_curve_: the training loss of each epoch, without the penalty.
      n_iter_: epochs run, those of `partial_fit` included.
    """

    _loss = staticmethod(losses.softmax_cross_entropy)
    _metrics: ClassVar = {"accuracy": metrics.accuracy}

    def fit(self, X: Any, y: Any) -> Self:
        """Train from fresh parameters on rows X (n, n_features) and labels y (n,)."""
        self._validate_params()
        x, y = self._validate(X, y, reset=True)
        self._set_classes(y)
        return self._fit(x, self._codes(y), len(self.classes_))

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Self:
        """Make one pass over these rows, from the parameters there are.

        `classes`, all the labels there will be, must be given in the first call.
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
        return self._partial_fit(x, self._codes(y), len(self.classes_))

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

    def _validate(self, X: Any, y: Any, *, reset: bool) -> tuple[np.ndarray, np.ndarray]:
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

    def _codes(self, y: np.ndarray) -> np.ndarray:
        if len(unknown := np.setdiff1d(y, self.classes_)):
            raise ValueError(f"y expects labels among {self.classes_}, but got {unknown} as well")
        return np.searchsorted(self.classes_, y).astype(np.int32)


class JaxnetsRegressor(RegressorMixin, _NetworkEstimator):
    """A network that predicts one number a row, or several, trained on half the squared error.

    Parameters and attributes are those of `JaxnetsClassifier`, without `classes_`; the builder's
    network gives one output a target. Scale the targets if they are far from 0 and 1.
    """

    _loss = staticmethod(losses.half_squared_error)
    _metrics: ClassVar = {}

    def fit(self, X: Any, y: Any) -> Self:
        """Train from fresh parameters on rows X (n, n_features), targets y (n,) or (n, m)."""
        self._validate_params()
        x, targets = self._validate(X, y, reset=True)
        return self._fit(x, targets, targets.shape[1])

    def partial_fit(self, X: Any, y: Any) -> Self:
        """Make one pass over these rows, from the parameters there are."""
        self._validate_params()
        x, targets = self._validate(X, y, reset=not hasattr(self, "n_iter_"))
        return self._partial_fit(x, targets, targets.shape[1])

    def predict(self, X: Any) -> np.ndarray:
        """The prediction for each row, (n,), or (n, m) for m > 1 targets."""
        outputs = self._outputs(X)
        return outputs[:, 0] if outputs.shape[1] == 1 else outputs

    def _validate(self, X: Any, y: Any, *, reset: bool) -> tuple[np.ndarray, np.ndarray]:
        x, y = validate_data(
            self, X, y, dtype=np.float32, multi_output=True, y_numeric=True, reset=reset
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return x, y.reshape(len(y), -1).astype(np.float32)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


@cache  # so that the same network is the same object, and shares what is compiled for it
def network(
    build: Build | None, hidden: tuple[int, ...], activation: str, features: int, outputs: int
) -> Layer:
    """The builder's network or, without one, the MLP with these hidden layers."""
    if build is None:
        return mlp((*hidden, outputs), activation=ACTIVATIONS[activation])
    if not isinstance(model := build(features, outputs), Layer):
        raise TypeError(f"build({features}, {outputs}) must return a Layer, but got {model!r}")
    return model


def _adam(hyper: dict[str, Array]) -> optax.GradientTransformation:
    return optax.adam(hyper["learning_rate"])


def _penalty(params: Params, hyper: dict[str, Array]) -> Array:
    return losses.l2(params, hyper["l2"])


def _to_host(train_state: TrainState) -> TrainState:
    """The train state in NumPy arrays, which pickle, and its key as the numbers it is made of."""
    return jax.device_get(train_state._replace(key=jax.random.key_data(train_state.key)))


def _to_device(train_state: TrainState) -> TrainState:
    """The inverse of `_to_host`."""
    train_state = jax.tree.map(jnp.asarray, train_state)
    return train_state._replace(key=jax.random.wrap_key_data(train_state.key))
