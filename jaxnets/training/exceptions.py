"""How a run can end before its last step, each with what it had learnt by then."""

from typing import Any

from jaxnets.errors import CheckpointError


class Interrupted(KeyboardInterrupt):
    """Ctrl-C or SIGTERM came during a run; `fit` is what it had learnt by then.

    `fit` is what the interrupted function would have returned: a `FitResult` or a
    `PopulationResult`.
    """

    def __init__(self, fit: Any, signal: int):
        super().__init__(f"training was interrupted by signal {signal}")
        self.fit = fit
        self.signal = signal


class NonFiniteLoss(ArithmeticError):
    """The objective, or the result of a step, became NaN or infinite.

    Attributes:
      run: the `Run` at the last good step.
      train_state: its train state, which is all finite.
      step: its step, whose objective or result was not finite.
      culprit: what made the first non-finite number in that step, an `inspect.Culprit`, or None
        where the computation done anew, one operation after another, stays finite.
    """

    def __init__(self, run: Any, culprit: Any, data: str | None = None):
        first = "" if culprit is None else f", first in {culprit}"
        cure = (
            "lower the learning rate, clip the gradient (optax.clip_by_global_norm), or keep a "
            "logarithm, a root or a division off its edge"
        )
        if data is not None:
            cure = f"{data}: drop those rows or fill them in"
        super().__init__(f"the loss stopped being finite at step {run.step}{first}; {cure}")
        self.run, self.culprit = run, culprit
        self.step, self.train_state = run.step, run.train_state


class SavingFailed(CheckpointError):
    """A checkpoint could not be written, and the run stopped; `fit` is what it had learnt."""

    def __init__(self, fit: Any, error: CheckpointError):
        super().__init__(str(error))
        self.fit = fit
