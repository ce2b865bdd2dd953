"""Benchmark of training: jaxnets and its peers, other libraries, take turns on the same tasks.

python -m experiments.bench --quick
python -m experiments.bench --cases mlp,cnn_bn --peers torch,linen --out speed.jsonl
python -m experiments.bench --side-by-side 14 --repeats 3 --out gpu.jsonl
python -m experiments.bench --cases population --population 8,64 --peers torch --out members.jsonl
python -m experiments.bench --cases mlp --peers torch --time-to-accuracy 0.98 --out accuracy.jsonl
python -m experiments.bench --cases mlp --peers torch --processes --out processes.jsonl

`python -m experiments.bench.table speed.jsonl accuracy.jsonl processes.jsonl` makes tables of them.
jaxnets ("ours") is always measured. Peers that are not installed are reported and skipped;
`pip install -e ".[bench]"` installs all of them. Every turn is a fresh process. On a CPU, run
nothing else at the same time.
"""

import sys
from collections.abc import Sequence

import jax

from experiments import command_line
from experiments.bench.cases import CASES
from experiments.bench.options import Config, check, quick
from experiments.bench.process import Contender
from experiments.bench.process_time import process_time
from experiments.bench.records import Record, machine, setting, write
from experiments.bench.rounds import take_turns
from experiments.bench.side_by_side import take_turns_side_by_side
from experiments.bench.table import heading, tables
from experiments.bench.task import Task
from experiments.bench.time_to_accuracy import time_to_accuracy


def experiment(config: Config) -> None:
    """Measure each case and write its records; print the tables at the end."""
    config = quick(config)
    tasks, contenders = check(config)
    on, measured = machine(), []
    try:
        sizes = [t.batch_size or default_batch_size(t.case, on["platform"]) for t in tasks]
        tasks = [t._replace(batch_size=n) for t, n in zip(tasks, sizes, strict=True)]
        for group in [tasks] if config.side_by_side else [[task] for task in tasks]:
            print("; ".join(heading(setting(task)) for task in group), flush=True)
            records = [{**record, "machine": on} for record in measure(config, group, contenders)]
            for record in records:
                if "left_out" in record:
                    print(f"{record['peer']}: {record['left_out']}, left out", flush=True)
            if config.out is not None:
                write(config.out, records)
            measured += records
    except KeyboardInterrupt:
        print("interrupted; nothing of the current case is kept", file=sys.stderr)
        sys.exit(130)
    print(tables(measured))


def measure(config: Config, tasks: Sequence[Task], contenders: Sequence[Contender]) -> list[Record]:
    """The records of one case, or of all side by side, as the options select."""
    if config.side_by_side:
        return take_turns_side_by_side(
            tasks,
            contenders,
            rounds=config.repeats,
            steps=config.steps,
            workers=config.side_by_side,
            prepare_seconds=config.prepare_seconds,
        )
    (task,) = tasks
    if config.processes:
        return process_time(task, contenders, rounds=config.repeats)
    if config.time_to_accuracy is not None:
        target = config.time_to_accuracy
        return time_to_accuracy(task, contenders, target=target, seeds=config.seeds)
    return take_turns(
        task,
        contenders,
        rounds=config.repeats,
        steps=config.steps,
        profile=config.profile,
        prepare_seconds=config.prepare_seconds,
    )


def default_batch_size(case: str, platform: str) -> int:
    """The batch size that fits on the device."""
    return 8 if platform == "cpu" and not CASES[case].learns else 128


if __name__ == "__main__":
    # This process does not train: the workers need the accelerator's memory.
    jax.config.update("jax_platforms", "cpu")
    command_line.main(experiment, Config)
