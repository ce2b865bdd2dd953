"""What a search trains, and by what it judges."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import LayerError, RunError
from jaxnets.training.arguments import count, numbers
from jaxnets.training.check import check_batch, check_strategy, check_train_step, splits
from jaxnets.training.runners import Strategy
from jaxnets.training.search.space import Distribution, Setting, Space
from jaxnets.training.train_step import Batch, resolve

Values = tuple  # of the structural names, in their order


@dataclass(frozen=True, eq=False)
class Problem:
    """What every trial of a search has in common.

    Attributes:
      train_step: one step, a function of `hparams` that makes it: traced, so that no value of
        them recompiles. Where `structural` has names, it is a function of those that makes the
        train step, `build(depth, units)`, and every setting of them is compiled for itself.
      train: inputs (n, ...) and labels (n, ...).
      validation: a split apart, the only one that decides.
      batch_size: examples a step and trial.
      objective: the name of the metric to judge by, of the train step's; "loss" is always one.
      smaller_is_better: True for a loss, False for an accuracy.
      strategy: how a population runs; by default measured once for each structural setting.
      structural: the names that decide shapes.
    """

    train_step: Any
    train: tuple[Any, Any]
    validation: tuple[Any, Any]
    batch_size: int
    objective: str
    smaller_is_better: bool
    strategy: Strategy | None = None
    structural: tuple[str, ...] = ()
    _built: dict[Values, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self):
        """Convert the splits and the batch size, or refuse them."""
        check_train_step("a search", self.train_step)
        train, validation = splits("a search", self.train, self.validation)
        batch_size = count("a search", "batch_size", self.batch_size)
        check_batch("a search", train, batch_size)
        if validation is None:
            raise RunError("a search expects validation=(x, y), which decides, but got None")
        check_strategy("a search", self.strategy)
        checked = {"train": train, "validation": validation, "batch_size": batch_size}
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def structure(self, setting: Setting) -> Values:
        """The setting's structural values, which those have in common that share a program."""
        return tuple(setting[name] for name in self.structural)

    def traced(self, setting: Setting) -> Setting:
        """The rest of the setting: what `hparams` holds."""
        return {name: value for name, value in setting.items() if name not in self.structural}

    def train_step_for(self, structure: Values) -> Any:
        """The train step of that structure: the same object each time, so that it compiles once."""
        if not self.structural:
            return self.train_step
        if structure not in self._built:
            named = dict(zip(self.structural, structure, strict=True))
            self._built[structure] = self.train_step(**named)
        return self._built[structure]


def check_problem(problem: Problem, space: Space, settings: Sequence[Setting]) -> None:
    """Refuse a space that is empty or does not fit the problem, before anything is compiled.

    Raises:
      RunError: there is nothing to try, a name that nothing uses or a structural one that is
        missing, a value that cannot be traced, or an objective that is no metric.
    """
    if not space:
        raise RunError(
            "a search expects a space with at least one name, but got an empty one; write "
            '{"learning_rate": log_uniform(1e-5, 1)}, or train with fit'
        )
    if missing := [name for name in problem.structural if name not in space]:
        raise RunError(
            f"the train step is built from {list(problem.structural)}, but the space lacks "
            f"{missing}; add them to the space, or a choice of one option each"
        )
    for name in problem.traced(dict(space)):
        _check_traceable(name, space[name])
    structures = dict.fromkeys(map(problem.structure, settings))
    unused = set(problem.traced(settings[0]))
    for structure in structures:
        train_step = problem.train_step_for(structure)
        hparams = numbers("a search", "hparams", problem.traced(settings[0]))
        metrics = resolve(train_step, hparams)[0].metrics
        if problem.objective not in metrics:
            raise RunError(
                f"a search expects its objective among the metrics {list(metrics)}, but got "
                f"{problem.objective!r}; pass it to make_train_step as metrics={{...}}"
            )
        if unused:  # what one structure leaves alone another may use
            unused -= _used(train_step, problem, hparams)
    if unused:
        raise RunError(
            f"the space has {sorted(unused)}, but neither model, optimizer, loss nor augmentation "
            "depends on them; read them there as hparams[name], or take them out of the space"
        )


def _check_traceable(name: str, distribution: Distribution) -> None:
    values = distribution.arguments
    if not all(isinstance(value, int | float) for value in values):
        raise RunError(
            f"a hyperparameter that is traced is a number, but {name!r} is one of {values}; make "
            f"it structural: Problem(build, ..., structural=({name!r},))"
        )


def _used(train_step: Any, problem: Problem, hparams: dict[str, Any]) -> frozenset[str]:
    """The names on which anything depends that training or evaluating computes."""
    from jaxnets.jaxpr.walk import Walk

    def everything(key: Any, x: Any, y: Any, hparams: Any) -> Any:
        step, hparams = resolve(train_step, hparams)
        start = step.init(key, x)
        end, sums = step(start, Batch(x, y, jnp.ones(len(x))), hparams)
        return end._replace(key=0), sums, step.predict_batch(start, x)

    example = [jnp.asarray(np.asarray(part[:1])) for part in problem.train[:2]]
    try:
        program = jax.make_jaxpr(everything)(jax.random.key(0), *example, hparams)
    except (jax.errors.JAXTypeError, LayerError) as error:
        error.add_note(
            f"{sorted(hparams)} are traced; one that decides a shape must be structural: "
            "Problem(build, ..., structural=(name, ...))"
        )
        raise
    nothing = frozenset()
    inputs = [nothing] * 3 + [frozenset({name}) for name in sorted(hparams)]

    def visit(operation: Any, operands: list[frozenset[str]]) -> list[frozenset[str]]:
        return [nothing.union(*operands)] * len(operation.eqn.outvars)

    return nothing.union(*Walk(visit, lambda value, aval: nothing)(program, inputs))
