"""Every reader of files, with a valid file and the error that it raises for invalid ones."""

import gzip
import json
import struct
from typing import NamedTuple

import jax.numpy as jnp

from experiments import finetune, sequential_seeds
from experiments.bench import plots, records
from experiments.folder import check_same_run
from jaxnets.data import DataError, idx, read_series
from jaxnets.errors import JSONError
from jaxnets.interop import safetensors
from jaxnets.json_files import read, read_lines
from jaxnets.training import CheckpointError, Checkpoints, RunError
from jaxnets.training.search import Results, Trial, uniform

TREE = {"fc1": {"kernel": jnp.ones((3, 4)), "mask": jnp.array([True, False])}}
RUN = {"experiment": "mlp", "config": {"seed": 0}, "data": {"checksums": {}}}
RUN |= {"versions": {}, "device": "cpu"}
SPEED = {"kind": "speed", "case": "mlp", "peer": "ours", "left_out": "it is not installed"}
POPULATION = {
    "by size, shared batches": {"1": {"members per second": [1.0, 2.0, 3.0]}},
    **{"network": "mlp", "updates": 9, "batch_size": 12},
}


class Reader(NamedTuple):
    """A reader of one kind of file.

    Attributes:
      name: the name of the file.
      write: writes a valid file to a path.
      read: reads a file; raises `error` if it is damaged.
    """

    name: str
    write: object
    read: object
    error: type


def idx_content(path):
    content = struct.pack(">HBB3I", 0, 8, 3, 5, 28, 28) + bytes(range(256)) * 16
    path.write_bytes(content[: 16 + 5 * 784])


def packed_idx(path):
    idx_content(path)
    path.write_bytes(gzip.compress(path.read_bytes(), mtime=0))


def checkpoint(path):
    with Checkpoints(path.parent) as checkpoints:
        checkpoints.save(1, TREE, {"seed": 0}, score=0.5)


def results(path):
    trials = [Trial(n, n // 2, {"rate": n / 9}, 1, n / 4, False, "vmap") for n in range(4)]
    Results(tuple(trials), "accuracy", False, {"rate": uniform(0, 1)}, {}).to_json_lines(path)


def as_json(*values):
    def write(path):
        path.write_text("".join(json.dumps(value) + "\n" for value in values), encoding="utf-8")

    return write


def population(path):
    plots.POPULATION = path
    return plots.of_population_sizes()


TS = "@classLabel true one two\n@data\n" + "1.25,2,3:4,-5e-1,6:one\n7:8.5:two\n" * 8
ARFF = "@relation a\n@attribute t0 numeric\n@attribute t1 numeric\n@attribute c {one,two}\n@data\n"
ARFF += "1.25,2,one\n-3e-1,?,two\n" * 9


def text(content):
    return lambda path: path.write_text(content, encoding="utf-8")


def packed_ts(path):
    path.write_bytes(gzip.compress(TS.encode(), mtime=0))


READERS = [
    Reader("series.ts", text(TS), read_series, DataError),
    Reader("series.arff", text(ARFF), read_series, DataError),
    Reader("packed.ts.gz", packed_ts, read_series, DataError),
    Reader("raw-idx3-ubyte", idx_content, lambda path: idx.read(path, 3), DataError),
    Reader("packed.gz", packed_idx, lambda path: idx.read(path, 3), DataError),
    Reader("t.safetensors", lambda p: safetensors.save(p, TREE), safetensors.load, ValueError),
    Reader(
        "step-00000001.safetensors",
        checkpoint,
        lambda path: Checkpoints(path.parent).restore(TREE, step=1),
        CheckpointError,
    ),
    Reader("results.jsonl", results, Results.from_json_lines, RunError),
    Reader("run.json", as_json(RUN), lambda path: check_same_run(path, RUN), RunError),
    Reader(
        "result.json",
        as_json({"steps": 1, "test_accuracy": 0.5, "train_seconds": 2.0}),
        lambda path: sequential_seeds.result_in(path.parent),
        JSONError,
    ),
    Reader(
        "comparisons.json", as_json({"a, then b": {"10": {}}}), finetune.read_comparisons, JSONError
    ),
    Reader("bench.jsonl", as_json(SPEED), lambda path: records.read([path]), RunError),
    Reader("population.json", as_json(POPULATION), population, JSONError),
    Reader(
        "any.json", as_json({"a": [1, 2.5, "three", None]}), lambda p: read(p, cure="-"), JSONError
    ),
    Reader(
        "any.jsonl",
        as_json({"a": 1}, {"b": 2}),
        lambda path: list(read_lines(path, cure="-")),
        JSONError,
    ),
]
JSON = [reader for reader in READERS if ".json" in reader.name]
