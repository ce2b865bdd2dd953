"""`experiments.mnist_mlp` with a save every 0.1 s of training: the child of the torture scripts."""

import signal
from dataclasses import dataclass
from typing import ClassVar

from experiments import command_line, mnist_mlp

CHUNK_SECONDS = 0.1  # training time between two saves


@dataclass(frozen=True)
class Config(mnist_mlp.Config):
    """`experiments.mnist_mlp` with short chunks and a save after each."""

    save_seconds: ClassVar[float] = 0.0
    chunk_seconds: ClassVar[float] = CHUNK_SECONDS


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
    command_line.main(mnist_mlp.experiment, Config)
