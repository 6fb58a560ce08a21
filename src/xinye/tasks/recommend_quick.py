"""Reads ten million events in seconds: the columns of a plain table or a Parquet file, by pyarrow.

It reads only what is in order. For anything else it raises `Odd`, and the file is read row by row.
"""

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from xinye.data.archives import archive_of
from xinye.data.encodings import detect_encoding, open_as
from xinye.data.files import suffix_of
from xinye.data.notes import Notes
from xinye.data.tables import DELIMITERS, ERRORS, table_form
from xinye.tasks.recommend_columns import EventColumns
from xinye.tasks.recommend_events import (
    Block,
    Coded,
    Gathering,
    Part,
    id_of,
    out_of_range,
    rating_of,
)
from xinye.tasks.recommend_rows import Head, head_of
from xinye.tasks.recommend_times import of_integers, seconds_of

BLOCK_BYTES = 1 << 20  # pyarrow reads a dozen blocks and more ahead
BATCH_ROWS = 1 << 16
ENCODINGS = ("utf-8", "utf-8-sig", "gb18030")  # that a file may have to be read here


class Odd(Exception):
    """A file has something that only reading it row by row can explain."""


def read_quickly(path: Path, gathering: Gathering, notes: Notes) -> Part:
    """The events of one file. Raises `Odd` if it has to be read row by row."""
    suffix = suffix_of(path)
    if archive_of(path) or path.suffix.lower() == ".gz" or suffix not in (".parquet", *DELIMITERS):
        raise Odd
    noted = Notes()
    head = head_of(path, gathering.settings, noted)
    reader = _Reader(head.columns)
    part = Part(path)
    read = _of_parquet if suffix == ".parquet" else _of_table
    try:
        for batch in read(path, head):
            gathering.add(reader.block(batch), part)
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError):
        raise Odd from None
    if not part.rows or out_of_range(part.ratings):
        raise Odd
    for what, places in noted.places.items():
        for place in places:
            notes.add(place, what)
    part.form = reader.form
    head.note_unread(path, notes)
    return part


def _of_parquet(path: Path, head: Head) -> Iterator[Any]:
    with pyarrow.parquet.ParquetFile(path) as file:
        yield from file.iter_batches(BATCH_ROWS, columns=head.columns.used)


def _of_table(path: Path, head: Head) -> Iterator[Any]:
    """The batches of a table whose first line is the header."""
    encoding = detect_encoding(path)
    with open_as(path, encoding) as file:
        form = table_form(path, file)
        header = next(form.rows(islice(file, form.above, None)))
    if head.line != 2 or form.above or header != head.names or encoding not in ENCODINGS:
        raise Odd
    quoted = form.rows.keywords.get("quoting") != csv.QUOTE_NONE
    if quoted:
        _check_quotes(path, form.delimiter)
    used = head.columns.used
    yield from pyarrow.csv.open_csv(
        path,
        pyarrow.csv.ReadOptions(
            block_size=BLOCK_BYTES,
            skip_rows=1,
            column_names=header,
            encoding="utf8" if encoding.startswith("utf-8") else encoding,
        ),
        pyarrow.csv.ParseOptions(
            delimiter=form.delimiter,
            quote_char='"' if quoted else False,
        ),
        pyarrow.csv.ConvertOptions(
            include_columns=used,
            column_types=dict.fromkeys(used, pyarrow.string()),
            strings_can_be_null=False,
        ),
    )


def _check_quotes(path: Path, delimiter: str) -> None:
    """Raises `Odd` if quotation marks are anything but a pair around a cell of one line. pyarrow
    takes one that is never closed for the begin of a cell that holds the rest of the file."""
    cell = rb'(?:"(?:[^"]|"")*+"|[^"%s]*+)' % re.escape(delimiter.encode())
    row = re.compile(rb"%s(?:%s%s)*+\r?\n?" % (cell, re.escape(delimiter.encode()), cell))
    with path.open("rb") as file:
        rows = islice(file, 1, None)  # the header was read by itself
        if not all(row.fullmatch(line) for line in rows if b'"' in line):
            raise Odd


@dataclass
class _Reader:
    """Turns batches of one file into blocks. `form` is the format of the times."""

    columns: EventColumns
    form: str = ""

    def block(self, batch: Any) -> Block:
        """The events of a batch. Raises `Odd` or `ValueError` for whatever is not in order."""
        columns = self.columns
        return Block(
            _ids(batch.column(columns.user), columns.user),
            _ids(batch.column(columns.item), columns.item),
            self._times(batch.column(columns.time)) if columns.time else None,
            _kinds(batch.column(columns.event)) if columns.event else None,
            _ratings(batch.column(columns.rating)) if columns.rating else None,
        )

    def _times(self, column: Any) -> np.ndarray:
        if pyarrow.types.is_temporal(column.type):
            column = column.cast(pyarrow.timestamp("us", getattr(column.type, "tz", None)))
            seconds, form = column.cast(pyarrow.int64()).to_numpy(False) / 1e6, "dates"
        else:
            seconds, form = _seconds(column)
        if np.isnan(seconds).any() or (self.form and form != self.form):
            raise Odd
        self.form = form
        return seconds


def _seconds(column: Any) -> tuple[np.ndarray, str]:
    try:
        kinds = pyarrow.types
        is_text = kinds.is_string(column.type) or kinds.is_large_string(column.type)
        if is_text and pc.any(pc.match_substring(column, "x", ignore_case=True)).as_py():
            raise Odd  # such as 0x5
        numbers = column.cast(pyarrow.int64())
    except pyarrow.ArrowInvalid:
        found = None
    else:
        if numbers.null_count:
            raise Odd
        found = of_integers(numbers.to_numpy())
    if found:
        return found
    codes, values = _distinct(column)
    times = [seconds_of(str(value)) for value in values]
    forms = {time[1] if time else "" for time in times}
    if len(forms) != 1 or "" in forms:
        raise Odd
    return np.array([time[0] for time in times if time])[codes], forms.pop()


def _distinct(column: Any) -> tuple[np.ndarray, list[Any]]:
    """The number of each row's value, (E,), and the different values."""
    if column.null_count:
        raise Odd
    if not pyarrow.types.is_dictionary(column.type):
        column = pc.dictionary_encode(column)
    return column.indices.to_numpy(), column.dictionary.to_pylist()


def _ids(column: Any, name: str) -> Coded:
    codes, values = _distinct(column)
    ids = [id_of(value) for value in values]
    # a header that appears again, and the errors of a spreadsheet
    if name in ids or not ERRORS.isdisjoint(ids):
        raise Odd
    return Coded(codes, ids)


def _kinds(column: Any) -> Coded:
    codes, values = _distinct(column)
    return Coded(codes, [str(value).strip() for value in values])


def _ratings(column: Any) -> np.ndarray:
    """The ratings, (E,) float64, NaN where there is none."""
    if pyarrow.types.is_floating(column.type) or pyarrow.types.is_integer(column.type):
        ratings = column.cast(pyarrow.float64()).fill_null(np.nan).to_numpy(False)
        if np.isinf(ratings).any():
            raise Odd
        return ratings
    codes, values = _distinct(column)
    return np.array([rating_of(value) for value in values])[codes]
