"""The problem that a search solves: a train step, data and an objective."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.errors import LayerError, RunError
from jaxnets.sharding import ShardingPlan
from jaxnets.training.arguments import as_arrays, count
from jaxnets.training.check import check_strategy, check_train_step
from jaxnets.training.runners import Strategy
from jaxnets.training.search.space import Distribution, Setting, Space
from jaxnets.training.splits import as_splits, check_batch
from jaxnets.training.train_step import Batch, resolve

Values = tuple  # of the structural names, in their order


@dataclass(frozen=True, eq=False)
class Problem:
    """What all trials of a search have in common.

    Attributes:
      train_step: a train step, or a function of `hparams` that returns one; `hparams` are traced,
        so that new values do not recompile. With `structural` names it is a function of those, such
        as `build(depth, units)`, that returns one of these; each combination is compiled.
      train: inputs (n, ...) and labels (n, ...).
      validation: the split on which trials are scored.
      batch_size: examples per step and trial.
      objective: the name of the train step's metric to optimize; "loss" is always available.
      smaller_is_better: True for a loss, False for an accuracy.
      strategy: the strategy of the populations; by default measured once per structure.
      structural: the names of hyperparameters that decide shapes, and so cannot be traced.
      devices: as in `fit_population`, for the populations of the search.
      sharding: as in `fit_population`; "members" must divide the trials of each population.
    """

    train_step: Any
    train: tuple[Any, Any]
    validation: tuple[Any, Any]
    batch_size: int
    objective: str
    smaller_is_better: bool
    strategy: Strategy | None = None
    structural: tuple[str, ...] = ()
    devices: int = 1
    sharding: ShardingPlan | None = None
    _train_steps: dict[Values, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self):
        """Convert and check the splits and the batch size."""
        check_train_step("a search", self.train_step)
        train, validation = as_splits("a search", self.train, self.validation)
        batch_size = count("a search", "batch_size", self.batch_size)
        check_batch("a search", train, batch_size)
        if validation is None:
            raise RunError(
                "a search expects validation=(x, y) to score the trials, but got None; hold out a "
                "part with data.train_test_split"
            )
        check_strategy("a search", self.strategy)
        converted = {"train": train, "validation": validation, "batch_size": batch_size}
        for name, value in converted.items():
            object.__setattr__(self, name, value)

    def structure(self, setting: Setting) -> Values:
        """The setting's structural values; settings with equal ones share a program."""
        return tuple(setting[name] for name in self.structural)

    def traced(self, setting: Setting) -> Setting:
        """The setting's other values: the `hparams`."""
        return {name: value for name, value in setting.items() if name not in self.structural}

    def train_step_for(self, structure: Values) -> Any:
        """The train step of a structure; cached, so that it compiles once."""
        if not self.structural:
            return self.train_step
        if structure not in self._train_steps:
            arguments = dict(zip(self.structural, structure, strict=True))
            self._train_steps[structure] = self.train_step(**arguments)
        return self._train_steps[structure]


def check_problem(problem: Problem, space: Space, settings: Sequence[Setting]) -> None:
    """Refuse a space that is empty or does not fit the problem, before anything is compiled.

    Raises:
      RunError: the space is empty, has a name that nothing uses, lacks a structural name, or has a
        value that cannot be traced; or the objective is not a metric.
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
        hparams = as_arrays("a search", "hparams", problem.traced(settings[0]))
        metrics = resolve(train_step, hparams)[0].metrics
        if problem.objective not in metrics:
            raise RunError(
                f"a search expects its objective among the metrics {list(metrics)}, but got "
                f"{problem.objective!r}; pass it to make_train_step as metrics={{...}}"
            )
        if unused:  # one structure may use a name that another does not
            unused -= _used_names(train_step, problem, hparams)
    if unused:
        raise RunError(
            f"the space has {sorted(unused)}, but neither model, optimizer, loss nor augmentation "
            "depends on them; read them there as hparams[name], or remove them from the space"
        )


def _check_traceable(name: str, distribution: Distribution) -> None:
    values = distribution.arguments
    if not all(isinstance(value, int | float) for value in values):
        raise RunError(
            f"a search expects traced hyperparameters to be numbers, but {name!r} is one of "
            f"{values}; make it structural: Problem(build, ..., structural=({name!r},))"
        )


def _used_names(train_step: Any, problem: Problem, hparams: dict[str, Any]) -> frozenset[str]:
    """The names of hyperparameters on which the results of training or evaluation depend."""
    from jaxnets.jaxpr.walk import Walk

    def train_and_predict(key: Any, x: Any, y: Any, hparams: Any) -> Any:
        step, hparams = resolve(train_step, hparams)
        before = step.init(key, x)
        after, sums = step(before, Batch(x, y, jnp.ones(len(x))), hparams)
        return after._replace(key=0), sums, step.predict_batch(before, x)

    example = [jnp.asarray(np.asarray(part[:1])) for part in problem.train[:2]]
    try:
        program = jax.make_jaxpr(train_and_predict)(jax.random.key(0), *example, hparams)
    except (jax.errors.JAXTypeError, LayerError) as error:
        error.add_note(
            f"the hyperparameters {sorted(hparams)} are traced; one that decides a shape must be "
            "structural: Problem(build, ..., structural=(name, ...))"
        )
        raise
    nothing = frozenset()
    inputs = [nothing] * 3 + [frozenset({name}) for name in sorted(hparams)]

    def visit(operation: Any, operands: list[frozenset[str]]) -> list[frozenset[str]]:
        return [nothing.union(*operands)] * len(operation.eqn.outvars)

    return nothing.union(*Walk(visit, lambda value, aval: nothing)(program, inputs))
