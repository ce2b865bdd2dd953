"""What the harness and a peer agree on: the work to do, and how to ask for it."""

from typing import NamedTuple, Protocol


class Task(NamedTuple):
    """One measurement's setting; JSON can hold it.

    Attributes:
      case: a name in `cases.CASES`.
      batch_size: examples a step.
      dtype: "float32", or "bfloat16" for mixed precision: parameters, optimizer and loss stay
        float32.
      devices: over how many devices a batch is divided.
      members: how many networks are trained together, on the same batches, each from weights of
        its own; more than one in the case "population" alone.
      epochs: over how many the learning rate decays to zero, by half a cosine; None leaves it as it
        is.
      seed: decides the weights, the order, and all chance.
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
    """A network with its data, to be trained.

    A peer is a module `experiments.bench.peers.NAME` with `make(task) -> Trainer` and `NEEDS`, the
    names of the distributions that it imports, as pip knows them. What it cannot do at all, such
    as a dtype or a number of devices, it refuses by a `NotImplementedError` that says so.
    """

    def prepare(self) -> dict[str, float]:
        """Make `steps` warm; return the seconds of "trace" and of "compile".

        Both are 0 where a framework does not tell them apart from running.
        """
        ...

    def steps(self, n: int) -> float:
        """Train n steps on shuffled batches, wait until they are done, return the last loss."""
        ...

    def accuracy(self) -> float:
        """The share of the test images that are classified rightly."""
        ...

    def epoch(self) -> None:
        """Train one epoch; the last, smaller batch is left out. Wait until it is done."""
        ...
