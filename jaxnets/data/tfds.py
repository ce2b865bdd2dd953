"""Reads and prepares TensorFlow Datasets in array_record format, without TensorFlow.

For a missing data set TFDS tries the network for minutes, so it is called only if the data set's
`dataset_info.json` exists. TFDS shuffles the rows, so their order differs from the IDX files'.
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
BLOCK = 1_000  # rows per read; reading single rows takes three times as long


def read(published: Published, folder: Path) -> Dataset:
    """The data set prepared in a TFDS folder.

    Raises Absent if there is none, DataError if it cannot be read.
    """
    where = folder / published.name / VERSION
    if not os.path.isfile(where / "dataset_info.json"):
        raise Absent(f"{printable(where)}: nothing prepared by TFDS (no dataset_info.json)")
    cure = "Delete it to prepare it again in array_record format, or choose another folder."
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
    """Write a data set to a TFDS folder, with TFDS's builder for it.

    Raises DataError if it cannot be written.
    """
    failure = f"{dataset.name} cannot be prepared in {printable(folder)}"
    with _as_data_error(failure, "Pass a writable data_dir."):
        builder = _builder_of(dataset)(data_dir=folder, file_format="array_record")
        with contextlib.redirect_stdout(sys.stderr):  # as for TFDS's progress bars
            builder.download_and_prepare()


def _builder_of(dataset: Dataset) -> Any:
    """TFDS's builder class of a data set, which reads arrays instead of downloading files."""
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
                # As an Image, since TFDS encodes arrays with TensorFlow.
                yield row, {"image": Image.fromarray(x[..., 0]), "label": int(y)}

    return FromArrays


@contextlib.contextmanager
def _as_data_error(failure: str, cure: str) -> Iterator[None]:
    """Convert any error of TFDS to a DataError; its errors have no common base class."""
    try:
        yield
    except ImportError as error:
        packages = "tensorflow-datasets array-record pillow importlib_resources"
        raise DataError(f"{failure}: {error}. Run `pip install {packages}`.") from error
    except Exception as error:
        reason = printable(f"{type(error).__name__}: {error}")
        raise DataError(f"{failure}. {cure} ({reason})") from error
