"""Compiled programs, which live as long as the train step that they run."""

from collections.abc import Callable, Hashable
from typing import Any
from weakref import WeakKeyDictionary, ref

import jax

MOST = 64  # programs of one train step; beyond it the oldest goes

_PROGRAMS: WeakKeyDictionary[Any, dict[Hashable, Any]] = WeakKeyDictionary()


def program(
    train_step: Any, make: Callable[..., Callable], *static: Hashable, **options: Any
) -> Any:
    """`jax.jit(make(step, *static), **options)`, the same each time while the train step lives.

    `step()` is the train step: a program that held on to it would keep itself alive. JAX keeps
    what it has compiled for a function as long as the function, so all of it goes with the step.
    `make` and `static` alone tell programs apart.
    """

    def jitted() -> Any:
        return jax.jit(make(ref(train_step), *static), **options)

    return _kept(train_step, (make, *static), jitted)


def executable(train_step: Any, jitted: Any, arguments: tuple) -> jax.stages.Compiled:
    """The jitted program compiled for arguments like these, once while the train step lives.

    The memory that it needs is known before it runs.
    """
    leaves, structure = jax.tree.flatten(arguments)
    specs = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
    mesh = jax.sharding.get_abstract_mesh()
    name = (jitted, structure, specs, mesh)
    return _kept(train_step, name, lambda: jitted.lower(*arguments).compile())


def _kept(train_step: Any, name: Hashable, make: Callable[[], Any]) -> Any:
    programs = _PROGRAMS.setdefault(train_step, {})
    if name not in programs:
        if len(programs) >= MOST:
            del programs[next(iter(programs))]
        programs[name] = make()
    return programs[name]
