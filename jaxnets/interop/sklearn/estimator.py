"""The base class of the estimators: arguments, training and prediction."""

from numbers import Integral, Real
from typing import Any, ClassVar, Self

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.base import BaseEstimator, is_classifier
from sklearn.model_selection import train_test_split
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from jaxnets.interop.sklearn.network import (
    ACTIVATIONS,
    Architecture,
    Build,
    to_device,
    to_host,
    train_step_of,
)
from jaxnets.interop.sklearn.sparse_rows import SparseRows, as_examples, as_rows
from jaxnets.training import TrainState, fit, predict_outputs
from jaxnets.training.evaluate import BLOCK


class NetworkEstimator(BaseEstimator):
    """A network and its training arguments, which `JaxnetsClassifier` documents."""

    _loss: ClassVar[Any]
    _metrics: ClassVar[dict[str, Any]] = {}
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

    def _sample_weight(self, sample_weight: Any, x: np.ndarray) -> np.ndarray | None:
        """The weight of each row, float32 (n,), or None."""
        if sample_weight is None:
            return None
        weights = _check_sample_weight(sample_weight, x, dtype=np.float32)
        if weights.min() < 0:
            raise ValueError(
                f"sample_weight expects numbers of at least 0, but got {weights.min()} in row "
                f"{weights.argmin()}; a weight of 0 leaves a row out"
            )
        return weights

    def _fit(
        self, x: np.ndarray, targets: np.ndarray, weights: np.ndarray | None, outputs: int
    ) -> Self:
        """Train from new parameters for `max_iter` epochs, or until the held-out loss stalls."""
        random_state = check_random_state(self.random_state)
        rows: list[Any] = [x, targets] if weights is None else [x, targets, weights]
        validation = None
        if self.early_stopping:
            split: list[Any] = train_test_split(
                *rows,
                test_size=self.validation_fraction,
                random_state=random_state,
                stratify=targets if is_classifier(self) else None,
            )
            rows, validation = split[::2], _check_weights("held-out", split[1::2])
        start = self._start(x, outputs, random_state)
        return self._train(start, rows, int(self.max_iter), validation)

    def _partial_fit(
        self, x: np.ndarray, targets: np.ndarray, weights: np.ndarray | None, outputs: int
    ) -> Self:
        """Train for one more epoch, on these rows."""
        if self.early_stopping:
            raise ValueError("partial_fit holds no rows out; set early_stopping=False, or call fit")
        if hasattr(self, "n_iter_"):
            start = to_device(self._train_state)
        else:
            start = self._start(x, outputs, check_random_state(self.random_state))
        return self._train(start, [x, targets] if weights is None else [x, targets, weights], 1)

    def _start(
        self, x: np.ndarray, outputs: int, random_state: np.random.RandomState
    ) -> TrainState:
        """Fix the architecture, so that later `set_params` do not change it, and initialise it."""
        sizes = tuple(np.atleast_1d(self.hidden_layer_sizes).tolist())
        if not all(isinstance(size, int) and size > 0 for size in sizes):
            raise ValueError(f"hidden_layer_sizes must be positive integers, but got {sizes}")
        self._architecture = Architecture(self.build, sizes, self.activation, x.shape[1], outputs)
        self.history_ = ()
        key = jax.random.key(random_state.randint(np.iinfo(np.int32).max))
        return self._train_step()({"learning_rate": 1.0, "l2": 0.0}).init(key, as_rows(x)[:1])

    def _train(
        self,
        start: TrainState,
        rows: list[np.ndarray],
        epochs: int,
        validation: list[np.ndarray] | None = None,
    ) -> Self:
        """Train from `start` for a number of epochs, and store the result."""
        rows = [as_rows(rows[0]), *rows[1:]]
        x, _, *weights = _check_weights("training", rows)
        batch_size = min(int(self.batch_size), len(x))
        mean_weight = weights[0].mean(dtype=np.float64) if weights else 1.0
        # The number of rows may have changed: continue at the start of the next epoch.
        steps = -(-len(x) // batch_size)
        done = -(-int(start.step) // steps)
        held_out = None if validation is None else [as_rows(validation[0]), *validation[1:]]
        result = fit(
            self._train_step(),
            as_examples(rows),
            key=start.key,
            epochs=done + epochs,
            batch_size=batch_size,
            start=start._replace(step=jnp.int32(done * steps)),
            hparams={
                "learning_rate": np.float32(self.learning_rate_init),
                "l2": np.float32(self.alpha / (2 * batch_size * mean_weight)),
            },
            validation=as_examples(held_out),
            patience=None if validation is None else int(self.n_iter_no_change),
            remainder="pad",
        )
        self._train_state = to_host(result.train_state)
        self.history_ += result.history
        self.loss_curve_ = [progress.train["loss"] for progress in self.history_]
        self.n_iter_ = len(self.history_)
        return self

    def _train_step(self) -> Any:
        return train_step_of(self._architecture, self._loss, tuple(self._metrics.items()))

    def _outputs(self, X: Any) -> np.ndarray:
        """The network's outputs, (n, outputs); those of a row do not depend on the other rows."""
        check_is_fitted(self, "n_iter_")
        x = as_rows(validate_data(self, X, accept_sparse="csr", dtype=np.float32, reset=False))
        state = to_device(self._train_state)
        hparams = {"learning_rate": 0.0, "l2": 0.0}  # not used for prediction
        parts = [x]
        if isinstance(x, SparseRows):
            parts = (x[first : first + BLOCK] for first in range(0, len(x), BLOCK))
        step = self._train_step()
        outputs = [predict_outputs(step, state, part, hparams=hparams) for part in parts]
        return np.concatenate(outputs).astype(np.float64)

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def _check_weights(name: str, rows: list[np.ndarray]) -> list[np.ndarray]:
    """The rows; raises if all weights are 0."""
    if len(rows) == 3 and not rows[2].any():
        raise ValueError(
            f"sample_weight expects a {name} row with a weight above 0, but got none in "
            f"{len(rows[2])}; omit sample_weight to weight all rows equally"
        )
    return rows
