"""One optimizer step as a pure function of the train state and a batch."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

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
from jaxnets.training.arguments import build_train_step, check_metrics, check_parts
from jaxnets.trees import flatten_names

Hparams = Any  # a pytree of numbers, which are traced: a new value does not recompile
Loss = Callable[[Any, Any], Array]
Augment = Callable[[Key, Any, Any], tuple[Any, Any]]
Penalty = Callable[[Params], Array]
Sums = dict[str, Any]


class TrainState(NamedTuple):
    """What a `TrainStep` updates.

    Attributes:
      step: int32 scalar, the number of steps taken.
      params: the trained parameters.
      model_state: the layers' state that is not trained, such as running statistics.
      opt_state: the optimizer's state.
      key: a random key, never consumed: all random numbers are derived from `(key, step)`.
    """

    step: Array
    params: Params
    model_state: State
    opt_state: optax.OptState
    key: Key


class Batch(NamedTuple):
    """Inputs (batch, ...), labels (batch, ...); weights (batch,), by default 1, 0 for padding."""

    x: Any
    y: Any
    weights: Any


@dataclass(frozen=True)
class TrainStep:
    """A pure function `(train_state, batch) -> (train_state, sums)`; see `make_train_step`.

    A frozen, hashable dataclass: train steps with equal fields share their compiled programs.
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
        """The metrics by name; the first is the loss, except after `with_metrics`."""
        return dict(self.named_metrics)

    def with_metrics(self, metrics: Mapping[str, Metric]) -> "TrainStep":
        """A copy of this train step with other metrics."""
        return replace(self, named_metrics=tuple(metrics.items()))

    def init(self, key: Key, x: Any) -> TrainState:
        """The initial train state; only the shapes and dtypes of the example batch `x` matter."""
        params, model_state = self.model.init(stream(key, "init"), x)
        _refuse_cache(model_state)
        # Some optimizers keep the params themselves, and a buffer can only be donated once.
        opt_state = jax.tree.map(jnp.copy, self.optimizer.init(params))
        return TrainState(jnp.int32(0), params, model_state, opt_state, stream(key, "train"))

    def __call__(
        self, train_state: TrainState, batch: Batch, hparams: None = None
    ) -> tuple[TrainState, Sums]:
        """Take one step; return the next train state and the metrics' sums over the batch.

        `sums["objective"]` is what is minimized: the mean loss plus the penalty.

        Raises:
          RunError: `hparams` are not empty, although this train step does not read them.
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
        optimizer = optax.with_extra_args_support(self.optimizer)  # drops them if not supported
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
                "the train_state that fit or init returned"
            )
        _refuse_cache(train_state.model_state)
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

    To tune hyperparameters without recompiling, pass a function of them wherever a train step is
    expected: `lambda hparams: make_train_step(model, optax.adam(hparams["learning_rate"]), loss)`.
    It is called while tracing, so a new learning rate or dropout rate is a new input to the same
    program. Programs are cached per function: define it once and reuse it.

    Args:
      model: a `Layer`.
      optimizer: an optax transformation. One that takes extra arguments, such as `optax.lbfgs`,
        gets the step's `value`, `grad` and `value_fn`.
      loss: `loss(outputs, labels)`, one number per example, shape (batch,); `TrainStep` takes the
        mean, so that padding does not count.
      metrics: what to report besides the loss, by name; "loss" replaces the loss in reports.
      penalty: `penalty(params)`, added to the mean loss, as in
        `lambda params: losses.l2(params, 1e-4)`.
      augment: `augment(key, x, y) -> (x, y)`, run on the device before the model.
      compute_dtype: the dtype of the forward and backward pass, by default that of the params.
        `jnp.bfloat16` is mixed precision (Micikevicius et al. 2018): params, optimizer and loss
        stay float32.

    Raises:
      TypeError: an argument has the wrong type, such as a string for the optimizer.
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
    """The train step, and the `hparams` to call it with: None if it was built from them."""
    if hasattr(train_step, "init"):
        return train_step, hparams
    return build_train_step(train_step, hparams), None


def refuse_unused(hparams: Any) -> None:
    """Refuse hyperparameters passed to a `TrainStep`, which does not read them."""
    if jax.tree.leaves(hparams):
        got = sorted(hparams) if isinstance(hparams, Mapping) else f"a {type(hparams).__name__}"
        raise RunError(
            f"this train step does not depend on hparams, but got {got}; pass a function "
            'of them: lambda hparams: make_train_step(model, optax.adam(hparams["learning_rate"]), '
            "loss)"
        )


def _losses(loss: Loss, outputs: Any, y: Any, weights: Array) -> Array:
    losses = per_example("make_train_step", loss, outputs, y, weights)
    if not jnp.issubdtype(losses.dtype, jnp.floating):
        raise ValueError(
            f"make_train_step expects a differentiable loss, but got {losses.dtype} numbers, "
            "which have no gradient; train on a cross-entropy, and report this one with "
            "metrics.mean"
        )
    return losses


def _scalar(penalty: Array) -> Array:
    if jnp.shape(penalty) != ():
        raise ValueError(
            f"make_train_step expects penalty(params) to return one number, but got shape "
            f"{jnp.shape(penalty)}; sum over the params, as in losses.l2"
        )
    return penalty


def _cast(tree: Any, dtype: Any) -> Any:
    """The tree with its floating-point leaves cast to `dtype`; unchanged if that is None."""

    def leaf(x: Array) -> Array:
        return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x

    return tree if dtype is None else jax.tree.map(leaf, tree)


def _refuse_cache(model_state: State) -> None:
    """Refuse the key-value caches of attention, whose rows belong to one batch."""
    paths = flatten_names(model_state)
    for path in paths:
        layer = path.removesuffix("index")
        if layer != path and {f"{layer}key", f"{layer}value"} <= {*paths}:
            raise RunError(
                f"a train step expects a model without a cache, but got {path!r} in its state; "
                "make it without cache=, which has the same params, and keep the cache for "
                "models.generate"
            )
