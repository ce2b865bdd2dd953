"""Finds the classes and their files in a folder."""

import os
from pathlib import Path

from jaxnets.errors import DataError
from jaxnets.messages import printable

IGNORED = {"thumbs.db", "desktop.ini", "__macosx"}  # by file managers, like hidden files
SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation"}
SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"}


def class_folders(where: str, folder: str | os.PathLike[str]) -> dict[str, list[Path]]:
    """The files of each class, sorted by name.

    Raises:
      DataError: there is no such folder, it has fewer than two classes, one of them has no files,
        or it holds images next to them; the message says how to arrange them.
    """
    root = _as_folder(where, folder)
    entries = _visible(root)
    folders = [path for path in entries if path.is_dir()]
    _refuse_splits(where, root, folders)
    loose = [path.name for path in entries if path.suffix.lower() in SUFFIXES and path.is_file()]
    if loose or len(folders) < 2:
        got = f"{len(loose)} images next to them, such as {loose[0]}" if loose else "no folders"
        if folders and not loose:
            got = f"only {folders[0].name}"
        raise DataError(
            f"{where} expects one folder per class, at least two, in {printable(root)}, but got "
            f"{printable(got)}; put the images of each class into a folder with its name"
        )
    files = {_name(where, path): _files(path) for path in folders}
    if empty := [name for name, inside in files.items() if not inside]:
        raise DataError(
            f"{where} expects images in each class's folder, but got none in {printable(empty)} "
            f"of {printable(root)}; add images or remove the folder"
        )
    return files


def _refuse_splits(where: str, root: Path, folders: list[Path]) -> None:
    """Raise if the folders are a training and a test part, each with one folder per class."""
    parts = [path for path in folders if path.name.lower() in SPLITS]
    if not parts or any(path.is_file() for part in parts for path in _visible(part)):
        return
    first = next((path for path in parts if path.name.lower().startswith("train")), parts[0])
    other = next((path for path in parts if path is not first), root / "test")
    raise DataError(
        f"{where} expects one folder per class, but {printable(root)} holds the splits "
        f"{printable(', '.join(path.name for path in parts))}; pass {where}"
        f'("{printable(first)}", test="{printable(other)}")'
    )


def _visible(folder: Path) -> list[Path]:
    """The entries of a folder that are not hidden, sorted by name."""
    return sorted(path for path in folder.iterdir() if not _is_hidden(path.name))


def _as_folder(where: str, folder: str | os.PathLike[str]) -> Path:
    if not isinstance(folder, str | os.PathLike):
        raise DataError(f"{where} expects the path of a folder, but got {folder!r}")
    root = Path(os.path.expanduser(folder)).absolute()
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise DataError(f"{where} expects a folder, but {printable(root)} {what}; pass another")
    return root


def _name(where: str, path: Path) -> str:
    """The name of a class; raises if it is not valid text, since it could not be saved."""
    try:
        path.name.encode()
    except UnicodeEncodeError:
        raise DataError(
            f"{where} expects names of classes in UTF-8, but got {os.fsencode(path.name)!r}; "
            "rename the folder"
        ) from None
    return path.name


def _files(folder: Path) -> list[Path]:
    paths = []
    for parent, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        paths += [Path(parent, name) for name in files if not _is_hidden(name)]
    return sorted(paths)


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.lower() in IGNORED
