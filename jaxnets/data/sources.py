"""Sources of a data set, and the order in which they are tried."""

import contextlib
import difflib
import importlib.resources
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from jaxnets.data import download, files, tfds
from jaxnets.data.catalogue import CATALOGUE, Published
from jaxnets.data.dataset import Absent, Dataset, data_folder
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

    Tries these sources in order:

    - `data_dir`, or the environment variable `JAXNETS_DATA_DIR`: your own copy of the four IDX
      files, raw or .gz, in a subfolder named like the data set, in the folder itself, or where
      PyTorch puts them ("MNIST/raw"); or a data set prepared by TFDS. It is an error if `data_dir`
      does not contain the data set; if `JAXNETS_DATA_DIR` does not, the next source is tried. A
      folder that does not exist, or contains only some of the files, is an error in both cases.
    - The files packaged with jaxnets (MNIST); those of Debian's `dataset-fashion-mnist`; the cache
      of downloads in `~/.cache/jaxnets` or in `XDG_CACHE_HOME`; the mirrors.

    `source` selects a single one: "idx" (the four files in the folder), "tfds" (in the folder or
    the cache; prepared from another source if necessary), "packaged", "debian" or "download".

    The SHA-256 of the content is verified, except for your own files and those of TFDS.

    Raises:
      DataError: no source has the data set, or a file is incomplete or damaged.

    Sources: LeCun, Cortes & Burges 1998; Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747.
    """
    published = _choose("data set", name, CATALOGUE)
    folder = data_folder(data_dir)
    if source is None:
        return _first(IN_FOLDER if data_dir is not None else ANYWHERE, published, folder)
    function = _choose("source", source, SOURCES)
    if data_dir is not None and source not in ("idx", "tfds"):
        raise DataError(f"The source {source!r} does not use data_dir; omit one of the two.")
    return _first([function], published, folder)


def _choose(kind: str, name: str, options: Mapping[str, Option]) -> Option:
    if isinstance(name, str) and name in options:
        return options[name]
    close = difflib.get_close_matches(str(name).lower(), options, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    raise DataError(f"There is no {kind} {name!r}; choose from {', '.join(options)}.{hint}")


def _first(sources: Sequence[Source], published: Published, folder: Path | None) -> Dataset:
    misses = []
    for source in sources:
        try:
            return source(published, folder)
        except Absent as miss:
            misses.append(f"  {miss}")
    places = "\n".join(dict.fromkeys(misses))
    checksums = "\n".join(f"  {file.gz_name}  SHA-256 {file.gz_sha256}" for file in published.files)
    raise DataError(
        f"{published.name} was not found in\n{places}\n"
        "Put these four files, gzipped or unpacked, into a folder, and pass it as data_dir or set "
        f"the environment variable JAXNETS_DATA_DIR:\n{checksums}"
    )


def from_idx(published: Published, folder: Path | None) -> Dataset:
    """A user's four IDX files in the folder."""
    folder = _require(folder)
    folders = [*(folder / name for name in published.folders), folder]
    folders += [folder / published.torch_folder / "raw", folder / "raw"]
    return files.read_user_files(published, files.locate(published, dict.fromkeys(folders)))


def from_prepared(published: Published, folder: Path | None) -> Dataset:
    """A data set in the folder that was prepared by TFDS."""
    return tfds.read(published, _require(folder))


def _require(folder: Path | None) -> Path:
    if folder is None:
        raise Absent("your own folder: neither data_dir nor JAXNETS_DATA_DIR is set")
    return folder


def from_tfds(published: Published, folder: Path | None) -> Dataset:
    """A TFDS data set in the folder or in the cache, which is prepared if it is missing."""
    target = folder or _cache("tfds")
    with contextlib.suppress(Absent):
        return tfds.read(published, target)
    tfds.prepare(_first(AS_IDX, published, folder), target)
    return tfds.read(published, target)


def from_package(published: Published, folder: Path | None) -> Dataset:
    """The files packaged with jaxnets."""
    del folder
    resource = importlib.resources.files("jaxnets.data") / published.name
    with importlib.resources.as_file(resource) as packaged:
        return files.read_published(
            published,
            files.locate(published, [packaged]),
            source="packaged with jaxnets",
            cure="Reinstall jaxnets.",
        )


def from_debian(published: Published, folder: Path | None) -> Dataset:
    """The files installed by Debian's package."""
    del folder
    paths = files.locate(published, [DEBIAN / name for name in published.folders])
    return files.read_published(
        published,
        paths,
        source=f"installed by Debian in {printable(paths[0].parent)}",
        cure="Reinstall Debian's package.",
    )


def from_download(published: Published, folder: Path | None) -> Dataset:
    """The files in the cache, each downloaded if it is missing."""
    del folder
    cache = _cache(published.name)
    for file in published.files:
        if files.path_of(file, cache) is None:
            try:
                download.fetch(file, published.mirrors, cache)
            except ConnectionError as error:  # the other files would fail too
                reason = f"{printable(cache)}, and the download failed: {error}"
                raise Absent(reason) from error
    return files.read_published(
        published,
        files.locate(published, [cache]),
        source=f"downloaded to {printable(cache)}",
        cure="Delete this file to download it again.",
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
