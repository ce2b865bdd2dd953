"""TensorFlow Datasets on disk, read and prepared without TensorFlow, in its array_record format.

Asked for a set it does not have, TFDS tries the network for minutes; so it is asked only where its
`dataset_info.json` lies. Its rows come shuffled, in another order than those of the IDX files.
"""

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxnets.data.catalogue import Published
from jaxnets.data.dataset import Absent, Dataset, Split
from jaxnets.data.files import checked_split
from jaxnets.errors import DataError
from jaxnets.messages import printable

VERSION = "3.0.1"  # in TFDS, of mnist and of fashion_mnist
BLOCK = 1_000  # rows read at once; one by one takes three times as long


def read(published: Published, folder: Path) -> Dataset:
    """The data set that was prepared under a TFDS folder.

    Raises Absent if none was, DataError if it cannot be read.
    """
    where = folder / published.name / VERSION
    if not os.path.isfile(where / "dataset_info.json"):
        raise Absent(f"{printable(where)}: nothing prepared by TFDS (no dataset_info.json)")
    cure = "Delete it to prepare it anew in array_record format, or name another folder."
    with _as_data_error(f"{printable(where)} cannot be read", cure):
        import tensorflow_datasets

        rows: Any = tensorflow_datasets.data_source(published.name, data_dir=folder, download=False)
        arrays = {split: _arrays(rows[split]) for split in ("train", "test")}
    return Dataset(
        train=checked_split(published, *arrays["train"], where=f"{where} (train)"),
        test=checked_split(published, *arrays["test"], where=f"{where} (test)"),
        name=published.name,
        source=f"TFDS array_record in {printable(where)}",
        checksums={
            f"{split}.{field} as an array": hashlib.sha256(array.data).hexdigest()
            for split, pair in arrays.items()
            for field, array in zip(Split._fields, pair, strict=True)
        },
        classes=published.classes,
    )


def _arrays(rows: Any) -> tuple[np.ndarray, np.ndarray]:
    blocks = (range(i, min(i + BLOCK, len(rows))) for i in range(0, len(rows), BLOCK))
    examples = [example for block in blocks for example in rows.__getitems__(block)]
    images = np.stack([example["image"][..., 0] for example in examples])
    return images, np.array([example["label"] for example in examples], np.int32)


def prepare(dataset: Dataset, folder: Path) -> None:
    """Write a data set under a TFDS folder, with TFDS's own builder of that name.

    Raises DataError if it cannot be written.
    """
    failure = f"{dataset.name} cannot be prepared in {printable(folder)}"
    with _as_data_error(failure, "Name a data_dir that can be written."):
        builder = _builder_of(dataset)(data_dir=folder, file_format="array_record")
        with contextlib.redirect_stdout(sys.stderr):  # where TFDS's progress bars go already
            builder.download_and_prepare()


def _builder_of(dataset: Dataset) -> Any:
    """TFDS's builder class of a data set, drawing on arrays in place of a download."""
    import tensorflow_datasets
    from PIL import Image

    class FromArrays(tensorflow_datasets.builder_cls(dataset.name), skip_registration=True):
        name = dataset.name

        def _split_generators(self, dl_manager: Any) -> dict[str, Iterator]:
            del dl_manager
            splits = {"train": dataset.train, "test": dataset.test}
            return {name: self._generate_examples(split) for name, split in splits.items()}

        def _generate_examples(self, split: Split) -> Iterator[tuple[int, dict[str, Any]]]:
            for row, (x, y) in enumerate(zip(*split, strict=True)):
                # As an Image, for TFDS encodes arrays with TensorFlow.
                yield row, {"image": Image.fromarray(x[..., 0]), "label": int(y)}

    return FromArrays


@contextlib.contextmanager
def _as_data_error(failure: str, cure: str) -> Iterator[None]:
    """Whatever TFDS raises, which shares no class of its own, as a DataError."""
    try:
        yield
    except ImportError as error:
        needed = "tensorflow-datasets array-record pillow importlib_resources"
        raise DataError(f"{failure}: {error}. Run `pip install {needed}`.") from error
    except Exception as error:
        reason = printable(f"{type(error).__name__}: {error}")
        raise DataError(f"{failure}. {cure} ({reason})") from error
