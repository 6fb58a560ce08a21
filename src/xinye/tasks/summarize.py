"""The task `summarize`."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from xinye.data.notes import Notes, place_of
from xinye.data.sources import read_records
from xinye.runs.words import Both, TaskWords
from xinye.tasks.records import OnBad, each_record, refuse_line
from xinye.tasks.summarize_records import SOURCES, TARGETS, left_out, named_rows, oddities
from xinye.tasks.writing import WRITTEN, Writing
from xinye.tasks.writing_records import Record


class Summarize(Writing):
    verb = "summarize"
    sources = SOURCES
    targets = TARGETS
    words = TaskWords(figures=WRITTEN, unit="tokens", has_labels=False)

    @classmethod
    def read_file(
        cls, path: Path, on_bad: OnBad, notes: Notes, **columns: str | None
    ) -> Iterator[Record]:
        named = [name for name in columns.values() if name]
        rows = read_records(path, refuse_line(on_bad), named, notes=notes)
        placed = [(place_of(path, line), row) for line, row in rows]
        placed, columns = named_rows(path, placed, columns, notes)
        return each_record(placed, partial(cls.record, notes=notes, **columns), on_bad)

    @classmethod
    def record(cls, row: Any, place: str, notes: Notes, **columns: str | None) -> Record | None:
        record = super().record(row, place, notes, **columns)
        if why := left_out(*record.contents):
            notes.add(place, why)
            return None
        for odd in oddities(*record.contents):
            notes.add(place, odd)
        return record
