"""The places a data set may come from, and the order in which they are asked."""

import contextlib
import difflib
import importlib.resources
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from jaxnets.data import download, files, tfds
from jaxnets.data.catalogue import CATALOGUE, Published
from jaxnets.data.dataset import Absent, Dataset
from jaxnets.errors import DataError
from jaxnets.files import user_cache
from jaxnets.messages import printable

DEBIAN = Path("/usr/share/datasets")
Source = Callable[[Published, Path | None], Dataset]  # raises Absent if it does not have the set
Option = TypeVar("Option")


def load(
    name: str, *, data_dir: str | os.PathLike[str] | None = None, source: str | None = None
) -> Dataset:
    """Load "mnist" or "fashion_mnist": 60,000 training and 10,000 test images, 28 x 28, 10 classes.

    The first to have the set, asked in this order, gives it:

    - `data_dir`, else the environment variable `JAXNETS_DATA_DIR`: your own copy as the four IDX
      files, raw or .gz, in a subfolder named like the set, in the folder itself, or where PyTorch
      leaves them ("MNIST/raw"); or what TFDS prepared there. If `data_dir` lacks the set, that is
      an error; `JAXNETS_DATA_DIR` is passed over. A folder that does not exist, or holds but some
      of the files, is an error in both.
    - The files packaged with jaxnets (MNIST); those of Debian's `dataset-fashion-mnist`; those
      downloaded before into `~/.cache/jaxnets` (`XDG_CACHE_HOME` is honoured); the mirrors.

    `source` asks one alone: "idx" (the four files in the folder), "tfds" (prepared in the folder or
    in the cache, from any of the others if need be), "packaged", "debian" or "download".

    All but your own files must be, bit for bit, what the authors published. Raises DataError.
    Sources: LeCun, Cortes & Burges 1998; Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747.
    """
    published = _choose("data set", name, CATALOGUE)
    folder = _folder(data_dir)
    if source is None:
        return _first(IN_FOLDER if data_dir is not None else ANYWHERE, published, folder)
    chosen = _choose("source", source, SOURCES)
    if data_dir is not None and source not in ("idx", "tfds"):
        raise DataError(f"The source {source!r} reads no data_dir; leave one of the two out.")
    return _first([chosen], published, folder)


def _choose(kind: str, name: str, options: Mapping[str, Option]) -> Option:
    if isinstance(name, str) and name in options:
        return options[name]
    close = difflib.get_close_matches(str(name).lower(), options, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise DataError(f"There is no {kind} {name!r}; choose from {', '.join(options)}.{hint}")


def _folder(data_dir: str | os.PathLike[str] | None) -> Path | None:
    named = data_dir if data_dir is not None else os.environ.get("JAXNETS_DATA_DIR")
    if not named:
        return None
    if not isinstance(named, str | os.PathLike):
        raise DataError(f"data_dir should be the path of a folder, but is {named!r}.")
    folder = Path(os.path.expanduser(named))
    if not os.path.isdir(folder):
        by = "data_dir" if data_dir is not None else "the environment variable JAXNETS_DATA_DIR"
        raise DataError(
            f"{printable(folder)}, named by {by}, is no folder: make it, or name another."
        )
    return folder


def _first(asked: Sequence[Source], published: Published, folder: Path | None) -> Dataset:
    misses = []
    for source in asked:
        try:
            return source(published, folder)
        except Absent as miss:
            misses.append(f"  {miss}")
    places = "\n".join(dict.fromkeys(misses))
    wanted = "\n".join(f"  {file.gz_name}  SHA-256 {file.gz_sha256}" for file in published.files)
    raise DataError(
        f"{published.name} was not found in\n{places}\n"
        "Put these four files, as they are or unpacked, into a folder, and name it by data_dir or "
        f"by the environment variable JAXNETS_DATA_DIR:\n{wanted}"
    )


def from_idx(published: Published, folder: Path | None) -> Dataset:
    """A person's own four files in the folder."""
    folder = _given(folder)
    folders = [*(folder / name for name in published.folders), folder]
    folders += [folder / published.torch_folder / "raw", folder / "raw"]
    return files.read_own(published, files.locate(published, dict.fromkeys(folders)))


def from_prepared(published: Published, folder: Path | None) -> Dataset:
    """What TFDS prepared in the folder."""
    return tfds.read(published, _given(folder))


def _given(folder: Path | None) -> Path:
    if folder is None:
        raise Absent("a folder of your own: neither data_dir nor JAXNETS_DATA_DIR is set")
    return folder


def from_tfds(published: Published, folder: Path | None) -> Dataset:
    """What TFDS prepared in the folder, or in the cache; prepared now if it was not before."""
    target = folder or _cache("tfds")
    with contextlib.suppress(Absent):
        return tfds.read(published, target)
    tfds.prepare(_first(AS_IDX, published, folder), target)
    return tfds.read(published, target)


def from_package(published: Published, folder: Path | None) -> Dataset:
    """The published files that jaxnets itself brings."""
    del folder
    packaged = importlib.resources.files("jaxnets.data") / published.name
    with importlib.resources.as_file(packaged) as inside:
        return files.read_published(
            published,
            files.locate(published, [inside]),
            source="packaged with jaxnets",
            cure="Install jaxnets again.",
        )


def from_debian(published: Published, folder: Path | None) -> Dataset:
    """The published content as Debian installs it."""
    del folder
    paths = files.locate(published, [DEBIAN / name for name in published.folders])
    return files.read_published(
        published,
        paths,
        source=f"installed by Debian in {printable(paths[0].parent)}",
        cure="Install Debian's package again.",
    )


def from_download(published: Published, folder: Path | None) -> Dataset:
    """The published files out of the cache, each downloaded into it if it is not there."""
    del folder
    cache = _cache(published.name)
    for file in published.files:
        if files.path_of(file, cache) is None:
            try:
                download.fetch(file, published.mirrors, cache)
            except ConnectionError as error:  # where one file fails the other three would: stop
                reason = f"{printable(cache)}, nor can it be downloaded: {error}"
                raise Absent(reason) from error
    return files.read_published(
        published,
        files.locate(published, [cache]),
        source=f"downloaded to {printable(cache)}",
        cure="Delete this file to have it downloaded again.",
    )


def _cache(name: str) -> Path:
    try:
        return user_cache() / name
    except OSError as error:
        raise Absent(f"the cache: {error}") from None


IN_FOLDER = (from_idx, from_prepared)
AS_IDX = (from_idx, from_package, from_debian, from_download)
ANYWHERE = (*IN_FOLDER, from_package, from_debian, from_download)
SOURCES: dict[str, Source] = {
    "idx": from_idx,
    "tfds": from_tfds,
    "packaged": from_package,
    "debian": from_debian,
    "download": from_download,
}
