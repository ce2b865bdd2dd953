"""One optimizer step as a pure function, and the state it steps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from jaxnets import metrics as metric_functions
from jaxnets.errors import RunError
from jaxnets.keys import stream
from jaxnets.layer import Array, Key, Layer, Params, State
from jaxnets.lowering import in_hwnc
from jaxnets.metrics import Metric, batch_sums
from jaxnets.metrics.per_example import per_example
from jaxnets.sharding import shard_batch
from jaxnets.training.arguments import check_metrics, check_parts, made_of

Hparams = Any  # a pytree of numbers: traced, so that a new value never recompiles
Loss = Callable[[Any, Any], Array]
Augment = Callable[[Key, Any, Any], tuple[Any, Any]]
Penalty = Callable[[Params], Array]
Sums = dict[str, Any]


class TrainState(NamedTuple):
    """What a `TrainStep` steps.

    Attributes:
      step: int32 scalar, the number of steps taken.
      params: what is trained.
      model_state: what the layers remember.
      opt_state: what the optimizer remembers.
      key: never consumed: every draw is a function of `(key, step)`.
    """

    step: Array
    params: Params
    model_state: State
    opt_state: optax.OptState
    key: Key


class Batch(NamedTuple):
    """Inputs (batch, ...), labels (batch, ...), and weights (batch,): 0 for padding, else 1."""

    x: Any
    y: Any
    weights: Any


class Trainable(Protocol):
    """What can be trained: `TrainStep`, or any hashable object with these methods.

    The train state is any pytree of arrays. The run counts the steps and keeps the key that draws
    the order of the data; what else is random is the train state's own affair. An object that is
    to be evaluated also has `evaluate_batch(train_state, batch) -> sums`, and
    `values(sums) -> dict` of named arrays; both are traced.
    """

    def init(self, key: Key, x: Any, /) -> Any:
        """The first train state; only the shapes and dtypes of the example batch `x` matter."""
        ...

    def __call__(self, train_state: Any, batch: Batch, hparams: Hparams, /) -> tuple[Any, Sums]:
        """The next train state, and sums over the batch that add up from step to step.

        `sums["objective"]` is a scalar that is not added up: it must stay finite.
        """
        ...


@dataclass(frozen=True)
class TrainStep:
    """A pure function `(train_state, batch) -> (train_state, sums)`; see `make_train_step`.

    Equal parts make an equal train step, so that a program compiled for one serves the other.
    """

    model: Layer
    optimizer: optax.GradientTransformation
    loss: Loss
    named_metrics: tuple[tuple[str, Metric], ...]
    penalty: Penalty | None
    augment: Augment | None
    compute_dtype: Any

    @property
    def metrics(self) -> dict[str, Metric]:
        """The metrics by name; the first is the loss."""
        return dict(self.named_metrics)

    def with_metrics(self, metrics: Mapping[str, Metric]) -> "TrainStep":
        """The same step with these metrics in place of its own."""
        return replace(self, named_metrics=tuple(metrics.items()))

    def init(self, key: Key, x: Any) -> TrainState:
        """The first train state; only the shapes and dtypes of the example batch `x` matter."""
        params, model_state = self.model.init(stream(key, "init"), x)
        # Some optimizers start from the params themselves, and no buffer can be donated twice.
        opt_state = jax.tree.map(jnp.copy, self.optimizer.init(params))
        return TrainState(jnp.int32(0), params, model_state, opt_state, stream(key, "train"))

    def __call__(
        self, train_state: TrainState, batch: Batch, hparams: None = None
    ) -> tuple[TrainState, Sums]:
        """Step once; return the next train state and the metrics' sums over the batch.

        `sums["objective"]` is what is minimized: the mean loss plus the penalty.

        Raises:
          RunError: `hparams` are not empty, though nothing here depends on it.
        """
        refuse_unused(hparams)
        step, params, model_state, opt_state, key = train_state
        x, y, weights = batch
        if self.augment is not None:
            x, y = self.augment(stream(key, "augment", step), x, y)

        @in_hwnc
        def forward(params: Params, model_state: State, x: Any, key: Key) -> tuple[Any, State]:
            return self.model.apply(params, model_state, x, key=key, train=True)

        def objective(params: Params) -> tuple[Array, tuple[Array, State]]:
            params_cast = _cast(params, self.compute_dtype)
            outputs, new_state = forward(params_cast, model_state, x, stream(key, "step", step))
            outputs = _cast(outputs, self.compute_dtype and jnp.float32)
            losses = _losses(self.loss, outputs, y, weights)
            mean = jnp.where(weights > 0, losses * weights, 0).sum() / weights.sum()
            penalty = 0.0 if self.penalty is None else _scalar(self.penalty(params))
            return mean + penalty, (outputs, new_state)

        (value, (outputs, model_state)), gradient = jax.value_and_grad(objective, has_aux=True)(
            params
        )
        extra = {"value": value, "grad": gradient, "value_fn": lambda params: objective(params)[0]}
        optimizer = optax.with_extra_args_support(self.optimizer)  # drops them if it takes none
        updates, opt_state = optimizer.update(gradient, opt_state, params, **extra)
        sums = batch_sums(self.named_metrics, outputs, y, weights)
        next_params: Any = optax.apply_updates(params, updates)
        next_state = TrainState(step + 1, next_params, model_state, opt_state, key)
        return next_state, {"objective": value, **sums}

    def predict_batch(self, train_state: TrainState, x: Any) -> Any:
        """The model's outputs for inputs (batch, ...), with `train=False`."""
        if not isinstance(train_state, TrainState):
            raise RunError(
                f"a train step expects a TrainState, but got a {type(train_state).__name__}; pass "
                "what fit left in its train_state"
            )
        apply = in_hwnc(self.model.apply)
        return apply(train_state.params, train_state.model_state, x)[0]

    def evaluate_batch(self, train_state: TrainState, batch: Batch) -> Sums:
        """The metrics' sums over a batch, with `train=False`."""
        x, y, weights = shard_batch(batch)
        outputs = self.predict_batch(train_state, x)
        return batch_sums(self.named_metrics, outputs, y, weights)

    def values(self, sums: Sums) -> dict[str, Array]:
        """Each metric's value from its sums."""
        return {name: metric.value(sums[name]) for name, metric in self.named_metrics}


def make_train_step(
    model: Layer,
    optimizer: optax.GradientTransformation,
    loss: Loss,
    *,
    metrics: Mapping[str, Metric] | None = None,
    penalty: Penalty | None = None,
    augment: Augment | None = None,
    compute_dtype: Any = None,
) -> TrainStep:
    """A `TrainStep` from a model, an optimizer and a loss.

    Hyperparameters enter by a function that makes the train step, which is passed wherever a
    train step is expected:
    `lambda hparams: make_train_step(model, optax.adam(hparams["learning_rate"]), loss)`. It runs
    inside the trace, so that a new learning rate or dropout rate is a new input to the same
    program. Pass the same function again to use the same program again.

    Args:
      model: a `Layer`.
      optimizer: an optax transformation. One that takes extra arguments, such as `optax.lbfgs`,
        gets the step's `value`, `grad` and `value_fn`.
      loss: `loss(outputs, labels)`, one number per example, shape (batch,): the mean is taken
        here, so that padding does not count.
      metrics: what to report beside the loss, by name; "loss" replaces the loss in reports.
      penalty: `penalty(params)`, added to the mean loss, as in
        `lambda params: losses.l2(params, 1e-4)`.
      augment: `augment(key, x, y) -> (x, y)`, run on the device before the model.
      compute_dtype: the dtype of the forward and backward pass, by default that of the params.
        `jnp.bfloat16` is mixed precision (Micikevicius et al. 2018): params, optimizer and loss
        stay float32.

    Raises:
      TypeError: a part of another kind, such as a string for an optimizer.
    """
    named = check_metrics("make_train_step", {} if metrics is None else metrics)
    check_parts(
        model,
        optimizer,
        compute_dtype,
        penalty=(penalty, "write lambda params: losses.l2(params, 1e-4)"),
        augment=(augment, "see jaxnets.data.augment"),
    )
    if not callable(loss):
        raise TypeError(
            f"make_train_step expects a loss function, but got {loss!r}; pass "
            "losses.softmax_cross_entropy, or a function of (outputs, labels)"
        )
    named = {"loss": metric_functions.mean(loss)} | named
    return TrainStep(model, optimizer, loss, tuple(named.items()), penalty, augment, compute_dtype)


def resolve(train_step: Any, hparams: Hparams) -> tuple[Any, Hparams]:
    """The train step, and what it takes as `hparams`: None where it is a function of them."""
    if hasattr(train_step, "init"):
        return train_step, hparams
    return made_of(train_step, hparams), None


def refuse_unused(hparams: Any) -> None:
    """Refuse hyperparameters that a `TrainStep` is given, since nothing in it reads them."""
    if jax.tree.leaves(hparams):
        got = sorted(hparams) if isinstance(hparams, Mapping) else f"a {type(hparams).__name__}"
        raise RunError(
            f"this train step depends on no hparams, but got {got}; pass a function "
            'of them: lambda hparams: make_train_step(model, optax.adam(hparams["learning_rate"]), '
            "loss)"
        )


def _losses(loss: Loss, outputs: Any, y: Any, weights: Array) -> Array:
    losses = per_example("make_train_step", loss, outputs, y, weights)
    if not jnp.issubdtype(losses.dtype, jnp.floating):
        raise ValueError(
            f"make_train_step expects a loss with a gradient, but got {losses.dtype} numbers, "
            "which have none; train on a cross-entropy, and report this one by metrics.mean"
        )
    return losses


def _scalar(penalty: Array) -> Array:
    if jnp.shape(penalty) != ():
        raise ValueError(
            f"make_train_step expects penalty(params) to return one number, but got shape "
            f"{jnp.shape(penalty)}; sum over the params, as losses.l2 does"
        )
    return penalty


def _cast(tree: Any, dtype: Any) -> Any:
    """The tree with its floating-point leaves in `dtype`; as it is where that is None."""

    def leaf(x: Array) -> Array:
        return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x

    return tree if dtype is None else jax.tree.map(leaf, tree)
