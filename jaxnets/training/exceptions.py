"""Exceptions that end a run early; each holds what was trained so far."""

from typing import Any

from jaxnets.errors import CheckpointError


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM interrupted a run.

    Attributes:
      fit: the result so far: a `FitResult`, a `PopulationResult` or the `Results` of a search.
      signal: the signal's number.
    """

    def __init__(self, fit: Any, signal: int):
        super().__init__(f"training was interrupted by signal {signal}")
        self.fit = fit
        self.signal = signal


class NonFiniteLoss(ArithmeticError):
    """The objective or the train state became NaN or infinite.

    Attributes:
      run: the `Run` at the last finite step.
      train_state: its train state, which is finite.
      step: its step, which produced the first non-finite objective or train state.
      culprit: the operation that produced the first non-finite number in that step, an
        `inspect.Culprit`, or None if the step stays finite when its operations run one by one.
    """

    def __init__(self, run: Any, culprit: Any, data: str | None = None):
        operation = "" if culprit is None else f", first in {culprit}"
        cure = (
            "lower the learning rate, clip the gradient (optax.clip_by_global_norm), or keep the "
            "arguments of logarithms, roots and divisions away from 0"
        )
        if data is not None:
            cure = f"{data}: drop those rows or fill them in"
        super().__init__(f"the loss stopped being finite at step {run.step}{operation}; {cure}")
        self.run, self.culprit = run, culprit
        self.step, self.train_state = run.step, run.train_state


class PeerLost(RuntimeError):
    """Another process of this run ended, or cannot be reached.

    JAX cannot replace a process: exit (`os._exit`, since the usual exit waits for all processes),
    start all of them again and pass `resume=True`. The number of processes and devices may change.

    Attributes:
      step: the last step that this process knows to be complete.
    """

    def __init__(self, step: int, cause: BaseException):
        reason = str(cause).splitlines()[0][:200]
        super().__init__(
            f"another process of this run ended or cannot be reached after step {step} ({reason}); "
            "start all processes again and pass resume=True"
        )
        self.step = step


class SavingFailed(CheckpointError):
    """A checkpoint could not be written, and the run stopped; `fit` is the result so far."""

    def __init__(self, fit: Any, error: CheckpointError):
        super().__init__(str(error))
        self.fit = fit
