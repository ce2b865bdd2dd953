"""Models as StableHLO: programs for CPU, CUDA and TPU that run without jaxnets."""

import re
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.export import Exported, symbolic_shape

from jaxnets.errors import LayerError
from jaxnets.layer import Layer, Params, State
from jaxnets.lowering import plain_operations
from jaxnets.messages import printable

PLATFORMS = ("cpu", "cuda", "tpu")
CALL = re.compile(r"custom_call @(\"[^\"]*\"|[\w.$-]+)|custom_call")
# Calls that XLA itself resolves; any other runs code of the process, named by the program.
KNOWN_CALLS = {"Sharding", "shape_assertion"}


class StableHLO(NamedTuple):
    """A model's forward pass as one program, for any number of rows.

    Attributes:
      program: as `jax.export` serializes it; `jax.export.deserialize(program).call(x)` runs it,
        and needs JAX only.
      text: the program as text, in MLIR, without the parameters' values.
    """

    program: bytes
    text: str


def stablehlo(model: Layer, params: Params, state: State, example: Any) -> StableHLO:
    """The forward pass with `train=False` as StableHLO, with the parameters inside.

        program = export.stablehlo(model, params, state, x).program
        jax.export.deserialize(bytearray(program)).call(x)  # in a process without jaxnets

    The call takes the leaves of the input, as `jax.tree.leaves(x)` lists them, and returns the
    output, or a tuple of its leaves. A program can be read by newer versions of JAX for six months
    after it was written, as `jax.export` guarantees, and by older ones for three weeks.

    Args:
      model: the layer.
      params: its params.
      state: its state.
      example: an input (n, ...), or a `jax.ShapeDtypeStruct`; only the shape and dtype matter, and
        the first axis may have any size in the program.

    Raises:
      LayerError: the model cannot be traced without a batch of known size, or calls code that other
        processes do not have.
    """

    def forward(*leaves: Any) -> Any:
        x = jax.tree.unflatten(jax.tree.structure(example), leaves)
        return as_output(model.apply(params, state, x)[0])

    exported = export_for("export.stablehlo", forward, *batch_specs("export.stablehlo", example))
    return StableHLO(bytes(exported.serialize()), without_values(exported.mlir_module()))


def export_for(where: str, f: Callable[..., Any], *specs: Any) -> Exported:
    """The function as a program for all platforms, of XLA's operations only.

    Raises:
      LayerError: it cannot be traced for these shapes, or calls code of this process.
    """
    try:
        with plain_operations():
            exported = jax.export.export(jax.jit(f), platforms=PLATFORMS)(*specs)
    except (LayerError, MemoryError):
        raise
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise LayerError(
            f"{where} expects a model that is traced for any number of rows and for "
            f"{', '.join(PLATFORMS)}, but got: {printable(reason):.200}; make its shapes and "
            "branches independent of x.shape[0], and call no code of this process"
        ) from error
    if calls := foreign_calls(exported):
        raise LayerError(
            f"{where} expects a model of XLA's own operations, but it calls {', '.join(calls)}, "
            "which other processes may not have; replace the layer that does so"
        )
    return exported


def foreign_calls(exported: Exported) -> list[str]:
    """The names of the functions outside the program that it calls."""
    names = {name.strip('"') or "a function" for name in CALL.findall(exported.mlir_module())}
    return sorted(names - KNOWN_CALLS)


def batch_specs(where: str, example: Any) -> list[jax.ShapeDtypeStruct]:
    """The leaves of an example input with a symbolic number of rows.

    Raises:
      LayerError: a leaf is not an array with rows.
    """
    leaves = jax.tree.leaves(example)
    if not leaves or any(not getattr(leaf, "shape", ()) for leaf in leaves):
        raise LayerError(
            f"{where} expects an example input with rows, (n, ...), but got "
            f"{printable(example):.100}; pass x[:1] of the data, or a jax.ShapeDtypeStruct"
        )
    rows = symbolic_shape("batch")
    dtypes = [jax.dtypes.canonicalize_dtype(leaf.dtype) for leaf in leaves]
    shapes = [(*rows, *leaf.shape[1:]) for leaf in leaves]
    return [jax.ShapeDtypeStruct(*pair) for pair in zip(shapes, dtypes, strict=True)]


def as_output(y: Any) -> Any:
    """An array alone, or the tuple of a tree's leaves."""
    leaves = jax.tree.leaves(y)
    return leaves[0] if len(leaves) == 1 else tuple(leaves)


def without_values(text: str) -> str:
    """A program's text with long constants cut, so that it can be read."""
    return re.sub(r'dense<"0x([0-9A-F]{16})[0-9A-F]*">', r'dense<"0x\1...">', text)
