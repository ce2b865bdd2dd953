"""A preemption notice to one of several processes stops all at the same, saved step."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from jaxnets.training import Checkpoints

HERE = Path(__file__).parent
PROCESS = """
import sys
import jax

number, port, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3]
jax.distributed.initialize(f"localhost:{port}", 2, number)
from clouds import TRAIN, run
from jaxnets.training import Checkpoints, Interrupted

x, y = TRAIN
data = x[number::2], y[number::2]

def report(progress):
    if progress.step == 2:
        print("trains", flush=True)

try:
    options = {"checkpoints": Checkpoints(folder), "report": report, "chunk_seconds": 0.1}
    run(data=data, epochs=10**4, **options)
except Interrupted as interrupted:
    print(interrupted.signal, int(interrupted.fit.train_state.step))
"""


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return str(probe.getsockname()[1])


def test_sigterm_to_one_process_stops_both_at_one_step(tmp_path):
    path = os.pathsep.join([str(HERE), str(HERE.parents[1])])
    flags = os.environ["XLA_FLAGS"].replace("device_count=2", "device_count=1")
    environment = {**os.environ, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags}
    port, processes = free_port(), []
    try:
        for number in range(2):
            command = [sys.executable, "-c", PROCESS, str(number), port, tmp_path / str(number)]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
            processes.append(subprocess.Popen(command, text=True, env=environment, **pipes))
        for process in processes:
            while process.stdout.readline() != "trains\n":  # the runtime prints lines too
                assert process.poll() is None, process.stderr.read()
        processes[1].terminate()
        ends = [process.communicate(timeout=60) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0, 0], ends
    lines = [out.splitlines()[-1] for out, _ in ends]
    number, step = map(int, lines[0].split())
    assert (lines[1], number) == (lines[0], 15)
    assert [Checkpoints(tmp_path / name).latest() for name in ("0", "1")] == [step, step]
