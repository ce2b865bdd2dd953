"""What a benchmark measures, and what a peer gives to be measured."""

from typing import NamedTuple, Protocol


class Task(NamedTuple):
    """One measurement's setting."""

    case: str
    batch_size: int
    dtype: str
    devices: int
    seed: int
    data_dir: str | None


class Trainer(Protocol):
    """A network with its data, to be trained."""

    def prepare(self) -> dict[str, float]:
        """Seconds to "trace" and to "compile"; after it `steps` is warm."""
        ...

    def steps(self, n: int) -> float:
        """Train n steps on shuffled batches, wait until they are done, return the last loss."""
        ...

    def accuracy(self) -> float:
        """The share of test images that are classified rightly."""
        ...

    def epoch(self) -> None:
        """Train one epoch; the last partial batch is dropped."""
        ...
