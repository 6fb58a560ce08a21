"""Reads text files once in bounded memory, continues after errors, and collects what is in them.

Text is analysed about a million characters at a time. A place is one number: the index of the file,
and in the lower 40 bits the line.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from xinye.check.inspection import (
    CODE_POINTS,
    Lengths,
    excerpt,
    mojibake,
    printable,
)
from xinye.data.cleaning import Cleaning, clean
from xinye.data.duplicates import Copies, NearSample, code_points
from xinye.data.files import BINARY_SUFFIXES, file_size, suffix_of
from xinye.data.masking import starred, stars
from xinye.data.notes import Notes
from xinye.data.personal import KINDS, find_personal
from xinye.data.sources import PLAIN_SUFFIXES, Piece, detect_encoding, line_ends, read_pieces
from xinye.errors import XinyeError

BATCH = 1_000_000  # characters that are analysed together
LONG_LINE = 10_000  # characters; no paragraph is that long
LISTED = 1000  # listed problems of a kind; further ones are only counted
EXAMPLES = 5
PREVIEW = 300  # characters
SEPARATORS = ("<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>")


@dataclass(frozen=True)
class Noted:
    """A place in a file, and what was found there."""

    file: str
    line: int | None
    times: int | None = None
    masked: str | None = None
    problem: str | None = None
    text: str | None = None


@dataclass
class Found:
    """How often something was found, and the first places."""

    count: int = 0
    examples: list[Noted] = field(default_factory=list)

    def add(
        self, where: Callable[[], Noted], problem: str | None = None, masked: str | None = None
    ) -> None:
        """Count one more, with its place if there are few so far."""
        self.count += 1
        if len(self.examples) < LISTED:
            self.examples.append(replace(where(), problem=problem, masked=masked))

    def first(self) -> "Found":
        """The same count with the first few examples."""
        return Found(self.count, self.examples[:EXAMPLES])


@dataclass
class FoundInDocuments(Found):
    """How often something was found, in how many documents, and the first places."""

    documents: int = 0

    def first(self) -> "FoundInDocuments":
        return FoundInDocuments(self.count, self.examples[:EXAMPLES], self.documents)


@dataclass
class FileSeen:
    """A file and how it was read. `problems` counts what could not be read."""

    file: str
    format: str
    bytes: int
    encoding: str | None
    line_ends: dict[str, int]
    field: str | None  # the column that holds the text
    documents: int = 0
    characters: int = 0
    problems: int = 0


class Part(NamedTuple):
    """A part of a document that fits in a batch."""

    text: str
    place: int
    document: int  # its number
    short: bool  # True for a whole document that is checked for near duplicates


class Reading:
    """Everything that is collected while files are read."""

    def __init__(
        self,
        paths: Sequence[Path],
        field: str | None,
        separator: str | None,
        on_progress: Callable[[int], None],
        notes: Notes,
    ) -> None:
        self.paths, self.field, self.separator = paths, field, separator
        self.on_progress = on_progress
        self.files: list[FileSeen] = []
        self.notes = notes
        self.counts = np.zeros(CODE_POINTS, np.int64)
        self.documents, self.lines = Lengths(), Lengths()
        self.empty = self.characters = 0
        self.copies, self.near = Copies(), NearSample()
        self.bad_files, self.bad_records = Found(), Found()
        self.mojibake, self.long_lines = Found(), Found()
        self.personal = {kind: FoundInDocuments() for kind in KINDS}
        self.last_personal: dict[str, int] = {}  # the last document with a kind
        self.endless: Noted | None = None  # the place of a line that fills a whole batch
        self.separators: Counter[str] = Counter()
        # the first documents of each file, with the place as source
        self.beginnings: list[list[Piece]] = []
        self.batch: list[Part] = []
        self.lengths: list[int] = []  # lengths of the documents in the batch
        self.size = 0  # characters of the batch

    def texts(self) -> Iterator[str]:
        """The text of all files in pieces. Each piece is analysed on the way."""
        for number, path in enumerate(self.paths):
            suffix = suffix_of(path)
            seen = FileSeen(str(path), suffix[1:], file_size(path), None, {}, self.field)
            problems = self.bad_files.count + self.bad_records.count
            self.files.append(seen)
            self.beginnings.append([])
            try:
                if suffix not in BINARY_SUFFIXES:
                    seen.encoding = detect_encoding(path)
                    seen.line_ends = dict(line_ends(path, seen.encoding))
                for piece in self.pieces(number, path, seen):
                    seen.characters += len(piece.text)
                    yield piece.text
            except XinyeError as error:
                self.bad(path, None, str(error).removeprefix(f"{path}: "))
            seen.problems = self.bad_files.count + self.bad_records.count - problems
        self.look()

    def pieces(self, number: int, path: Path, seen: FileSeen) -> Iterator[Piece]:
        """The pieces of one file. Counts each document as it ends."""
        plain = suffix_of(path) in PLAIN_SUFFIXES
        between = (self.separator or "").replace("\\n", "\n").count("\n")
        above = 0  # line ends before this piece
        length = 0  # length of the current document
        only: Part | None = None  # the current document, if it is a single piece
        on_field = partial(setattr, seen, "field")
        given = [path], self.field, self.separator, self.bad
        for piece in read_pieces(*given, on_field, self.notes):
            line = 1
            if not plain or self.separator:
                line = int(piece.source.rpartition(":")[2])
            if plain:
                line = 1 + above + (line - 1) * between
            above += piece.text.count("\n")
            place = number << 40 | line
            document = number << 40 | seen.documents + piece.first
            short = piece.first and len(piece.text) < BATCH // 2
            part = Part(piece.text, place, document, short)
            if piece.first:
                self.end(length, only)
                length = 0
                seen.documents += 1
                if len(self.beginnings[-1]) < 3 and not piece.text.isspace():
                    self.beginnings[-1].append(Piece(piece.text[: 8 * PREVIEW], str(place)))
            only = part if piece.first else None
            length += len(piece.text)
            if plain and not self.separator:
                self.separators.update({mark: piece.text.count(mark) for mark in SEPARATORS})
            for start in range(0, len(piece.text), BATCH):
                text = piece.text[start : start + BATCH]
                self.batch.append(part._replace(text=text))
                self.size += len(text)
                if self.size >= BATCH:
                    self.look()
            yield piece
        self.end(length, only)

    def end(self, length: int, only: Part | None) -> None:
        """Count a document: its length, and whether it is a copy if it is a single piece."""
        if only and only.text.isspace():
            self.empty += 1
        elif length:
            self.lengths.append(length)
            if only:  # cleaning also compares only single pieces
                self.copies.add(only.text, only.place)

    def bad(self, path: Path, line: int | None, problem: str) -> None:
        """Count a bad file, or a bad record if there is a line."""
        kind = self.bad_files if line is None else self.bad_records
        kind.add(lambda: Noted(str(path), line), printable(starred(problem)))

    def where(self, place: int) -> Noted:
        """The file and line of a place."""
        return Noted(str(self.paths[place >> 40]), place & (1 << 40) - 1)

    def look(self) -> None:
        """Analyse the texts of the batch together, and begin a new batch."""
        parts, self.batch = self.batch, []
        text = "\n".join(part.text for part in parts)
        codes = code_points(text)
        starts = np.cumsum([0, *(len(part.text) + 1 for part in parts)], dtype=np.int64)[:-1]
        counts = np.bincount(codes, minlength=CODE_POINTS)
        counts[ord("\n")] -= max(0, len(parts) - 1)
        self.counts += counts
        self.documents.add(np.array(self.lengths, np.int64))

        def where(offset: int) -> Noted:
            index = bisect_right(starts, offset) - 1
            place = parts[index].place
            if suffix_of(self.paths[place >> 40]) in PLAIN_SUFFIXES:
                place += text.count("\n", starts[index], offset)
            return self.where(place)

        self.look_at_lines(codes, where)
        for passage in mojibake(text, codes, counts):
            shown, meaning = (excerpt(each, 20) for each in (passage.shown, passage.meaning))
            problem = f"decoded wrongly: {shown}, its characters are lost"
            if meaning:
                problem = f"decoded wrongly: {shown} should read {meaning}"
            self.mojibake.add(partial(where, passage.start), printable(problem))
        for start, end, kind in find_personal(text):
            self.personal[kind].add(partial(where, start), masked=stars(text[start:end]))
            document = parts[bisect_right(starts, start) - 1].document
            self.personal[kind].documents += document != self.last_personal.get(kind)
            self.last_personal[kind] = document
        short = [part for part in parts if part.short]
        begin = starts[[part.short for part in parts]]
        self.near.add(codes, begin, [part.text for part in short], [part.place for part in short])
        self.characters += self.size
        self.on_progress(self.characters)
        self.lengths, self.size = [], 0

    def look_at_lines(self, codes: np.ndarray, where: Callable[[int], Noted]) -> None:
        """Count the lengths of lines. A line that continues in the next batch is one problem."""
        borders = np.concatenate(([-1], np.flatnonzero(codes == ord("\n")), [len(codes)]))
        lengths = np.diff(borders) - 1
        self.lines.add(lengths[lengths > 0])
        for index in np.flatnonzero(lengths > LONG_LINE).tolist():
            offset, length = int(borders[index]) + 1, int(lengths[index])
            endless = length > 0.9 * BATCH
            if (endless or self.endless) and where(offset) == self.endless:
                continue
            self.endless = where(offset) if endless else None
            problem = f"a line of {length:,} characters"
            if endless:
                problem = f"a line of {length:,} characters or more"
            self.long_lines.add(partial(where, offset), problem)

    def preview(self) -> list[Noted]:
        """The beginnings of three documents as a model reads them, from different files if
        possible, with personal data masked.
        """
        ranks = [file[rank] for rank in range(3) for file in self.beginnings if rank < len(file)]
        return [
            replace(self.where(int(piece.source)), text=excerpt(starred(piece.text), PREVIEW))
            for piece in clean(ranks[:3], Cleaning(duplicates=False))
        ]
