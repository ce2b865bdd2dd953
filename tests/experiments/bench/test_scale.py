"""A chunk is lowered for a mesh of thousands of devices, of which none exists here."""

from pathlib import Path

import jax.numpy as jnp
from jax.sharding import AbstractMesh, AxisType, PartitionSpec

from experiments import bench
from experiments.bench.scale import table
from experiments.bench.topologies import (
    MODELS,
    abstract_loop,
    collectives,
    lower,
    train_step,
    weak_scaling,
)
from jaxnets.json_files import decode
from jaxnets.sharding import ShardingPlan

ROOT = Path(bench.__file__).parents[2]


def test_a_chunk_is_lowered_for_4096_devices_with_its_annotations():
    auto = (AxisType.Auto,) * 2
    mesh = AbstractMesh((1024, 4), ("batch", "model"), axis_types=auto)
    rules = [("fc1/kernel", PartitionSpec(None, "model"))]
    plan = ShardingPlan({"batch": 1024, "model": 4}, rules)
    loop = abstract_loop(train_step(MODELS["mlp"]), mesh, plan, 4096, 0)
    hparams = {"learning_rate": jnp.float32(1e-3)}
    text = lower(loop, hparams, lowering_platforms=("tpu",)).as_text()
    assert 'sdy.mesh @mesh = <["batch"=1024, "model"=4]>' in text
    kernels = [part for part in text.split("%arg") if part.split(">")[0].endswith("784x500xf32")]
    annotated = [part for part in kernels if 'sdy.sharding<@mesh, [{}, {"model"}]>' in part[:400]]
    assert len(annotated) >= 3  # the kernel and both moments of Adam
    assert '[{"batch"}' in text  # of each batch


def test_collectives_are_counted_with_the_bytes_of_their_results():
    text = """
    %a = (f32[10,2]{1,0}, bf16[4]{0}) all-reduce(%x, %y), to_apply=%add
    %b = f32[8]{0} all-gather-start(%z)
    """
    assert collectives(text) == {
        "all-gather": {"count": 1, "bytes": 32},
        "all-reduce": {"count": 1, "bytes": 88},
    }


def test_an_estimate_without_communication_is_perfect():
    assert weak_scaling(1e9, 0, "v5e") == {"8": 1.0, "256": 1.0, "4096": 1.0}


def test_the_page_has_the_figures_of_the_programs_that_were_compiled():
    records = decode((ROOT / "experiments/results/scale.json").read_text("utf-8"))["tpu"]
    assert table(records) in (ROOT / "docs/devices.md").read_text("utf-8")
    compiled = {(record["model"], record["topology"]) for record in records}
    assert {("cnn", "v5e:2x4"), ("cnn", "v5e:16x16")} <= compiled
