"""The interface between the benchmark and a peer: a task and its trainer."""

from typing import NamedTuple, Protocol


class Task(NamedTuple):
    """The setting of one measurement, which JSON can hold.

    Attributes:
      case: a name in `cases.CASES`.
      batch_size: examples per step.
      dtype: "float32", or "bfloat16" for mixed precision: parameters, optimizer and loss stay
        float32.
      devices: the number of devices over which a batch is sharded.
      members: the number of networks that are trained in one program, on the same batches but from
        different weights; more than one only in the case "population".
      epochs: the number of epochs over which the learning rate decays to zero (cosine decay); None
        for a constant rate.
      seed: determines the weights, the order, and all other random numbers.
      data_dir: a folder with MNIST's IDX files, instead of those packaged with jaxnets.
    """

    case: str
    batch_size: int = 128
    dtype: str = "float32"
    devices: int = 1
    members: int = 1
    epochs: int | None = None
    seed: int = 0
    data_dir: str | None = None


class Trainer(Protocol):
    """Trains a network on its data.

    A peer is a module `experiments.bench.peers.NAME` with `make(task) -> Trainer` and `NEEDS`, the
    pip names of the distributions that it imports. It refuses what it does not
    support, such as a dtype or a number of devices, with a `NotImplementedError` that explains it.
    """

    def prepare(self) -> dict[str, float]:
        """Compile all that `steps` needs; return the seconds of "trace" and of "compile".

        Both are 0 where a framework does not separate them from running.
        """
        ...

    def steps(self, n: int) -> float:
        """Train n steps on shuffled batches, wait until they are done, and return the last loss."""
        ...

    def accuracy(self) -> float:
        """The fraction of the test images that are classified correctly."""
        ...

    def epoch(self) -> None:
        """Train one epoch without the last, smaller batch. Wait until it is done."""
        ...
