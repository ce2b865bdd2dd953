"""An interpreter of jaxprs, one operation at a time, for values of any type."""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from jax.extend.core import ClosedJaxpr, Literal
from jax.extend.source_info_util import summarize

# Calls are inlined. A loop or a branch is one operation, except for `lax.platform_dependent`
# ("platform_index"), of which the chosen branch is inlined.
CALLS = ("jit", "closed_call", "custom_jvp_call", "custom_vjp_call", "remat2", "platform_index")
# Operations in which each entry of the result depends only on the operands' entries at its index.
ELEMENTWISE = frozenset(
    """
    abs add and atan2 cbrt ceil clamp convert_element_type copy cos cosh div eq erf erf_inv erfc
    exp exp2 expm1 floor ge gt integer_pow is_finite le lgamma log log1p logistic lt max min mul
    name ne neg nextafter not or pow reduce_precision rem round rsqrt select_n sign sin sinh
    sqrt square stop_gradient sub tan tanh xor
    """.split()  # noqa: SIM905
)


class Operation(NamedTuple):
    """One equation of a jaxpr, and its context.

    Attributes:
      eqn: the equation.
      stack: the full name stack, `transpose(jvp(block))/fc1`.
      caller: the enclosing call, if any.
    """

    eqn: Any
    stack: str
    caller: "Operation | None" = None

    @property
    def name(self) -> str:
        """The name of the JAX primitive."""
        return self.eqn.primitive.name

    @property
    def path(self) -> str:
        """The path of its layer, as in "block/fc1"; "" outside any layer."""
        # Differentiation and vmap wrap the names of layers, as in `transpose(jvp(block))`.
        return "/".join(filter(None, re.sub(r"\w+\(|\)", "", self.stack).split("/")))

    @property
    def backward(self) -> bool:
        """Whether it is in the backward pass of reverse-mode differentiation."""
        return "transpose(" in self.stack

    @property
    def source(self) -> str:
        """The source line, outside JAX: "file.py:12:8 (function)"."""
        # The equations inside JAX's own jitted functions, such as jnp.cumsum, have no source line.
        caller = self.caller.source if self.caller else ""
        return summarize(self.eqn.source_info) or caller

    @property
    def tagged(self) -> bool:
        """Whether it tags the output of the layer at `path`; it returns its operand unchanged."""
        return self.name == "name" and self.eqn.params["name"] == self.path.split("/")[-1]


@dataclass(frozen=True)
class Walk:
    """An interpreter of jaxprs: `walk(closed_jaxpr, inputs)` returns the outputs.

    Attributes:
      visit: `visit(operation, operands)` returns the sequence of an operation's results.
      constant: `constant(value, aval)` returns the value for a constant; by default itself.
      platform: the platform whose branch of `lax.platform_dependent` is taken; None takes the
        default branch.
      inline: the calls to inline; others are one operation.
    """

    visit: Callable[[Operation, list[Any]], Sequence[Any]]
    constant: Callable[[Any, Any], Any] = lambda value, aval: value
    platform: str | None = None
    inline: Collection[str] = CALLS

    def __call__(
        self, jaxpr: Any, inputs: Sequence[Any], stack: str = "", caller: Operation | None = None
    ) -> list[Any]:
        """Visit each operation, in the order of the jaxpr."""
        closed = isinstance(jaxpr, ClosedJaxpr)
        jaxpr, consts = (jaxpr.jaxpr, jaxpr.consts) if closed else (jaxpr, ())
        env = dict(zip(jaxpr.invars, inputs, strict=True))
        for var, value in zip(jaxpr.constvars, consts, strict=True):
            env[var] = self.constant(value, var.aval)

        def read(atom: Any) -> Any:
            is_literal = isinstance(atom, Literal)
            return self.constant(atom.val, atom.aval) if is_literal else env[atom]

        for eqn in jaxpr.eqns:
            operands = [read(atom) for atom in eqn.invars]
            name_stack = f"{stack}/{eqn.source_info.name_stack}"
            results = self._step(Operation(eqn, name_stack, caller), operands)
            env |= dict(zip(eqn.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _step(self, operation: Operation, operands: list[Any]) -> Sequence[Any]:
        eqn, stack = operation.eqn, operation.stack
        if operation.name not in self.inline:
            branch = branch_for(self.platform, operation)
            if branch is None or "platform_index" not in self.inline:
                return self.visit(operation, operands)
            return self(branch, operands[1:], stack, operation)
        if operation.name == "platform_index":
            return [self.constant(0, eqn.outvars[0].aval)]  # not used, as the branch is inlined
        inner = eqn.params.get("jaxpr") or eqn.params["call_jaxpr"]
        return self(inner, operands, stack, operation)


def branch_for(platform: str | None, operation: Operation) -> ClosedJaxpr | None:
    """The platform's branch of a `lax.platform_dependent`; None for any other operation."""
    options = operation.eqn.params
    if operation.name != "cond" or not (platforms := options.get("branches_platforms")):
        return None
    index = next(i for i, names in enumerate(platforms) if names is None or platform in names)
    return options["branches"][index]


def compute(operation: Operation, operands: Sequence[Any]) -> list[Any]:
    """The results of the operation for arrays, which may be traced."""
    primitive, options = operation.eqn.primitive, operation.eqn.params
    with operation.eqn.ctx.manager:
        results = primitive.bind(*operands, **primitive.get_bind_params(options))
    return list(results) if primitive.multiple_results else [results]
