"""A run killed on two processes resumes on three and then on one, with the same result.

Only one test starts processes, since each start takes seconds.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import optax
import pytest
from clouds import MODEL, run
from helpers import assert_close

from jaxnets import LayerError, losses
from jaxnets.training import (
    Checkpoints,
    CheckpointWarning,
    PeerLost,
    ShardedStore,
    make_train_step,
    peers,
)

HERE = Path(__file__).parent
PROCESS = """
import os, signal, sys, time
from functools import partial
import jax
number, count, port, folder, steps = sys.argv[1:]
if number == "1":  # its clocks must not decide anything
    for name in ("perf_counter", "monotonic", "time"):
        setattr(time, name, partial(lambda clock: clock() + 10, getattr(time, name)))
jax.config.update("jax_compilation_cache_dir", folder + "/xla")
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
seconds = {"heartbeat_timeout_seconds": 5}
jax.distributed.initialize(f"localhost:{port}", int(count), int(number), **seconds)
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

def stop(*_):
    if number == "1":
        os.kill(os.getpid(), signal.SIGSTOP)
    return ()

try:
    save(folder + "/saved")
    if count == "3":
        print("saved", flush=True)
        run(STEP, steps=10**6, sharding=plan, callbacks=[stop], stall_seconds=2.0)
except PeerLost as error:
    print(error, flush=True)
    os._exit(76)
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


GLOO = "UNKNOWN: Gloo context initialization failed"


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (jax.errors.JaxRuntimeError(GLOO), True),
        (ValueError(GLOO), True),
        (jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED"), False),
        (LayerError("skip_connection expects a layer"), False),
    ],
)
def test_an_error_of_the_connection_is_a_lost_peer_at_the_last_step(error, lost, monkeypatch):
    monkeypatch.setattr(peers, "spans_processes", lambda mesh: mesh == "of two processes")
    among = peers.as_peer_lost("of two processes", lambda: 7)
    with pytest.raises(PeerLost if lost else type(error)) as raised, among:
        raise error
    assert not lost or (raised.value.step == 7 and GLOO in str(raised.value))
    with pytest.raises(type(error)), peers.as_peer_lost(None):
        raise error


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_killed_run_resumes_on_three_processes_and_then_on_one(tmp_path):
    processes = start(tmp_path, 2, 10**6)
    try:
        deadline = time.monotonic() + 120
        while last_step(tmp_path) < 2 and time.monotonic() < deadline:
            assert all(process.poll() is None for process in processes)
            time.sleep(0.1)
        processes[1].send_signal(signal.SIGKILL)
        out, _ = processes[0].communicate(timeout=60)
        # If the kill is within a save, JAX aborts the other process, which cannot catch it.
        assert processes[0].returncode == 76 or processes[0].returncode == -signal.SIGABRT
        assert processes[0].returncode != 76 or "another process of this run ended" in out
        end(processes)
        killed = last_step(tmp_path)
        assert killed >= 2

        processes = start(tmp_path, 3, killed + 4)
        first, third = (processes[i].communicate(timeout=180) for i in (0, 2))
        stopped = os.waitid(os.P_PID, processes[1].pid, os.WSTOPPED | os.WNOHANG)
        assert stopped.si_code == os.CLD_STOPPED  # which only `stall_seconds` notices
        processes[1].kill()
        ends = [first, processes[1].communicate(), third]
        assert processes[0].returncode == 77 and processes[2].returncode in (76, 77, -6), ends
        assert "no progress for 2 s" in first[1] and "in advance" in first[1]
        assert all("saved\n" in out for out, _ in ends)
        assert all("data (in processes [1, 2])" in out for out, _ in ends)
        assert ["step" in out for out, _ in ends] == [True, False, False]  # the first one reports
        assert "saved axes {'batch': 2}, now {'batch': 3}" in ends[0][1]
        assert last_step(tmp_path) == killed + 4
    finally:
        end(processes)
    checkpoints = Checkpoints(tmp_path / "saved", store=ShardedStore)
    with pytest.warns(CheckpointWarning, match="saved axes {'batch': 3}, now {'batch': 1}"):
        resumed = run(STEP, steps=killed + 8, checkpoints=checkpoints, resume=True)
    undisturbed = run(STEP, steps=killed + 8)
    assert_close(resumed.train_state.params, undisturbed.train_state.params)
