"""Records of JSON files, each with its line or its number, in bounded memory.

A record that cannot be read is given to `on_bad` (file, line, what is wrong), and reading goes on
behind it.
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

JSON_BLOCK = 1 << 16  # characters; for each error the decoder counts the lines of its block
LONGEST_LINE = 1 << 24  # characters of a list that is read to see what it is
_OF_A_MESSAGE = {"role", "content", "from", "value", "name", "weight"}
_SEVERAL = "the file holds JSON values one after the other, no array: each is read as a record"
_ARRAY = "the file is named JSON Lines, but holds a JSON array: each item is read as a record"
_VALUE = re.compile(r"[^\s,]")  # the first character of a value of JSON
# how JSON writes half of a character; mostly the other follows
_HALF = re.compile(r"\\u[dD][89a-fA-F]")


def _object(pairs: list[tuple[str, Any]]) -> Row:
    """An object of JSON. Raises `ValueError` where a key has two values: one would vanish."""
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
    """Raise `XinyeError` for a bad record: the default where a caller gives no `on_bad`."""
    raise XinyeError(f"{place_of(path, line)}: {problem}") from None


def json_lines(path: Path, on_bad: OnBad, notes: Notes) -> Records:
    """The records of a file of JSON lines; of one that is an array those that are in it."""
    with open_text(path) as file:
        if _begins_as(file) == "array":
            notes.add(str(path), _ARRAY)
            yield from _conversation_or_records(_values(path, file, on_bad, notes))
        else:
            yield from _lines(path, file, on_bad)


def json_records(path: Path, on_bad: OnBad, notes: Notes) -> Records:
    """The records of a .json file: an array, or one value after the other."""
    with open_text(path) as file:
        form = _begins_as(file)
        if form == "lists":
            notes.add(str(path), _SEVERAL)
            yield from _lines(path, file, on_bad)
        else:
            values = _values(path, file, on_bad, notes)
            yield from _conversation_or_records(values) if form else values


def _conversation_or_records(values: Records) -> Records:
    """The values of an array; where all are messages the one conversation that they are."""
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
    """Of a file that begins with a list: whether that is an "array" of records, or one of several
    "lists", one in each line, or the only "list", of texts or messages; "" where it begins
    otherwise."""
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
            record = _decoder.decode(line)
        except (ValueError, RecursionError) as error:
            problem = str(getattr(error, "msg", error)).removesuffix(" at")
            said = f"not valid JSON ({problem})"
            if column := getattr(error, "colno", None):
                said = f"not valid JSON ({problem} at column {column})"
            on_bad(path, number, said)
            continue
        if _HALF.search(line) and (reason := not_unicode(record)):
            on_bad(path, number, f"{reason}; correct it or delete it")
        else:
            yield number, record


@dataclass
class _JsonText:
    """A JSON file, of which a stretch is held: `position` is in it, `line` is that of the position,
    and `indent` stands before the last value that began a line.
    """

    file: TextIO
    text: str = ""
    position: int = 0
    line: int = 1
    indent: str = ""

    def go(self, to: int) -> None:
        self.line += self.text.count("\n", self.position, to)
        self.position = to

    def read_on(self, size: int = 0) -> bool:
        """Let go what lies before the position and read more; False at the end of the file."""
        more = self.file.read(max(JSON_BLOCK, size))
        if more:
            self.text = self.text[self.position :] + more
            self.position = 0
        return bool(more)

    def next(self) -> str:
        """Go on to the next value; its first character, or "" at the end of the file."""
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
        """The value at the position, which then is behind it, and why it is no Unicode text, ""
        where it is.

        Raises what the decoder raises, with the position where it is wrong.
        """
        while True:
            try:
                value, end = _decoder.raw_decode(self.text, self.position)
            except (ValueError, RecursionError) as error:
                at = max(self.position, getattr(error, "pos", 0))
                # Perhaps the block ended inside the record: read as much again, and
                # try anew.
                cut_off = at > len(self.text) - 16 or str(error).startswith("Unterminated")
                if cut_off and self.read_on(len(self.text) - self.position):
                    continue
                self.go(at)
                raise
            half = _HALF.search(self.text, self.position, end)
            self.go(end)
            return value, not_unicode(value) if half else ""

    def find(self, words: str) -> bool:
        """Go on to the next place of these words; False where there is none."""
        while (at := self.text.find(words, self.position)) < 0:
            self.go(max(self.position, len(self.text) - len(words)))
            if not self.read_on():
                return False
        self.go(at)
        return True


def _values(path: Path, file: TextIO, on_bad: OnBad, notes: Notes) -> Records:
    """The values of an array, or one after the other. Where the first stands in the line that
    opens the array they are counted, else they have their lines.

    Behind a bad one it goes on at the next line that begins as that one did, indented like it.
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
            on_bad(path, line, f"not valid JSON ({getattr(error, 'msg', error)})")
            begin = first if first in "{[" else "{"
            if not json_text.find(f"\n{json_text.indent}{begin}"):
                return
            continue
        if problem:
            on_bad(path, line, f"{problem}; correct it or delete it")
        else:
            yield line, record
    if in_array and not first:
        line = RecordNumber(number + 1) if number and counted else json_text.line
        on_bad(path, line, "the file ends inside its array; download it again")
    elif (json_text.text[json_text.position + 1 :] + file.read(JSON_BLOCK)).strip():
        on_bad(
            path,
            json_text.line,
            "there is more after the array; delete it, or write one array per line",
        )
