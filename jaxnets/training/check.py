"""What can be known to be wrong with a run before anything is compiled."""

import weakref
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from jaxnets.arrays import Examples, as_examples
from jaxnets.data.stream import Stream
from jaxnets.errors import RunError
from jaxnets.layer import Layer
from jaxnets.sharding import mesh_of
from jaxnets.training.arguments import count
from jaxnets.training.checkpoint import Checkpoints
from jaxnets.training.source import Remainder


class Sizes(NamedTuple):
    """A run's counts, in Python's integers."""

    epochs: int | None
    steps: int | None
    batch_size: int
    patience: int | None

    def total(self, steps_per_epoch: int) -> int:
        """The steps of the whole run."""
        return self.steps if self.epochs is None else self.epochs * steps_per_epoch  # type: ignore


def check_train_step(where: str, train_step: Any) -> None:
    """Refuse what is no train step, nor a function that makes one."""
    cure = "make one: make_train_step(model, optax.adam(1e-3), losses.softmax_cross_entropy)"
    if isinstance(train_step, Layer) or not callable(train_step):
        got = type(train_step).__name__
        raise RunError(f"{where} expects a train step, but got a {got}; {cure}")
    try:
        weakref.ref(train_step)
        hash(train_step)
    except TypeError:
        raise RunError(
            f"{where} expects a train step that can be hashed and weakly referenced, since its "
            f"programs live as long as it does, but got a {type(train_step).__name__}; make it a "
            "frozen dataclass or a plain class"
        ) from None


def check_train_state(where: str, train_state: Any) -> None:
    """Refuse a result in place of its train state."""
    if hasattr(train_state, "train_state") or hasattr(train_state, "train_states"):
        raise RunError(
            f"{where} expects a train state, but got a {type(train_state).__name__}; pass its "
            "train_state"
        )


def check_start(where: str, start: Any, shapes: Any) -> None:
    """Refuse a train state to start from that is not like the one that `init` makes."""
    if start is None:
        return
    ours, theirs = (
        {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree.leaves_with_path(tree)}
        for tree in (shapes, start)
    )
    wrong = [f"no {name}" for name in ours.keys() - theirs.keys()]
    wrong += [f"{name}, which is not known" for name in theirs.keys() - ours.keys()]
    for name in ours.keys() & theirs.keys():
        expected, got = ours[name], theirs[name]
        if getattr(got, "shape", None) != expected.shape or got.dtype != expected.dtype:
            wrong.append(f"{name} of {getattr(got, 'shape', got)}, not {expected.shape}")
    if wrong or jax.tree.structure(start) != jax.tree.structure(shapes):
        raise RunError(
            f"{where} expects to start from a train state like that of train_step.init, but got a "
            f"{type(start).__name__} with {', '.join(sorted(wrong)[:5]) or 'another structure'}; "
            "pass what init returned, or the train_state of another run"
        )


def check_watched(validation: Any, patience: Any, axes: int) -> None:
    """Refuse to watch a validation loss that is missing, or has other axes than the members'."""
    if patience is None:
        return
    loss = (validation or {}).get("loss")
    if loss is None or np.ndim(loss) != axes:
        got = "none" if loss is None else f"an array of shape {np.shape(loss)}"
        raise RunError(
            f'patience expects the metric "loss" to be one number, but got {got}; name that metric '
            "otherwise"
        )


def splits(where: str, data: Any, validation: Any) -> tuple[Any, Any]:
    """Both splits, each a `Stream` or `Examples` of numbers, whose inputs are of one kind."""
    data, validation = (
        split
        if split is None or isinstance(split, Stream)
        else as_examples(where, name, split, RunError)
        for name, split in (("data", data), ("validation", validation))
    )
    if data is None:
        raise RunError(f"{where} expects data=(x, y), but got None; pass inputs and labels")
    if isinstance(data, Examples) and isinstance(validation, Examples):
        leaves = [jax.tree.leaves(split.x) for split in (data, validation)]
        for ours, theirs in zip(*leaves, strict=False):
            if _kind(ours.dtype) != _kind(theirs.dtype):
                raise RunError(
                    f"{where} expects validation inputs of the kind of the training inputs, but "
                    f"got {theirs.dtype} for {ours.dtype}; prepare both in one way"
                )
    return data, validation


def count_examples(data: Any) -> int:
    """The number of examples of a `Stream` or of `Examples`."""
    return len(data) if isinstance(data, Stream) else len(jax.tree.leaves(data.x)[0])


def check_run(
    where: str,
    data: Any,
    validation: Any,
    *,
    epochs: Any,
    steps: Any,
    batch_size: Any,
    patience: Any,
    remainder: Remainder,
    evaluate_every: Any,
) -> Sizes:
    """The sizes of a run, refused where they are no counts or do not fit the data."""
    if (epochs is None) == (steps is None):
        raise RunError(f"{where} expects epochs or steps, but got {epochs=} and {steps=}; pass one")
    sizes = Sizes(
        None if epochs is None else count(where, "epochs", epochs),
        None if steps is None else count(where, "steps", steps),
        count(where, "batch_size", batch_size),
        None if patience is None else count(where, "patience", patience),
    )
    if patience is not None and validation is None:
        raise RunError("patience watches the validation loss; pass validation=(x, y) as well")
    check_loop(where, data, sizes.batch_size, remainder, evaluate_every)
    return sizes


def check_loop(where: str, data: Any, batch_size: Any, remainder: Any, evaluate_every: Any) -> None:
    """Refuse a batch, a remainder or a period that there cannot be."""
    check_batch(where, data, count(where, "batch_size", batch_size))
    if remainder not in ("drop", "pad"):
        raise RunError(f'{where} expects remainder "drop" or "pad", but got {remainder!r}')
    pair = isinstance(evaluate_every, tuple | list) and len(evaluate_every) == 2
    if not pair or evaluate_every[1] not in ("steps", "epochs"):
        raise RunError(
            f"{where} expects evaluate_every as a count and its unit, but got {evaluate_every!r}; "
            'write (1, "epochs") or (500, "steps")'
        )
    count(where, "evaluate_every", evaluate_every[0])


def check_batch(where: str, data: Any, batch_size: int) -> None:
    """Refuse a batch that is larger than the data."""
    if batch_size > (n := count_examples(data)):
        raise RunError(
            f"{where} expects a batch no larger than the data, but got batch_size={batch_size} "
            f"for {n} examples; use at most {n}"
        )


def check_on_nonfinite(where: str, on_nonfinite: Any) -> None:
    """Refuse an end of what is not finite that there is not."""
    if on_nonfinite not in ("stop", "skip", "ignore"):
        raise RunError(
            f'{where} expects on_nonfinite "stop", "skip" or "ignore", but got {on_nonfinite!r}'
        )


def check_saving(where: str, on_nonfinite: str, checkpoints: Any, resume: bool) -> None:
    """Refuse a folder in which another run is saved, unless this one goes on from there."""
    check_on_nonfinite(where, on_nonfinite)
    if resume and checkpoints is None:
        raise RunError("resume=True expects checkpoints to go on from; pass checkpoints as well")
    if checkpoints is None:
        return
    if not isinstance(checkpoints, Checkpoints):
        raise RunError(
            f"{where} expects checkpoints=Checkpoints(folder), but got {checkpoints!r}; "
            f"wrap the folder in Checkpoints"
        )
    if not resume and checkpoints.latest() is not None:
        raise RunError(
            f"{checkpoints.folder} holds a run at step {checkpoints.latest()} already; pass "
            "resume=True to go on from there, or use another folder"
        )


def check_reporting(where: str, report: Any, callbacks: Any, chunk_seconds: Any) -> None:
    """Refuse a reporter or a callback that is no function, and a time that is no number."""
    listed = isinstance(callbacks, list | tuple)
    if not callable(report) or not listed or not all(map(callable, callbacks)):
        got = type(callbacks if callable(report) else report).__name__
        raise RunError(
            f"{where} expects report as a function and callbacks as a list of functions, but got a "
            f"{got}; write report=print, callbacks=[monitors.loss_spikes()]"
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


def _kind(dtype: Any) -> str:
    kinds = {"bool": np.bool_, "integer": jnp.integer, "floating": jnp.floating}
    return next((name for name, kind in kinds.items() if jnp.issubdtype(dtype, kind)), "complex")
