"""Tables of the user, read from files within bounds."""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from jaxnets.data.readers.columns import read_table
from jaxnets.errors import DataError
from jaxnets.files import atomic_write, regular_file
from jaxnets.messages import printable
from jaxnets.playground.options import NAME, OptionsError
from jaxnets.playground.user_table import usable, usual_task

BYTES, COLUMNS, TABLES = 2**20, 100, 8  # at most: bytes and columns of a table; tables kept
SUFFIXES = (".csv", ".tsv", ".txt")


class Table(NamedTuple):
    """A table that was read.

    Attributes:
      name: of its file, as it was chosen.
      path: of the copy.
      tasks: by the name of each column that can be predicted, the usual task.
      numbers: the names of the columns that can be a coordinate.
      left_out: the names of the columns that cannot be used.
    """

    name: str
    path: Path
    tasks: dict[str, str]
    numbers: tuple[str, ...]
    left_out: tuple[str, ...]

    def describe(self) -> dict[str, Any]:
        """What the page shows of it."""
        return {name: value for name, value in self._asdict().items() if name != "path"}

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Convert errors of the data to those of settings, with the name that the user knows."""
        try:
            yield
        except DataError as error:
            message = str(error).replace(printable(self.path), self.name)
            raise OptionsError(message.replace("from_table", "the playground", 1)) from None


class Tables(Mapping[str, Table]):
    """The tables of a server, at most 8, by name; their files are copies that it owns."""

    def __init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.tables: dict[str, Table] = {}
        self.added = 0

    def __getitem__(self, name: str) -> Table:
        return self.tables[name]

    def __iter__(self) -> Iterator[str]:
        return iter([*self.tables])

    def __len__(self) -> int:
        return len(self.tables)

    @property
    def path(self) -> Path:
        """The folder of the files."""
        return Path(self.folder.name)

    def close(self) -> None:
        """Delete the files."""
        self.folder.cleanup()

    def open(self, path: Path) -> Table:
        """Add the table in a file.

        Raises:
          OptionsError: it cannot be read or used.
        """
        try:
            with regular_file(path) as file:
                content = file.read(BYTES + 1)
        except OSError as error:
            reason = error.strerror or error
            raise OptionsError(
                f"the playground cannot read {printable(path)}: {printable(reason)}; choose another"
            ) from None
        return self.add(path.name, content)

    def add(self, name: str, content: bytes) -> Table:
        """Add the table with this content, instead of the one of this name or the oldest.

        Raises:
          OptionsError: it cannot be read or used.
        """
        shown = printable(name)[:NAME]
        suffix = Path(name).suffix.lower()
        if suffix not in SUFFIXES or len(name) > NAME or not name.isprintable():
            raise OptionsError(
                f"the playground expects a file that ends in {', '.join(SUFFIXES)}, with a name of "
                f"at most {NAME} characters, but got {shown}; save it as CSV"
            )
        if len(content) > BYTES:
            raise OptionsError(
                f"the playground expects a file of at most {BYTES} bytes, but {shown} has more; "
                "save a part of its rows"
            )
        self.added += 1
        path = self.path / f"{self.added}{suffix}"  # no path of a request
        with atomic_write(path) as file:
            file.write(content)
        try:
            table = _read(name, path)
        except OptionsError:
            path.unlink()
            raise
        old = self.tables.pop(name, None)
        if len(self.tables) >= TABLES:
            old = self.tables.pop(next(iter(self.tables)))
        self.tables[name] = table
        if old is not None:
            old.path.unlink(missing_ok=True)
        return table


def _read(name: str, path: Path) -> Table:
    table = Table(name, path, {}, (), ())
    with table.errors():
        columns = read_table("the playground", path)
        names = [*columns.columns]
        if not 2 <= len(names) <= COLUMNS:
            raise DataError(
                f"the playground expects 2 to {COLUMNS} columns, but {name} has {len(names)}; "
                "leave some out, or add one"
            )
        if (longest := max(map(len, names))) > NAME:
            raise DataError(
                f"the playground expects names of columns of at most {NAME} characters, but {name} "
                f"has one of {longest}; shorten it"
            )
        kinds = usable(columns)
        tasks = {name: usual_task(*kind) for name, kind in kinds.items()}
        if len(kinds) < 2:
            raise DataError(
                "the playground expects two columns of numbers, categories or true and false, but "
                f"{name} has {len(kinds)}; dates, identifiers and constant columns do not count"
            )
    numbers = tuple(name for name, (kind, _) in kinds.items() if kind != "category")
    return Table(name, path, tasks, numbers, tuple(n for n in names if n not in kinds))
