"""Several processes train one model: killed, and started again in another number, it is the same.

One test with everything in it, since every start of a process takes seconds.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import optax
import pytest
from clouds import MODEL, run
from helpers import assert_close

from jaxnets import losses
from jaxnets.training import make_train_step

HERE = Path(__file__).parent
PROCESS = """
import os, sys, time
import jax
number, count, port, folder, steps = sys.argv[1:]
skew = time.perf_counter
if number == "1":
    time.perf_counter = lambda: 3 * skew() + 10  # its clock must not decide anything
jax.config.update("jax_compilation_cache_dir", folder + "/xla")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
seconds = {"heartbeat_timeout_seconds": 10}
jax.distributed.initialize(f"localhost:{port}", int(count), int(number), **seconds)
import numpy as np
from clouds import TRAIN, run
from test_processes import STEP
from jaxnets.training import Checkpoints, PeerLost, RunError, ShardedStore, ShardingPlan

x, y = TRAIN
plan = ShardingPlan({"batch": int(count)})
if count == "3":
    try:
        run(STEP, (x + int(number), y), sharding=plan)
    except RunError as error:
        print(error, flush=True)

def save(path):
    checkpoints = Checkpoints(path, every=0.0, store=ShardedStore)
    options = {"chunk_seconds": 0.01, "checkpoints": checkpoints, "resume": True}
    return run(STEP, steps=int(steps), sharding=plan, report=print_step, **options)

def print_step(progress):
    print("step", progress.step, flush=True)

def stay(progress):
    time.sleep(1000)

try:
    params = save(folder + "/saved").train_state.params
except PeerLost as error:
    print(error, flush=True)
    os._exit(76)
if number == "0":
    np.savez(folder + "/params", *jax.tree.leaves(params))
if count == "1":
    run(STEP, report=stay, stall_seconds=0.5)
"""
STEP = make_train_step(MODEL, optax.sgd(0.05, momentum=0.9), losses.softmax_cross_entropy)


def start(folder, count, steps):
    """Start `count` processes of one device each, which train to a step."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        port = probe.getsockname()[1]
    path = os.pathsep.join(map(str, [HERE, HERE.parent, HERE.parents[1]]))
    flags = os.environ["XLA_FLAGS"].replace("device_count=2", "device_count=1")
    environment = {**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    processes = []
    for number in range(count):
        words = [sys.executable, "-c", PROCESS, *map(str, (number, count, port, folder, steps))]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        processes.append(subprocess.Popen(words, env=environment, **pipes))
    return processes


def end(processes):
    for process in processes:
        process.kill()
        process.communicate()  # closes its pipes


def last_step(folder):
    return max((int(path.parent.name) for path in folder.glob("saved/*/manifest.*")), default=0)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_killed_run_resumes_in_three_processes_and_then_in_one(tmp_path):
    processes = start(tmp_path, 2, 10**6)
    try:
        deadline = time.monotonic() + 120
        while last_step(tmp_path) < 2 and time.monotonic() < deadline:
            assert all(process.poll() is None for process in processes)
            time.sleep(0.1)
        processes[1].send_signal(signal.SIGKILL)
        out, _ = processes[0].communicate(timeout=60)
        # Killed within a save, it is JAX that ends the other one, which cannot catch that.
        assert processes[0].returncode == 76 or processes[0].returncode == -signal.SIGABRT
        assert processes[0].returncode != 76 or "another process of this run ended" in out
        end(processes)
        killed = last_step(tmp_path)
        assert killed >= 2

        processes = start(tmp_path, 3, killed + 4)
        ends = [process.communicate(timeout=120) for process in processes]
        assert [process.returncode for process in processes] == [0, 0, 0], ends
        assert all("data (in processes [1, 2])" in out for out, _ in ends)
        assert ["step" in out for out, _ in ends] == [True, False, False]  # the first one reports
        assert "saved axes {'batch': 2}, now {'batch': 3}" in ends[0][1]
        assert last_step(tmp_path) == killed + 4

        processes = start(tmp_path, 1, killed + 8)
        _, errors = processes[0].communicate(timeout=120)
        assert processes[0].returncode == 77, errors
        assert "no progress for 0.5 s" in errors and "in stay" in errors
    finally:
        end(processes)
    with np.load(tmp_path / "params.npz") as file:
        resumed = [file[name] for name in file.files]
    undisturbed = run(STEP, steps=killed + 8).train_state.params
    assert_close(resumed, jax.tree.leaves(undisturbed))
