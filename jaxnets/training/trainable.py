"""The protocol of a train step: what `fit` can train."""

from typing import Any, Protocol

from jaxnets.layer import Key
from jaxnets.training.train_step import Batch, Hparams, Sums


class Trainable(Protocol):
    """What can be trained: `TrainStep`, or any hashable object with these methods.

    The train state is any pytree of arrays. The run counts the steps and keeps the key that
    shuffles the data; a train step keeps any other random keys in its train state. To be evaluated,
    it also needs `evaluate_batch(train_state, batch) -> sums` and `values(sums) -> dict` of named
    arrays; to predict, `predict_batch(train_state, x) -> outputs`. All methods are traced.
    """

    def init(self, key: Key, x: Any, /) -> Any:
        """The initial train state; only the shapes and dtypes of the example batch `x` matter."""
        ...

    def __call__(self, train_state: Any, batch: Batch, hparams: Hparams, /) -> tuple[Any, Sums]:
        """The next train state, and sums over the batch, which are added up over the steps.

        `sums["objective"]` is a scalar that is not added up; it must stay finite.
        """
        ...
