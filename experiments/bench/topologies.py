"""The library's own chunk of steps, compiled ahead of time for a TPU topology, without a TPU.

`python -m experiments.bench.scale` runs this module once per program.
"""

import json
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from experiments import mnist_cnn, mnist_mlp
from jaxnets import Layer, losses, metrics, models
from jaxnets.arrays import Examples
from jaxnets.sharding import ShardingPlan
from jaxnets.training import make_train_step
from jaxnets.training.chunk import chunk_program
from jaxnets.training.compiled_loop import CompiledLoop
from jaxnets.training.memory import needed_bytes
from jaxnets.training.runners import Members
from jaxnets.training.start import make_loop

MEMBERS = 16  # of a population, per chip
STEP_COPIES = 2  # for blocks of steps, and for the rest; FLOPs and collectives count both
CLASS = jax.ShapeDtypeStruct((), np.int32)
MNIST = jax.ShapeDtypeStruct((28, 28, 1), np.uint8)
IMAGENET = jax.ShapeDtypeStruct((224, 224, 3), np.uint8)
TOKENS = jax.ShapeDtypeStruct((128,), np.int32)


@dataclass(frozen=True)
class Case:
    """A model to compile.

    Attributes:
      build: returns the model.
      x: an example.
      y: its labels.
      rows: examples per step: per chip, or per member of a population.
      loss: returns one number per example.
    """

    build: Callable[[], Layer]
    x: jax.ShapeDtypeStruct = MNIST
    y: jax.ShapeDtypeStruct = CLASS
    rows: int = 128
    loss: Callable = losses.softmax_cross_entropy


MODELS = {
    "mlp": Case(lambda: mnist_mlp.model),
    "cnn": Case(lambda: mnist_cnn.model),
    "resnet50": Case(models.resnet50, IMAGENET, rows=16),
    "gpt": Case(
        lambda: models.gpt(96, 128, features=128, heads=4, blocks=2),
        TOKENS,
        TOKENS,
        rows=16,
        loss=losses.per_token(losses.softmax_cross_entropy),
    ),
    "population": Case(lambda: mnist_cnn.model),
}
# Published peaks of one chip: bfloat16 FLOP/s, and bytes/s of its links to the others, here 197
# TFLOP/s and 1,600 Gbit/s; cloud.google.com/tpu/docs/v5e, "Key chip specifications".
PEAKS = {"v5e": (197e12, 200e9)}
SIZES = {"f32": 4, "bf16": 2, "s32": 4, "u32": 4, "f16": 2, "pred": 1, "s8": 1, "u8": 1}
KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute")


def abstract_loop(
    train_step: Any,
    mesh: Any,
    plan: ShardingPlan,
    batch: int,
    members: int,
    case: Case = MODELS["mlp"],
) -> Any:
    """The loop of a run on two batches of such examples, for a mesh that needs no devices."""
    zeros = (
        np.broadcast_to(part.dtype.type(0), (2 * batch, *part.shape)) for part in (case.x, case.y)
    )
    data = Examples(*zeros)  # which take no memory
    options: dict[str, Any] = {"batch_size": batch, "remainder": "drop", "on_nonfinite": "ignore"}
    options |= {"evaluate_every": (1, "epochs"), "devices": 1}
    if members:
        options["runner"] = Members(members, "vmap")
        loop = make_loop(train_step, data, jax.random.split(jax.random.key(0), members), **options)
    else:
        loop = make_loop(train_step, data, jax.random.key(0), **options)
    return replace(loop, mesh=mesh, plan=plan)


def lower(loop: CompiledLoop, hparams: Any, **options: Any) -> Any:
    """The lowered program of a chunk, from shapes alone."""
    assert loop.mesh is not None
    single = replace(loop, mesh=None)
    keys = jax.random.key(0)
    if (members := loop.runner.members) > 1:
        keys = jax.random.split(keys, members)
    shapes = single.init_shapes(keys, hparams)
    whole = NamedSharding(loop.mesh, PartitionSpec())

    def spec(leaf: Any) -> jax.ShapeDtypeStruct:
        leaf = leaf if hasattr(leaf, "shape") else np.asarray(leaf)
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=whole)

    arrays, _ = loop.source.read(0, 1)
    arguments = loop.arguments(shapes, single.zero_sums(shapes, hparams), hparams, arrays, 0, 1)
    placed = (loop.place_shapes(shapes), *jax.tree.map(spec, arguments[1:]))
    reader = loop.source.reader
    chunk = chunk_program(loop.train_step, placed[0], loop.runner, reader, False, loop.mesh)
    with jax.sharding.use_abstract_mesh(loop.mesh.abstract_mesh):
        return chunk.trace(*placed).lower(**options)


def collectives(text: str) -> dict[str, dict[str, int]]:
    """The number of each kind of collective in a compiled program, and bytes of their results."""
    counts: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for line in text.splitlines():
        match = re.search(rf"= (.*?) ({'|'.join(KINDS)})(-start)?\(", line)
        if match:
            counts[match[2]] += 1
            sizes[match[2]] += sum(map(_bytes, re.findall(r"(\w+)\[([\d,]*)\]", match[1])))
    return {kind: {"count": counts[kind], "bytes": sizes[kind]} for kind in sorted(counts)}


def _bytes(array: tuple[str, str]) -> int:
    dtype, shape = array
    return SIZES.get(dtype, 4) * int(np.prod([int(n) for n in shape.split(",") if n]))


def weak_scaling(flops: float, exchanged: int, chip: str) -> dict[str, float]:
    """Estimated weak-scaling efficiency by number of chips, with equal work per chip.

    The step computes at half the peak, then all-reduces around a ring, without overlap.
    A pod of v5e has 256 chips; 4,096 are estimated as if the same links connected that many.
    """
    peak, link = PEAKS[chip]
    compute = flops / (peak / 2)
    rings = {n: 2 * (n - 1) / n * exchanged / link for n in (8, 256, 4096)}
    return {str(n): compute / (compute + seconds) for n, seconds in rings.items()}


def train_step(case: Case) -> Any:
    """A train step in bfloat16, as a function of the learning rate."""
    per_class = {} if case.y.ndim else {"accuracy": metrics.accuracy}

    def step(hparams: Any) -> Any:
        return make_train_step(
            case.build(),
            optax.adam(hparams["learning_rate"]),
            case.loss,
            metrics=per_class,
            compute_dtype=jnp.bfloat16,
        )

    return step


def main(name: str, topology: str) -> None:
    """Compile one program, and print its record as a line of JSON."""
    from jax.experimental import topologies

    devices = np.array(topologies.get_topology_desc(topology, platform="tpu").devices)
    n = devices.size
    population = name == "population"
    axis = "members" if population else "batch"
    mesh = Mesh(devices.reshape(-1), (axis,), axis_types=(AxisType.Auto,))
    case = MODELS[name]
    rows, members = (case.rows, MEMBERS * n) if population else (case.rows * n, 0)
    rate = jnp.full(members, 1e-3) if population else jnp.float32(1e-3)
    loop = abstract_loop(train_step(case), mesh, ShardingPlan({axis: n}), rows, members, case)
    began = time.process_time()
    compiled = lower(loop, {"learning_rate": rate}).compile()
    memory, costs = compiled.memory_analysis(), compiled.cost_analysis() or {}
    exchanged = collectives(compiled.as_text())
    total = sum(kind["bytes"] for kind in exchanged.values())
    record = {
        "model": name,
        "topology": topology,
        "chips": n,
        "rows_per_chip": case.rows,
        "members_per_chip": MEMBERS if population else None,
        "compile_cpu_seconds": round(time.process_time() - began, 1),
        "bytes_per_chip": needed_bytes(compiled),
        "temporary_bytes": memory.temp_size_in_bytes,
        "step_copies": STEP_COPIES,
        "collectives": exchanged,
        "flops_per_chip": costs.get("flops"),
    }
    if not population:
        flops = float(costs.get("flops", 0))
        record["estimated_weak_scaling"] = weak_scaling(flops, total, topology.split(":")[0])
    print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
