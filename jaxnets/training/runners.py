"""Runners apply a function of one model to one model, or to every member of a population."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import jax
import numpy as np

from jaxnets.keys import where
from jaxnets.sharding import on_each_member, to_host
from jaxnets.training.divergence import all_finite

Strategy = Literal["vmap", "map"]
Member = Callable[[Any, Any], Any]  # (per_member, shared) -> results

# If labels are shared by all members, CPU programs compiled by jaxlib 0.10 silently read the wrong
# rows of them when the members together have more rows of outputs than this (fixed in 0.12).
ROWS_AT_ONCE = 2**15


class Runner(Protocol):
    """Applies `f(per_member, shared)` to one model, or over the leading axis of a population."""

    @property
    def members(self) -> int:
        """The number of models."""
        ...

    def over_members(self, f: Member, rows: int = 1) -> Member:
        """`f` for every member; `rows` is the number of examples that a member computes at once."""
        ...

    def sequential(self, f: Member) -> Member:
        """`f` for one member after another, with the same bits as for a single model."""
        ...

    def for_member(self, member: int) -> "tuple[Runner, Callable[[Any], Any]]":
        """A runner for a single member, and a function that takes its slice of a tree."""
        ...

    def select(self, mask: np.ndarray, tree: Any, other: Any) -> Any:
        """The members of `tree` where `mask`, bool (members,), is true, else those of `other`."""
        ...

    def finite(self, tree: Any) -> np.ndarray:
        """Whether every float of a member is finite, bool (members,)."""
        ...


@dataclass(frozen=True)
class OneModel:
    """The runner of a single model, whose trees have no axis of members."""

    members: int = 1

    def over_members(self, f: Member, rows: int = 1) -> Member:
        """`f` itself."""
        del rows
        return f

    def sequential(self, f: Member) -> Member:
        """`f` itself."""
        return f

    def for_member(self, member: int) -> tuple[Runner, Callable[[Any], Any]]:
        """This runner, and the identity."""
        del member
        return self, lambda tree: tree

    def select(self, mask: np.ndarray, tree: Any, other: Any) -> Any:
        """`tree` or `other`."""
        return tree if mask[0] else other

    def finite(self, tree: Any) -> np.ndarray:
        """Bool (1,)."""
        return to_host(all_finite(tree))[None]


@dataclass(frozen=True)
class Members:
    """The runner of a population, whose trees have a leading axis of members.

    Attributes:
      members: the number of members.
      strategy: all at once ("vmap") or one after another ("map"), in one program; they may round
        differently.
    """

    members: int
    strategy: Strategy

    def over_members(self, f: Member, rows: int = 1) -> Member:
        """`f` over the leading axis of `per_member`.

        On a CPU, "vmap" runs groups of members that have at most `ROWS_AT_ONCE` rows in total.
        """
        group_size = max(1, ROWS_AT_ONCE // rows) if jax.default_backend() == "cpu" else None

        def run(per_member: Any, shared: Any) -> Any:
            members = len(jax.tree.leaves(per_member)[0])  # of this device
            if self.strategy == "vmap" and (group_size is None or members <= group_size):
                return jax.vmap(f, in_axes=(0, None))(per_member, shared)
            batch_size = group_size if self.strategy == "vmap" else None
            return jax.lax.map(lambda member: f(member, shared), per_member, batch_size=batch_size)

        return on_each_member(run)

    def sequential(self, f: Member) -> Member:
        """`f` over the leading axis, in a loop."""
        return Members(self.members, "map").over_members(f)

    def for_member(self, member: int) -> tuple[Runner, Callable[[Any], Any]]:
        """The runner of a population of one."""
        rows = slice(member, member + 1)
        return Members(1, "map"), lambda tree: jax.tree.map(lambda leaf: leaf[rows], tree)

    def select(self, mask: np.ndarray, tree: Any, other: Any) -> Any:
        """Select leaf by leaf; `tree` may be a population of one, which is broadcast."""

        def leaf(a: Any, b: Any) -> Any:
            return where(mask.reshape(-1, *[1] * (b.ndim - 1)), a, b)

        return jax.tree.map(leaf, tree, other)

    def finite(self, tree: Any) -> np.ndarray:
        """Bool (members,)."""
        return to_host(_members_finite(tree))


_members_finite = jax.jit(jax.vmap(all_finite))
