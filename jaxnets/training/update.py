"""One optimizer step as a pure function, and the state it steps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from jaxnets import metrics as metric_functions
from jaxnets.keys import stream
from jaxnets.layer import Array, Key, Layer, Params, State
from jaxnets.lowering import batch_inside
from jaxnets.metrics import Metric, batch_sums
from jaxnets.metrics.per_example import per_example
from jaxnets.training.arguments import check_metrics, check_parts, from_hyper, reading_hyper

Hyper = Any  # a pytree of numbers: traced, so that a new value never recompiles
Loss = Callable[[Array, Array], Array]
Augment = Callable[[Key, Array, Array], tuple[Array, Array]]
Penalty = Callable[[Params, Hyper], Array]
Sums = dict[str, Any]


class TrainState(NamedTuple):
    """Everything a run needs to go on.

    Attributes:
      step: int32 scalar, how many updates have been made.
      params: what is trained.
      state: what the layers remember.
      opt_state: what the optimizer remembers.
      key: the run's key, never consumed: every draw is a function of `(key, step)`.
    """

    step: Array
    params: Params
    state: State
    opt_state: optax.OptState
    key: Key


class Batch(NamedTuple):
    """Inputs (batch, ...), labels (batch, ...), and weights (batch,): 0 for padding, else 1."""

    x: Array
    y: Array
    weights: Array


@dataclass(frozen=True)
class OfHyper:
    """A part of an update that is made from the hyperparameters, inside the trace."""

    make: Callable[[Hyper], Any]


def of_hyper(make: Callable[[Hyper], Any]) -> OfHyper:
    """Mark a loss or an augmentation as a function of the hyperparameters.

    Those are functions themselves, so `make_update` could not tell:
    `of_hyper(lambda hyper: partial(cross_entropy, label_smoothing=hyper["label_smoothing"]))`.
    """
    return OfHyper(make)


@dataclass(frozen=True)
class Update:
    """A pure function `(train_state, batch, hyper) -> (train_state, sums)`, its parts in view.

    Equal parts make an equal update, so that a program compiled for one serves the other. Made
    by `make_update`, which says what the parts are.
    """

    model: Layer | Callable[[Hyper], Layer]
    tx: optax.GradientTransformation | Callable[[Hyper], optax.GradientTransformation]
    loss: Loss | OfHyper
    named_metrics: tuple[tuple[str, Metric], ...]
    penalty: Penalty | None
    augment: Augment | OfHyper | None
    compute_dtype: Any

    @property
    def metrics(self) -> dict[str, Metric]:
        """The metrics by name; the first is the loss."""
        return dict(self.named_metrics)

    def build(self, hyper: Hyper) -> tuple[Layer, optax.GradientTransformation]:
        """The model and the optimizer for these hyperparameters, which may be traced."""
        return build(self.model, hyper), build(self.tx, hyper)

    def init(self, key: Key, x: Any, hyper: Hyper = None) -> TrainState:
        """A first train state; only the shape and dtype of the example batch `x` matter."""
        model, tx = self.build(hyper)
        params, state = model.init(stream(key, "init"), x)
        # Some optimizers start from the params themselves, and no buffer can be donated twice.
        opt_state = jax.tree.map(jnp.copy, tx.init(params))
        return TrainState(jnp.int32(0), params, state, opt_state, stream(key, "train"))

    def __call__(
        self, train_state: TrainState, batch: Batch, hyper: Hyper = None
    ) -> tuple[TrainState, Sums]:
        """Step once; return the next train state and the metrics' sums over the batch.

        `sums["objective"]` is what was minimised: the mean loss plus the penalty.
        """
        model, tx = self.build(hyper)
        step, params, state, opt_state, key = train_state
        x, y, weights = batch
        if self.augment is not None:
            x, y = _made(self.augment, hyper)(stream(key, "augment", step), x, y)

        @batch_inside
        def forward(params: Params, state: State, x: Array, key: Key) -> tuple[Array, State]:
            return model.apply(params, state, x, key=key, train=True)

        def objective(params: Params) -> tuple[Array, tuple[Array, State]]:
            params_cast = _cast(params, self.compute_dtype)
            outputs, new_state = forward(params_cast, state, x, stream(key, "step", step))
            outputs = _cast(outputs, self.compute_dtype and jnp.float32)
            losses = _losses(_made(self.loss, hyper), outputs, y, weights)
            mean = jnp.where(weights > 0, losses * weights, 0).sum() / weights.sum()
            penalty = 0.0 if self.penalty is None else _penalty(self.penalty, params, hyper)
            return mean + penalty, (outputs, new_state)

        (value, (outputs, state)), gradient = jax.value_and_grad(objective, has_aux=True)(params)
        extra = {"value": value, "grad": gradient, "value_fn": lambda params: objective(params)[0]}
        tx = optax.with_extra_args_support(tx)  # drops them where it takes none
        updates, opt_state = tx.update(gradient, opt_state, params, **extra)
        sums = batch_sums(self.named_metrics, outputs, y, weights)
        next_params: Any = optax.apply_updates(params, updates)
        next_state = TrainState(step + 1, next_params, state, opt_state, key)
        return next_state, {"objective": value, **sums}


def make_update(
    model: Layer | Callable[[Hyper], Layer],
    tx: optax.GradientTransformation | Callable[[Hyper], optax.GradientTransformation],
    loss: Loss | OfHyper,
    *,
    metrics: Mapping[str, Metric] | None = None,
    penalty: Penalty | None = None,
    augment: Augment | OfHyper | None = None,
    compute_dtype: Any = None,
) -> Update:
    """An `Update` from a model, an optimizer and a loss.

    Args:
      model: a `Layer`, or a function of the hyperparameters that returns one.
      tx: an optax transformation, or a function of the hyperparameters that returns one, as in
        `lambda hyper: optax.adam(hyper["learning_rate"])`. Both run inside the trace, so a new
        learning rate or dropout rate is a new input to the same program. An optimizer that takes
        extra arguments, such as `optax.lbfgs`, gets the step's `value`, `grad` and `value_fn`.
      loss: `loss(outputs, labels)`, one number per example, shape (batch,): the mean is taken
        here, so that padding does not count; or an `of_hyper` that makes it.
      metrics: what to report beside the loss, by name; "loss" replaces the loss in reports.
      penalty: `penalty(params, hyper)`, added to the mean loss, as in
        `lambda params, hyper: losses.l2(params, 1e-4)`.
      augment: `augment(key, x, y) -> (x, y)`, run on the device before the model, or an `of_hyper`
        that makes it.
      compute_dtype: the dtype of the forward and backward pass, by default that of the params.
        `jnp.bfloat16` is mixed precision (Micikevicius et al. 2018): params, optimizer and loss
        stay float32.

    Raises:
      TypeError: a part of another kind, such as a string for an optimizer.
    """
    named = check_metrics("make_update", {} if metrics is None else metrics)
    check_parts(
        model,
        tx,
        compute_dtype,
        penalty=(penalty, "write lambda params, hyper: losses.l2(params, 1e-4)"),
        augment=(None if isinstance(augment, OfHyper) else augment, "see jaxnets.data.augment"),
    )
    if not callable(loss) and not isinstance(loss, OfHyper):
        raise TypeError(
            f"make_update expects a loss function, but got {loss!r}; pass "
            "losses.softmax_cross_entropy, or a function of (outputs, labels)"
        )
    if isinstance(loss, OfHyper) and "loss" not in named:
        raise TypeError(
            "a loss of the hyperparameters differs from run to run, so make_update expects the one "
            'to report as well; pass metrics={"loss": metrics.mean(...)}'
        )
    reported = named["loss"] if isinstance(loss, OfHyper) else metric_functions.mean(loss)
    named = {"loss": reported} | named
    return Update(model, tx, loss, tuple(named.items()), penalty, augment, compute_dtype)


def build(part: Any, hyper: Hyper) -> Any:
    """The part itself, or what it makes of the hyperparameters where it is a function of them."""
    return from_hyper(part, hyper) if callable(part) else part


def _made(part: Any, hyper: Hyper) -> Any:
    if not isinstance(part, OfHyper):
        return part
    return reading_hyper("of_hyper's function", hyper, lambda: part.make(hyper))


def _losses(loss: Loss, outputs: Array, y: Array, weights: Array) -> Array:
    losses = per_example("make_update", loss, outputs, y, weights)
    if not jnp.issubdtype(losses.dtype, jnp.floating):
        raise ValueError(
            f"make_update expects a loss with a gradient, but got {losses.dtype} numbers, which "
            f"have none; train on a cross-entropy, and report this one by metrics.mean"
        )
    return losses


def _penalty(penalty: Penalty, params: Params, hyper: Hyper) -> Array:
    value = reading_hyper("the penalty", hyper, lambda: penalty(params, hyper))
    if jnp.shape(value) != ():
        raise ValueError(
            f"make_update expects penalty(params, hyper) to return one number, but got shape "
            f"{jnp.shape(value)}; sum over the params, as losses.l2 does"
        )
    return value


def _cast(tree: Any, dtype: Any) -> Any:
    """The tree with its floating-point leaves in `dtype`; as it is where that is None."""

    def leaf(x: Array) -> Array:
        return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x

    return tree if dtype is None else jax.tree.map(leaf, tree)
