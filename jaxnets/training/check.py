"""What can be known to be wrong with a run before anything is compiled."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxnets.arrays import as_split
from jaxnets.devices import mesh_of
from jaxnets.layer import Layer
from jaxnets.training.arguments import RunError, count
from jaxnets.training.checkpoint import Checkpoints, ShardedCheckpoints
from jaxnets.training.chunk import Remainder
from jaxnets.training.update import TrainState, Update

Split = tuple[Any, Any]


class Sizes(NamedTuple):
    """A run's counts, in Python's integers."""

    epochs: int
    batch_size: int
    patience: int | None


def check_update(where: str, update: Any, start: Any = None) -> None:
    """Refuse what is no `Update`, and a start that is no `TrainState`."""
    if not isinstance(update, Update):
        cure = "make one: make_update(model, optax.adam(1e-3), losses.softmax_cross_entropy)"
        raise RunError(f"{where} expects an Update, but got {type(update).__name__}; {cure}")
    if start is not None and not isinstance(start, TrainState):
        raise RunError(
            f"{where} expects to start from a TrainState, but got {type(start).__name__}; pass "
            "what update.init returned, or the train_state of another run"
        )


def check_model(where: str, model: Any, params: Any, *, of_hyper: bool = False) -> None:
    """Refuse what is no `Layer` (or, with `of_hyper`, a function that makes one) or no params."""
    cure = None
    if isinstance(model, Update):
        cure = "pass update.model"
    elif not isinstance(model, Layer):
        cure = "call it with the hyperparameters first" if callable(model) else "pass the model"
    if cure and not (of_hyper and callable(model) and not isinstance(model, Update)):
        raise RunError(f"{where} expects a Layer, but got {type(model).__name__}; {cure}")
    if isinstance(params, TrainState) or hasattr(params, "train_state"):
        raise RunError(
            f"{where} expects params and state, but got {type(params).__name__}; pass "
            "train_state.params and train_state.state"
        )


def splits(where: str, train: Any, validation: Any) -> tuple[Split, Split | None]:
    """Both splits as pairs of arrays of numbers, whose inputs are of one kind."""
    train = as_split(where, "train", train, RunError)
    if validation is None:
        return train, None
    validation = as_split(where, "validation", validation, RunError)
    kinds = [_kind(split[0].dtype) for split in (train, validation)]
    if kinds[0] != kinds[1]:
        raise RunError(
            f"{where} expects validation inputs of the kind of the train inputs, but got "
            f"{validation[0].dtype} for {train[0].dtype}; prepare both in one way"
        )
    return train, validation


def check_run(
    where: str,
    train: Split,
    validation: Split | None,
    epochs: Any,
    batch_size: Any,
    patience: Any,
    remainder: Remainder,
) -> Sizes:
    """The sizes of a run, refused where they are no counts or do not fit the data."""
    sizes = Sizes(
        count(where, "epochs", epochs),
        count(where, "batch_size", batch_size),
        None if patience is None else count(where, "patience", patience),
    )
    if remainder not in ("drop", "pad"):
        raise RunError(f'{where} expects remainder "drop" or "pad", but got {remainder!r}')
    if patience is not None and validation is None:
        raise RunError("patience watches the validation loss; pass validation=(x, y) as well")
    check_batch(where, train, sizes.batch_size)
    return sizes


def check_batch(where: str, train: Split, batch_size: int) -> None:
    """Refuse a batch that is larger than the data."""
    if batch_size > len(train[0]):
        raise RunError(
            f"{where} expects a batch no larger than the data, but got batch_size={batch_size} "
            f"for {len(train[0])} examples; use at most {len(train[0])}"
        )


def check_saving(where: str, on_nonfinite: str, checkpoints: Any, resume: bool) -> None:
    """Refuse a folder in which another run is saved, unless this one goes on from there."""
    if on_nonfinite not in ("stop", "skip", "ignore"):
        raise RunError(
            f'{where} expects on_nonfinite "stop", "skip" or "ignore", but got {on_nonfinite!r}'
        )
    if resume and checkpoints is None:
        raise RunError("resume=True expects checkpoints to go on from; pass checkpoints as well")
    if checkpoints is None:
        return
    if not isinstance(checkpoints, Checkpoints | ShardedCheckpoints):
        raise RunError(
            f"{where} expects checkpoints=Checkpoints(folder), but got {checkpoints!r}; "
            f"wrap the folder in Checkpoints"
        )
    if not resume and checkpoints.latest() is not None:
        raise RunError(
            f"{checkpoints.folder} holds a run at step {checkpoints.latest()} already; pass "
            "resume=True to go on from there, or use another folder"
        )


def check_reporting(where: str, report: Any, monitors: Any, chunk_seconds: Any) -> None:
    """Refuse a reporter or a monitor that is no function, and a time that is no number."""
    listed = isinstance(monitors, list | tuple)
    if not callable(report) or not listed or not all(map(callable, monitors)):
        got = type(monitors if callable(report) else report).__name__
        raise RunError(
            f"{where} expects report as a function and monitors as a list of functions, but got a "
            f"{got}; write report=print, monitors=[monitors.loss_spikes()]"
        )
    number = isinstance(chunk_seconds, int | float | np.number)
    if not number or not 0 <= chunk_seconds < np.inf:
        raise RunError(
            f"{where} expects chunk_seconds to be a finite number of at least 0, but got "
            f"{chunk_seconds!r}; 1.0 is usual"
        )


def check_strategy(where: str, strategy: Any) -> None:
    """Refuse a way to run a population that there is not."""
    if strategy not in ("vmap", "map", None):
        raise RunError(f'{where} expects strategy "vmap", "map" or None, but got {strategy!r}')


def check_devices(devices: Any, batch_size: int) -> Mesh | None:
    """The mesh of so many devices, which have equal shares of a batch."""
    devices = count("fit", "devices", devices)
    try:
        mesh = mesh_of(devices)
    except ValueError as error:
        raise RunError(f"fit: {error}") from None
    if batch_size % devices:
        raise RunError(
            f"fit expects a batch that {devices} devices divide evenly, but got "
            f"batch_size={batch_size}; use {max(batch_size // devices, 1) * devices}"
        )
    return mesh


@contextmanager
def explained(where: str, forward: Callable[[Any], Any], x: Any) -> Iterator[None]:
    """In this context, an input that `forward` refuses is reported in its own shape, with a cure.

    Without it the message would name the shape of a padded block.
    """
    try:
        yield
    except (TypeError, ValueError):
        block = _refusal(forward, (len(x) + 1, *x.shape[1:]), x.dtype)
        if block is None:
            raise
        one, single = (1, *x.shape), (*x.shape, 1)
        shapes = {"x[None]": one, "x[..., None]": single, "x[None, ..., None]": (*one, 1)}
        for cure, shape in shapes.items():
            if _refusal(forward, shape, x.dtype) is None:
                raise RunError(
                    f"{where} expects a batch of examples, but the model refuses inputs "
                    f"{x.shape}; pass {cure}, which it accepts"
                ) from None
        raise _refusal(forward, x.shape, x.dtype) or block from None


def _refusal(forward: Callable[[Any], Any], shape: tuple, dtype: Any) -> Exception | None:
    """What `forward` raises for an input of this shape."""
    try:
        jax.eval_shape(forward, jax.ShapeDtypeStruct(shape, jax.dtypes.canonicalize_dtype(dtype)))
    except (TypeError, ValueError) as error:
        error.__dict__.pop("__notes__", None)  # JAX's, on how it filters tracebacks
        return error
    return None


def _kind(dtype: Any) -> str:
    kinds = {"bool": np.bool_, "integer": jnp.integer, "floating": jnp.floating}
    return next((name for name, kind in kinds.items() if jnp.issubdtype(dtype, kind)), "complex")
