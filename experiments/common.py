"""What every experiment shares: its options, its optimizers, and the folder it writes to."""

import os
import signal
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, NoReturn

import jax
import optax
import tyro

from experiments.folder import begin, cut, save_learnt, write_figure, write_json
from jaxnets import LayerError, metrics
from jaxnets.data import DataError, Dataset
from jaxnets.errors import JSONError
from jaxnets.files import user_cache
from jaxnets.inspect import plots
from jaxnets.messages import printable
from jaxnets.training import (
    CheckpointError,
    Checkpoints,
    FitResult,
    Interrupted,
    NonFiniteLoss,
    Progress,
    RunError,
    SavingFailed,
    combine,
    console,
    evaluate,
    fit,
    json_lines,
)
from jaxnets.training.monitors import loss_spikes
from jaxnets.training.population import PopulationResult, fit_population
from jaxnets.training.train_step import Hparams, resolve

# Each with the peak learning rate that suits it where none is given.
OPTIMIZERS: dict[str, tuple[Callable[..., optax.GradientTransformation], float]] = {
    "sgd": (optax.sgd, 0.3),
    "momentum": (lambda rate: optax.sgd(rate, momentum=0.9), 0.05),
    "nesterov": (lambda rate: optax.sgd(rate, momentum=0.9, nesterov=True), 0.05),
    "adagrad": (optax.adagrad, 0.02),
    "adadelta": (optax.adadelta, 1.0),
    "rmsprop": (optax.rmsprop, 0.001),
    "adam": (optax.adam, 0.002),
    "adamw": (lambda rate: optax.adamw(rate, weight_decay=1e-2), 0.002),
}


@dataclass(frozen=True)
class Config:
    """The options that every experiment has."""

    save_seconds: ClassVar[float] = 5.0
    """Of training, within which a run is saved."""
    chunk_seconds: ClassVar[float] = 1.0
    """How long the device works between two reports."""

    epochs: int = 10
    """Passes over the training data."""
    batch_size: int = 128
    """Examples a step."""
    optimizer: Literal[tuple(OPTIMIZERS)] = "adamw"  # type: ignore[valid-type]
    """How a gradient becomes a step."""
    learning_rate: float | None = None
    """The peak of a one-cycle cosine schedule; by default what suits the optimizer."""
    validation: int = 5000
    """Training examples held out to watch; never trained on."""
    seed: int = 0
    """Decides the weights, the order, the held-out examples and all chance."""
    data_dir: Path | None = None
    """A folder with the data set's IDX files, instead of those found by themselves."""
    out: Path | None = None
    """The folder to write to; by default runs/NAME-TIME."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Go on with the run in --out, bit for bit; only --epochs may differ."""

    @property
    def hparams(self) -> dict[str, float]:
        """What `make_optimizer` reads; a new value needs no compiling anew."""
        given = self.learning_rate
        return {"learning_rate": OPTIMIZERS[self.optimizer][1] if given is None else given}

    def make_optimizer(self, hparams: Hparams, examples: int) -> optax.GradientTransformation:
        """The optimizer, its rate on one cosine cycle over the run."""
        steps = max(1, self.epochs * (examples // max(1, self.batch_size)))  # `fit` checks both
        cycle = optax.cosine_onecycle_schedule(steps, peak_value=1.0)
        constructor, _ = OPTIMIZERS[self.optimizer]
        return constructor(lambda count: hparams["learning_rate"] * cycle(count))


class Run:
    """The folder of one run, and everything that goes into it."""

    def __init__(self, name: str, config: Config, dataset: Dataset):
        self.name, self.config, self.dataset = name, config, dataset
        self.interrupted: Interrupted | None = None
        rate = config.hparams["learning_rate"]
        self.folder, self.resumes = begin(name, config, dataset, learning_rate=rate)
        self.began = time.perf_counter()

    def fit(self, *args: Any, **options: Any) -> FitResult:
        """`training.fit`, saved and reporting here; after Ctrl-C, what was learnt by then."""
        return self._train(fit, *args, callbacks=[loss_spikes()], **options)

    def fit_population(self, *args: Any, **options: Any) -> PopulationResult:
        """The same of a population, by `fit_population`."""
        return self._train(fit_population, *args, **options)

    def _train(self, fit: Callable, *args: Any, **options: Any) -> Any:
        saved, log = self.saved("training"), self.folder / "metrics.jsonl"
        cut(log, saved["checkpoints"].latest_valid() or 0)
        options |= {"chunk_seconds": self.config.chunk_seconds, **saved}
        with console() as shown, json_lines(log) as written:
            try:
                return fit(*args, report=combine(shown, written), **options)
            except Interrupted as interrupted:
                self.interrupted = interrupted
                return interrupted.fit

    def saved(self, name: str) -> dict[str, Any]:
        """What makes `training.fit` save in this folder under a name, and go on from there."""
        folder = self.folder / "checkpoints" / name
        checkpoints = Checkpoints(folder, every=self.config.save_seconds)
        return {"checkpoints": checkpoints, "resume": self.resumes}

    def finish(self, train_step: Any, fitted: FitResult, *, hparams: Hparams = None) -> None:
        """Evaluate on the test split, once; write the parameters, the result and the plots.

        Raises `Interrupted`, when all is written, where `fit` was interrupted.
        """
        train_state, classes = fitted.train_state, self.dataset.classes
        save_learnt(self.folder, train_state)
        wanted = resolve(train_step, hparams)[0].metrics
        wanted |= {"confusion": metrics.confusion_matrix(len(classes))}
        how = {"hparams": hparams, "metrics": wanted}
        test = evaluate(train_step, train_state, self.dataset.test, **how)
        steps = int(train_state.step)
        result = {
            "test_accuracy": test["accuracy"],
            "test_loss": test["loss"],
            "steps": steps,
            "compile_seconds": fitted.compile_seconds,
            "train_seconds": fitted.train_seconds,
            "samples_per_second": fitted.samples_per_second,
            "total_seconds": time.perf_counter() - self.began,
            "interrupted": self.interrupted is not None,
        }
        write_json(self.folder / "result.json", result)
        title = f"{self.name} on {self.dataset.name}: test accuracy {test['accuracy']:.2%}"
        if self.interrupted is not None:
            title += cut_short(fitted.history)
        if fitted.history:
            write_figure(self.folder / "curves.png", plots.curves(fitted.history, title))
        figure = plots.confusion(test["confusion"], classes, title)
        write_figure(self.folder / "confusion.png", figure)
        print(
            f"test accuracy {test['accuracy']:.2%}, loss {test['loss']:.4f}, after {steps} steps "
            f"in {fitted.train_seconds:.1f} s of training "
            f"({fitted.samples_per_second:,.0f} samples/s) and {fitted.compile_seconds:.1f} s of "
            f"compiling\ncurves and confusion matrix in {self.folder}",
            flush=True,
        )
        if self.interrupted is not None:
            raise self.interrupted


def cut_short(history: Sequence[Progress]) -> str:
    """What the title of a picture says of a run that was interrupted."""
    after = f" after {history[-1].step:,} of {history[-1].steps:,} updates" if history else ""
    return f"\ninterrupted{after}"


def main(
    experiment: Callable[[Any], Any], config_type: type, *, keep_compiled: bool = True
) -> None:
    """Run `experiment` with options from the command line, and exit.

    The status is 0; or 2 for a mistake of the user's or a failure of the system, such as a full
    disk, reported in one message without a traceback; or 130 after Ctrl-C and 75 after SIGTERM,
    with what was learnt so far saved.

    Args:
      experiment: called with the options.
      config_type: their dataclass.
      keep_compiled: keep compiled programs on disk, so that a second run starts sooner; what times
        compiling does not.
    """
    config = tyro.cli(config_type, description=sys.modules["__main__"].__doc__)
    warnings.showwarning = lambda message, *_: print(f"warning: {message}", file=sys.stderr)
    try:
        if keep_compiled:
            _cache_compilations()
        experiment(config)
    except NonFiniteLoss as error:
        _fail(f"{error}\nThe state before that step is saved; with --resume it is run again.")
    except SavingFailed as error:
        _fail(f"{error}\n{_saved_elsewhere(error.fit)}")
    except (DataError, JSONError, LayerError, RunError, CheckpointError) as error:
        _fail(str(error))
    except OSError as error:
        where = "" if error.filename is None else f"{printable(error.filename)}: "
        _fail(str(error) if error.strerror is None else where + error.strerror)
    except Interrupted as interrupted:
        status = 130 if interrupted.signal == signal.SIGINT else 75
        _interrupted("what was learnt so far is saved, --resume goes on", status)
    except KeyboardInterrupt:
        _interrupted("nothing more is saved", 130)


def _fail(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def _interrupted(message: str, status: int) -> NoReturn:
    """Exit; another Ctrl-C does not wait for what the interpreter still does at its end."""
    signal.signal(signal.SIGINT, lambda *_: os._exit(status))
    print(f"interrupted; {message}", file=sys.stderr, flush=True)
    sys.exit(status)


def _saved_elsewhere(fitted: Any) -> str:
    """Save the train state where there may be room, and say where, or that it is lost."""
    state = fitted.train_state if isinstance(fitted, FitResult) else fitted.train_states
    try:
        folder = Path(tempfile.mkdtemp(prefix="jaxnets-"))
        with Checkpoints(folder) as checkpoints:
            step = fitted.history[-1].step if fitted.history else 0
            checkpoints.save(step, state, {"saved": "since its own folder failed"})
    except (CheckpointError, OSError):
        return "It could not be saved elsewhere either: what came after the last save is lost."
    return f"What was learnt by then is in {folder}; the last checkpoint before it can be resumed."


def _cache_compilations() -> None:
    """Keep compiled programs on disk, small ones too, so that a second run starts sooner."""
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        jax.config.update("jax_compilation_cache_dir", str(user_cache() / "xla"))
    except OSError as error:
        warnings.warn(f"compiled programs are not kept: {error}", stacklevel=1)
