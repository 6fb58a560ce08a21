"""Reads the records of JSON files, each with its line or number, in bounded memory.

A record that cannot be read is passed to `on_bad` (file, line, problem), and reading continues
after it.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from xinye.data.encodings import open_text
from xinye.data.notes import Notes, RecordNumber, place_of
from xinye.errors import XinyeError, not_unicode

Row = dict[str, Any]  # a record of a file: any JSON object

JSON_BLOCK = 1 << 16  # characters; to report an error, the decoder counts the lines of its block
CUT_OFF = "the file ends inside its array; download it again"
LONGEST_LINE = 1 << 24  # characters of a first line that are read to recognise the file's form
_OF_A_MESSAGE = {"role", "content", "from", "value", "name", "weight"}
_SEVERAL = "the file holds JSON values one after the other, no array: each is read as a record"
_ARRAY = "the file is named JSON Lines, but holds a JSON array: each item is read as a record"
_VALUE = re.compile(r"[^\s,]")  # the first character of a JSON value
# how JSON writes half of a character (a surrogate); normally the other half follows
_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def _object(pairs: list[tuple[str, Any]]) -> Row:
    """A JSON object. Raises `ValueError` if a key has two different values, because one would be
    lost.
    """
    row = dict(pairs)
    if len(row) < len(pairs):
        for name, value in pairs:
            if row[name] != value:
                raise ValueError(f"the key {name!r} has two values")
    return row


_decoder = json.JSONDecoder(object_pairs_hook=_object)

OnBad = Callable[[Path, int, str], None]
Records = Iterator[tuple[int, Any]]  # each with its line, or with a `RecordNumber`


def refuse(path: Path, line: int, problem: str) -> None:
    """Raises `XinyeError` for a bad record. This is the default `on_bad`."""
    raise XinyeError(f"{place_of(path, line)}: {problem}") from None


def json_lines(path: Path, on_bad: OnBad, notes: Notes) -> Records:
    """The records of a JSON Lines file. If the file is a JSON array instead, its items, with a
    note.
    """
    with open_text(path) as file:
        if _begins_as(file) == "array":
            notes.add(str(path), _ARRAY)
            yield from _conversation_or_records(_values(path, file, on_bad, notes))
        else:
            yield from _lines(path, file, on_bad)


def json_records(path: Path, on_bad: OnBad, notes: Notes) -> Records:
    """The records of a .json file, which is an array or a sequence of values."""
    with open_text(path) as file:
        form = _begins_as(file)
        if form == "lists":
            notes.add(str(path), _SEVERAL)
            yield from _lines(path, file, on_bad)
        else:
            values = _values(path, file, on_bad, notes)
            yield from _conversation_or_records(values) if form else values


def _conversation_or_records(values: Records) -> Records:
    """The values of an array. If all of them are messages, a single value: the conversation."""
    messages: list[tuple[int, Any]] = []
    for line, value in values:
        if not _is_message(value):
            yield from messages
            yield line, value
            yield from values
            return
        messages.append((line, value))
    if messages:
        yield messages[0][0], [message for _, message in messages]


def _is_message(value: Any) -> bool:
    if not isinstance(value, dict) or value.keys() - _OF_A_MESSAGE:
        return False
    return {"role", "content"} <= value.keys() or {"from", "value"} <= value.keys()


def _begins_as(file: TextIO) -> str:
    """How a file that begins with a list continues: "array" is an array of records, "lists" one
    list per line, and "list" a single list of texts or messages. It is "" for any other file.
    """
    long_lines = iter(lambda: file.readline(LONGEST_LINE), "")
    lines = (line.strip() for line in long_lines if not line.isspace())
    first = next(lines, "")
    form = "array" if first.startswith("[") else ""
    if form:
        with suppress(ValueError, RecursionError):
            values = _decoder.decode(first)
            if next(lines, ""):
                form = "lists"
            elif not all(
                isinstance(value, dict) and value.keys() - _OF_A_MESSAGE for value in values
            ):
                form = "list"
    file.seek(0)
    return form


def _lines(path: Path, file: TextIO, on_bad: OnBad) -> Records:
    for number, line in enumerate(file, 1):
        if line.isspace():
            continue
        try:
            record = json_line(line)
        except ValueError as error:
            on_bad(path, number, str(error))
        else:
            yield number, record


def json_line(line: str) -> Any:
    """The value in a line of JSON. Raises `ValueError` with what is wrong with it."""
    try:
        record = _decoder.decode(line)
    except (ValueError, RecursionError) as error:
        problem = str(getattr(error, "msg", error)).removesuffix(" at")
        message = f"not valid JSON ({problem})"
        if column := getattr(error, "colno", None):
            message = f"not valid JSON ({problem} at column {column})"
        raise ValueError(message) from None
    if _HALF.search(line) and (reason := not_unicode(record)):
        raise ValueError(f"{reason}; correct it or delete it")
    return record


@dataclass
class _JsonText:
    """A JSON file of which a part is in memory.

    `position` is an index into `text`, and `line` is the line in the file at that position.
    `indent` is the white space before the last value that began a line.
    """

    file: TextIO
    text: str = ""
    position: int = 0
    line: int = 1
    indent: str = ""

    def go(self, to: int) -> None:
        """Move to an index and count the lines on the way."""
        self.line += self.text.count("\n", self.position, to)
        self.position = to

    def read_on(self, size: int = 0) -> bool:
        """Drop the text before the position and read more. Returns False at the end of the file."""
        more = self.file.read(max(JSON_BLOCK, size))
        if more:
            self.text = self.text[self.position :] + more
            self.position = 0
        return bool(more)

    def next(self) -> str:
        """Move to the next value. Returns its first character, or "" at the end of the file."""
        gap = ""
        while not (found := _VALUE.search(self.text, self.position)):
            gap += self.text[self.position :]
            self.go(len(self.text))
            if not self.read_on():
                return ""
        gap += self.text[self.position : found.start()]
        if "\n" in gap:
            self.indent = gap.rpartition("\n")[2]
        self.go(found.start())
        return found[0]

    def record(self) -> tuple[Any, str]:
        """Read the value at the position and move behind it. Returns the value, and why it is not
        valid Unicode text, or "" if it is.

        Raises the decoder's errors, with the position at the error.
        """
        while True:
            try:
                value, end = _decoder.raw_decode(self.text, self.position)
            except (ValueError, RecursionError) as error:
                at = max(self.position, getattr(error, "pos", 0))
                # The block may have ended inside the record: read as much again and retry.
                cut_off = at > len(self.text) - 16 or str(error).startswith("Unterminated")
                if cut_off and self.read_on(len(self.text) - self.position):
                    continue
                self.go(at)
                raise
            half = _HALF.search(self.text, self.position, end)
            self.go(end)
            return value, not_unicode(value) if half else ""

    def find(self, words: str) -> bool:
        """Move to the next occurrence of `words`. Returns False if there is none."""
        while (at := self.text.find(words, self.position)) < 0:
            self.go(max(self.position, len(self.text) - len(words)))
            if not self.read_on():
                return False
        self.go(at)
        return True


def _values(path: Path, file: TextIO, on_bad: OnBad, notes: Notes) -> Records:
    """The values of an array or of a sequence. If the first one is on the line that opens the
    array, all of them have numbers instead of lines.

    After a bad value, reading continues at the next line that begins like it, with the same indent.
    """
    json_text = _JsonText(file)
    in_array = json_text.next() == "["
    opened = json_text.line
    json_text.position += in_array
    number = 0
    while (first := json_text.next()) and not (in_array and first == "]"):
        number += 1
        if number == 1:
            counted = in_array and json_text.line == opened
        line = RecordNumber(number) if counted else json_text.line
        if number == 2 and not in_array:
            notes.add(str(path), _SEVERAL)
        try:
            record, problem = json_text.record()
        except (ValueError, RecursionError) as error:
            line = line if counted else json_text.line
            begin = first if first in "{[" else "{"
            found = json_text.find(f"\n{json_text.indent}{begin}")
            whole = found or not in_array or json_text.text.rstrip().endswith("]")
            more = "" if whole else f": {CUT_OFF}"
            on_bad(path, line, f"not valid JSON ({getattr(error, 'msg', error)}){more}")
            if not found:
                return
            continue
        if problem:
            on_bad(path, line, f"{problem}; correct it or delete it")
        else:
            yield line, record
    if in_array and not first:
        line = RecordNumber(number + 1) if number and counted else json_text.line
        on_bad(path, line, CUT_OFF)
    elif (json_text.text[json_text.position + 1 :] + file.read(JSON_BLOCK)).strip():
        on_bad(
            path,
            json_text.line,
            "there is more after the array; delete it, or write one array per line",
        )
