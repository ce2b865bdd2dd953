"""How a program for one model is run: once, or for every member of a population."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import jax
import numpy as np

from jaxnets.keys import where
from jaxnets.training.nonfinite import all_finite

Strategy = Literal["vmap", "map"]
Member = Callable[[Any, Any], Any]  # (what the member has of its own, what all share) -> results

# The CPU compiler of jaxlib 0.10 takes the wrong rows where labels that all members share meet more
# rows of outputs than these, and says nothing; that of 0.12 does not.
ROWS_AT_ONCE = 2**15


class Runner(Protocol):
    """Runs `f(own, shared)`, and knows a tree of one model's values from one of all members'."""

    @property
    def members(self) -> int:
        """How many models there are."""
        ...

    def each(self, f: Member, rows: int = 1) -> Member:
        """`f` for every member; `rows` is how many examples each member computes at once."""
        ...

    def one_by_one(self, f: Member) -> Member:
        """`f` for one member after another, each as it would be alone."""
        ...

    def only(self, member: int) -> "tuple[Runner, Callable[[Any], Any]]":
        """A runner for that member alone, and what takes its part of a tree."""
        ...

    def select(self, chosen: np.ndarray, tree: Any, other: Any) -> Any:
        """The members of `tree` where `chosen`, bool (members,), says so, else of `other`."""
        ...

    def finite(self, tree: Any) -> np.ndarray:
        """Whether every float of a member is finite, bool (members,)."""
        ...


@dataclass(frozen=True)
class OneModel:
    """The runner of a single model: its trees have no members' axis."""

    members: int = 1

    def each(self, f: Member, rows: int = 1) -> Member:
        """`f` itself."""
        del rows
        return f

    def one_by_one(self, f: Member) -> Member:
        """`f` itself."""
        return f

    def only(self, member: int) -> tuple[Runner, Callable[[Any], Any]]:
        """Itself, and the whole tree."""
        del member
        return self, lambda tree: tree

    def select(self, chosen: np.ndarray, tree: Any, other: Any) -> Any:
        """One of the two."""
        return tree if chosen[0] else other

    def finite(self, tree: Any) -> np.ndarray:
        """Bool (1,)."""
        return np.asarray(all_finite(tree))[None]


@dataclass(frozen=True)
class Members:
    """The runner of a population, whose trees have a leading axis of members.

    Attributes:
      members: how many there are.
      strategy: all at once ("vmap") or one after another ("map"), in one program; they may round
        differently.
    """

    members: int
    strategy: Strategy

    def each(self, f: Member, rows: int = 1) -> Member:
        """`f` over the leading axis of what the members have of their own.

        On a CPU, "vmap" goes by groups of members that have at most `ROWS_AT_ONCE` rows together.
        """
        at_once = max(1, ROWS_AT_ONCE // rows) if jax.default_backend() == "cpu" else None

        def run(own: Any, shared: Any) -> Any:
            if self.strategy == "vmap" and (at_once is None or self.members <= at_once):
                return jax.vmap(f, in_axes=(0, None))(own, shared)
            size = at_once if self.strategy == "vmap" else None
            return jax.lax.map(lambda member: f(member, shared), own, batch_size=size)

        return run

    def one_by_one(self, f: Member) -> Member:
        """`f` over the leading axis, in a loop."""
        return Members(self.members, "map").each(f)

    def only(self, member: int) -> tuple[Runner, Callable[[Any], Any]]:
        """A population of one."""
        rows = slice(member, member + 1)
        return Members(1, "map"), lambda tree: jax.tree.map(lambda leaf: leaf[rows], tree)

    def select(self, chosen: np.ndarray, tree: Any, other: Any) -> Any:
        """Leaf by leaf; `tree` may be a population of one."""

        def leaf(a: Any, b: Any) -> Any:
            return where(chosen.reshape(-1, *[1] * (b.ndim - 1)), a, b)

        return jax.tree.map(leaf, tree, other)

    def finite(self, tree: Any) -> np.ndarray:
        """Bool (members,)."""
        return np.asarray(_members_finite(tree))


_members_finite = jax.jit(jax.vmap(all_finite))
