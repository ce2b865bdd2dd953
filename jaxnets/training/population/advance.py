"""One chunk of a population: members that diverge are put back, and harm no other."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxnets.layer import Array
from jaxnets.training.course import Course, copy
from jaxnets.training.nonfinite import all_finite, first_bad_step, last_good
from jaxnets.training.pace import Pace
from jaxnets.training.population.programs import Programs
from jaxnets.training.update import TrainState


def advance(programs: Programs, course: Course, stop: int, pace: Pace, *, fresh: bool) -> None:
    """Move all members to step `stop`, but those that diverge: they stay at their last good state.

    Args:
      programs: what runs.
      course: where the population stands.
      stop: the step to stop before.
      pace: times the chunk.
      fresh: whether an epoch begins, and its sums with it.
    """
    assert course.strategy is not None and course.diverged is not None
    start, before = course.step, copy(course.train_state)
    sums = jax.tree.map(jnp.zeros_like, course.sums) if fresh else course.sums
    with pace.timed(stop - start):
        ran = programs.run(course.strategy, course.train_state, sums, start, stop)
        states, course.sums, objectives = ran
        objectives = np.asarray(jax.block_until_ready(objectives))
    finite = np.asarray(_members_finite(states.params))
    for i in np.flatnonzero(np.array(course.diverged) < 0).tolist():
        bad = first_bad_step(objectives[i], start, stop, finite[i])
        if bad is not None:
            good = _rerun(programs, before, i, start, bad)
            course.diverged[i] = int(good.step[0])
            before = _chosen(np.arange(len(finite)) == i, good, before)
    if max(course.diverged) >= 0:
        states = _chosen(np.array(course.diverged) >= 0, before, states)
    course.train_state, course.step, course.seconds = states, stop, pace.seconds


_members_finite = jax.jit(jax.vmap(all_finite))


def _chosen(first: Any, states: TrainState, others: TrainState) -> TrainState:
    """The members of `states` where `first`, (N,), says so, and else those of `others`.

    `states` may be a single member's, leading axis 1. A key is the same in both.
    """

    def leaf(a: Array, b: Array) -> Array:
        return jnp.where(first.reshape(-1, *[1] * (b.ndim - 1)), a, b)

    plain = [states._replace(key=None), others._replace(key=None)]
    return jax.tree.map(leaf, *plain)._replace(key=others.key)


def _rerun(programs: Programs, before: TrainState, member: int, start: int, bad: int) -> TrainState:
    """The member's last finite state, leading axis 1, from the states at the chunk's start."""
    alone = programs.only(member)

    def advance(stop: int) -> tuple:
        states = before._replace(key=jax.random.clone(before.key))
        own = jax.tree.map(lambda leaf: jnp.copy(leaf[member : member + 1]), states)
        return alone.run("map", own, alone.no_sums(1), start, stop)

    return last_good(advance, bad)[0]
