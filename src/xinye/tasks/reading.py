"""How a task reads its records from files."""

from abc import ABC
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from xinye.data.files import RECORD_SUFFIXES, find_records
from xinye.data.notes import Notes, place_of
from xinye.data.sources import headerless, read_records
from xinye.data.spreadsheets import note_no_workbook
from xinye.errors import XinyeError
from xinye.tasks.bad_records import Refused
from xinye.tasks.records import OnBad, each_record, refuse, refuse_line


class ReadsRecords(ABC):
    """The part of a task that reads records. Most tasks override only `record`, which makes one of
    a row."""

    verb: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = RECORD_SUFFIXES  # suffixes of files with records

    @classmethod
    def read(
        cls,
        files: Sequence[str],
        on_bad: OnBad = refuse,
        notes: Notes | None = None,
        **columns: str | None,
    ) -> list[Any]:
        """The records of files.

        What cannot be read is passed to `on_bad` as an error with file, line and field. `notes`
        report what was left out or read differently. `columns` are the column settings that the
        task uses. Raises `XinyeError` for a file without records."""
        notes = notes or Notes()
        records: list[Any] = []
        for path in cls.find_files(files, notes):
            note_no_workbook(path, notes)
            refused = Refused(path, on_bad)
            try:
                found = list(cls.read_file(path, refused.add, notes, **columns))
            # the notes may explain the error, such as another sheet or header
            except XinyeError as error:
                raise XinyeError(f"{error}{notes.of_file(path)}") from None
            if not found:
                nothing = XinyeError(f"{path}: no records in it{notes.of_file(path)}")
                raise next(iter(refused.errors), nothing)
            refused.check(len(found), notes)
            records += found
        return records

    @classmethod
    def find_files(cls, names: Iterable[str], notes: Notes | None = None) -> list[Path]:
        """The record files that names, folders, archives and globs stand for."""
        notes = notes or Notes()
        found = (find_records(name, cls.suffixes, notes, cls.is_record) for name in names)
        return [path for files in found for path in files]

    @classmethod
    def is_record(cls, text: Path) -> bool:
        """True if a text file next to tables and JSON holds records and is not a README."""
        return False

    @classmethod
    def read_file(
        cls, path: Path, on_bad: OnBad, notes: Notes, **columns: str | None
    ) -> Iterator[Any]:
        """The records of one file of any kind."""
        named = [name for name in columns.values() if name]
        rows = read_records(path, refuse_line(on_bad), named, notes=notes)
        placed: Iterable[tuple[str, Any]] = ((place_of(path, line), row) for line, row in rows)
        placed, columns = cls.with_names(path, placed, columns, notes)
        read: Callable[..., Any] = partial(cls.record, notes=notes)
        return each_record(placed, partial(read, **columns), on_bad)

    @classmethod
    def with_names(
        cls,
        path: Path,
        rows: Iterable[tuple[str, Any]],
        columns: dict[str, str | None],
        notes: Notes,
    ) -> tuple[Iterable[tuple[str, Any]], dict[str, str | None]]:
        """The rows of a file with their places, and the columns to read. A task that reads files
        whose columns have no names of its own finds them here."""
        return rows, columns

    @classmethod
    def record(cls, row: Any, place: str, notes: Notes) -> Any:
        """The record in a row, which is an object for tables and JSON.

        A task with `columns` also gets their values. Raises `XinyeError` if the row is not a
        record; returns None, with a note, if it is left out. A task that overrides `read_file` does
        not need this."""
        raise XinyeError(f"{place}: {cls.verb} does not read rows")

    @classmethod
    def without_header(cls, path: Path, **columns: str | None) -> str:
        """Why the first line of a table was read as a record, or "" if it was not."""
        return headerless(path, [name for name in columns.values() if name])
