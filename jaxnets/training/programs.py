"""A cache of compiled programs per train step, freed together with the train step."""

from collections.abc import Callable, Hashable
from typing import Any
from weakref import WeakKeyDictionary, ref

import jax

from jaxnets.sharding import shardings_of


class EqualSteps:
    """Weak references to equal train steps; a call returns one that is alive."""

    def __init__(self) -> None:
        self.references: list[ref] = []

    def add(self, train_step: Any) -> None:
        """Refer to this train step, too."""
        alive = [reference for reference in self.references if reference() is not None]
        if not any(reference() is train_step for reference in alive):
            alive.append(ref(train_step))
        self.references = alive

    def __call__(self) -> Any:
        """One of the train steps that are alive, or None."""
        steps = (reference() for reference in self.references)
        return next((step for step in steps if step is not None), None)


MAX_PROGRAMS = 64  # per train step; beyond it the oldest is evicted

_EQUAL: WeakKeyDictionary[Any, EqualSteps] = WeakKeyDictionary()
_PROGRAMS: WeakKeyDictionary[Any, dict[Hashable, Any]] = WeakKeyDictionary()


def program(
    train_step: Any,
    make: Callable[..., Callable],
    *static: Hashable,
    jit: Callable[..., Any] = jax.jit,
    **options: Any,
) -> Any:
    """`jit(make(step, *static), **options)`, cached while the train step is alive.

    `step` is a weak reference, called as `step()`: a strong one would keep the program and the
    train step alive forever. JAX caches compiled code for as long as the function lives, so it is
    freed with the train step. Equal train steps share a program, in which `step()` returns any of
    them that is alive. The cache key is `make`, `static`, `jit` and the option
    `out_shardings`, not the other options.
    """
    leaves, structure = jax.tree.flatten(options.get("out_shardings"))
    equal = _EQUAL.setdefault(train_step, EqualSteps())
    equal.add(train_step)

    def jitted() -> Any:
        return jit(make(equal, *static), **options)

    return _cached(train_step, (make, *static, jit, structure, *leaves), jitted)


def executable(train_step: Any, jitted: Any, arguments: tuple) -> jax.stages.Compiled:
    """The jitted program compiled for arguments of these shapes, dtypes and shardings; cached.

    Compiling ahead of time reports the memory that the program needs before it runs.
    """
    leaves, structure = jax.tree.flatten(arguments)
    specs = tuple((leaf.shape, leaf.dtype) for leaf in leaves)
    mesh = jax.sharding.get_abstract_mesh()
    key = (jitted, structure, specs, mesh, () if mesh.empty else shardings_of(arguments))
    return _cached(train_step, key, lambda: jitted.lower(*arguments).compile())


def _cached(train_step: Any, key: Hashable, make: Callable[[], Any]) -> Any:
    programs = _PROGRAMS.setdefault(train_step, {})
    if key not in programs:
        if len(programs) >= MAX_PROGRAMS:
            del programs[next(iter(programs))]
        programs[key] = make()
    return programs[key]
