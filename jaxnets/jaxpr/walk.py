"""Walking through a program's jaxpr, one operation at a time, whatever the values stand for."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from jax.extend.core import ClosedJaxpr, Literal
from jax.extend.source_info_util import summarize

# A call is walked as the operations inside it. A loop or a branch is one operation, except that
# a choice by platform ("platform_index") is walked as what is chosen.
CALLS = ("jit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat2", "platform_index")
# What makes each value of its result from the values at that very place.
ELEMENTWISE = frozenset(
    """
    abs add and atan2 cbrt ceil clamp convert_element_type copy cos cosh div eq erf erf_inv erfc
    exp exp2 expm1 floor ge gt integer_pow is_finite le lgamma log log1p logistic lt max min mul
    name ne neg nextafter not or pow reduce_precision rem round rsqrt select_n sign sin sinh
    sqrt square stop_gradient sub tan tanh xor
    """.split()  # noqa: SIM905
)


class Operation(NamedTuple):
    """One equation of a jaxpr, and where it stands.

    Attributes:
      eqn: the equation.
      stack: the name stack from the outermost program on, `transpose(jvp(block))/fc1`.
      caller: the call that it is inside of, if any.
    """

    eqn: Any
    stack: str
    caller: "Operation | None" = None

    @property
    def name(self) -> str:
        """The JAX primitive's."""
        return self.eqn.primitive.name

    @property
    def path(self) -> str:
        """That of its layer, as in "block/fc1"; "" outside of any."""
        # Differentiation and vmap wrap the names of the layers they pass.
        return "/".join(filter(None, re.sub(r"\w+\(|\)", "", self.stack).split("/")))

    @property
    def backward(self) -> bool:
        """Whether it is on the way back of a differentiation."""
        return "transpose(" in self.stack

    @property
    def source(self) -> str:
        """The line that asked for it, outside of JAX: "file.py:12:8 (function)"."""
        # What JAX itself compiles, such as jnp.cumsum, does not remember who asked for it.
        outside = self.caller.source if self.caller else ""
        return summarize(self.eqn.source_info) or outside

    @property
    def tagged(self) -> bool:
        """Whether it tags the output of the layer at `path`; what comes out is what went in."""
        return self.name == "name" and self.eqn.params["name"] == self.path.split("/")[-1]


@dataclass(frozen=True)
class Walk:
    """An interpreter of jaxprs: `walk(closed_jaxpr, inputs)` gives the outputs.

    Attributes:
      visit: `visit(operation, operands)` gives what comes out of an operation, in a sequence.
      constant: `constant(value, aval)` gives what stands for a constant; by default its value.
      platform: whose branch to take where the way to compute depends on it; None is the way for
        platforms in general.
      inline: the calls to walk through; others are one operation.
    """

    visit: Callable[[Operation, list[Any]], Sequence[Any]]
    constant: Callable[[Any, Any], Any] = lambda value, aval: value
    platform: str | None = None
    inline: Collection[str] = CALLS

    def __call__(
        self, jaxpr: Any, inputs: Sequence[Any], stack: str = "", caller: Operation | None = None
    ) -> list[Any]:
        """Visit each operation, in an order in which they can be computed."""
        closed = isinstance(jaxpr, ClosedJaxpr)
        jaxpr, consts = (jaxpr.jaxpr, jaxpr.consts) if closed else (jaxpr, ())
        known = dict(zip(jaxpr.invars, inputs, strict=True))
        for var, value in zip(jaxpr.constvars, consts, strict=True):
            known[var] = self.constant(value, var.aval)

        def read(atom: Any) -> Any:
            is_literal = isinstance(atom, Literal)
            return self.constant(atom.val, atom.aval) if is_literal else known[atom]

        for eqn in jaxpr.eqns:
            operands = [read(atom) for atom in eqn.invars]
            place = f"{stack}/{eqn.source_info.name_stack}"
            made = self._step(Operation(eqn, place, caller), operands)
            known |= dict(zip(eqn.outvars, made, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _step(self, operation: Operation, operands: list[Any]) -> Sequence[Any]:
        eqn, stack = operation.eqn, operation.stack
        settings = eqn.params
        if operation.name not in self.inline:
            branch = branch_for(self.platform, operation)
            if branch is None or "platform_index" not in self.inline:
                return self.visit(operation, operands)
            return self(branch, operands[1:], stack, operation)
        if operation.name == "platform_index":
            return [self.constant(0, eqn.outvars[0].aval)]  # which no choice walked through reads
        inner = settings.get("jaxpr") or settings["call_jaxpr"]
        return self(inner, operands, stack, operation)


def branch_for(platform: str | None, operation: Operation) -> ClosedJaxpr | None:
    """What a choice by platform runs there, or None if the operation is no such choice."""
    settings = operation.eqn.params
    if operation.name != "cond" or not (platforms := settings.get("branches_platforms")):
        return None
    chosen = next(i for i, some in enumerate(platforms) if some is None or platform in some)
    return settings["branches"][chosen]


def compute(operation: Operation, operands: Sequence[Any]) -> list[Any]:
    """What the operation makes of arrays, which may be traced."""
    primitive, settings = operation.eqn.primitive, operation.eqn.params
    with operation.eqn.ctx.manager:
        made = primitive.bind(*operands, **primitive.get_bind_params(settings))
    return list(made) if primitive.multiple_results else [made]
