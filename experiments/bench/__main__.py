"""Training by jaxnets beside training by its peers, on the same work, in one interleaved run.

python -m experiments.bench --cases mlp,cnn_bn --peers torch,linen --out speed.jsonl
python -m experiments.bench --cases population --population 8,64 --peers torch --out members.jsonl
python -m experiments.bench --cases mlp --peers torch --time-to-accuracy 0.98 --out reach.jsonl
python -m experiments.bench --cases mlp --peers torch --processes --out whole.jsonl
python -m experiments.bench.table speed.jsonl reach.jsonl whole.jsonl

Ours always takes part. A peer that is not installed is named and left out; `pip install -e
".[bench]"` has them all. Every turn is a fresh process; on a CPU let nothing else run.
"""

import sys
from collections.abc import Sequence

import jax

from experiments import common
from experiments.bench.cases import CASES
from experiments.bench.options import Config, check
from experiments.bench.process import Contender
from experiments.bench.reach import reach
from experiments.bench.records import Record, machine, setting, write
from experiments.bench.rounds import race
from experiments.bench.table import heading, tables
from experiments.bench.task import Task
from experiments.bench.whole import whole


def experiment(config: Config) -> None:
    """Measure case by case, each written when it is done; print the tables at the end."""
    tasks, contenders = check(config)
    on, found = machine(), []
    try:
        for task in tasks:
            size = task.batch_size or default_batch_size(task.case, on["platform"])
            task = task._replace(batch_size=size)
            print(heading(setting(task)), flush=True)
            records = [{**record, "machine": on} for record in measure(config, task, contenders)]
            for record in records:
                if "left_out" in record:
                    print(f"{record['peer']}: {record['left_out']}, left out", flush=True)
            if config.out is not None:
                write(config.out, records)
            found += records
    except KeyboardInterrupt:
        print("interrupted; of the case in hand nothing is kept", file=sys.stderr)
        sys.exit(130)
    print(tables(found))


def measure(config: Config, task: Task, contenders: Sequence[Contender]) -> list[Record]:
    """The records of one case, in the way that the options ask for."""
    if config.processes:
        return whole(task, contenders, rounds=config.repeats)
    if config.time_to_accuracy is not None:
        return reach(task, contenders, target=config.time_to_accuracy, seeds=config.seeds)
    return race(task, contenders, rounds=config.repeats, steps=config.steps, profile=config.profile)


def default_batch_size(case: str, platform: str) -> int:
    """What fits on the device."""
    return 8 if platform == "cpu" and not CASES[case].learns else 128


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")  # here it only counts: the accelerator is the peers'
    common.main(experiment, Config)
