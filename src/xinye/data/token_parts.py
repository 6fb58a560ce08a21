"""The first phase of preparing a corpus: texts become parts, which hold tokens in reading order.

A part is a file of tokens and a table of its documents. The parts of a unit of files do not depend
on who writes them, so several processes can write the parts of several units, and parts that are
there already are not tokenized again.
"""

import zipfile
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from xinye.data.disk import flush
from xinye.data.duplicates import digest
from xinye.data.files import written_beside
from xinye.data.manifest import MOST, read_sealed, write_sealed
from xinye.data.notes import FIRST, Notes
from xinye.data.sources import Piece
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError

# Characters that are encoded as one unit. Longer texts are cut at line ends, where the pre-split
# cuts anyway.
PART = 20_000
BATCH = 2_000_000  # characters encoded at a time
PART_CHARACTERS = 16_000_000  # a part ends with the document that reaches this size,
PART_DOCUMENTS = 1 << 17  # or this number

# the names of the files of a part, and of the note of a unit
OF_UNIT = r"part-\d{6,}-\d{6,}\.(tokens|npy)|unit-\d{6,}\.json"

# A document of a part: its length in tokens, with `<eos>`, and in characters, and a hash of its
# text. The hash is 0 for a document that was read in several pieces.
DOCUMENTS = np.dtype([("tokens", "<u4"), ("characters", "<u8"), ("low", "<u8"), ("high", "<u8")])


@dataclass
class Unit:
    """Some files that are read together, and what was found in them: notes of the reader, and
    counts of what cleaning dropped, by reason.
    """

    notes: Notes = field(default_factory=Notes)
    dropped: Counter[str] = field(default_factory=Counter)

    def write(self, path: Path, parts: int) -> None:
        """Write that the unit is finished, and has so many parts."""
        noted = [
            [what, count, self.notes.places[what]] for what, count in self.notes.counts.items()
        ]
        write_sealed(path, {"parts": parts, "dropped": self.dropped, "notes": noted})

    def add(self, path: Path) -> int:
        """Add what was found in a finished unit; returns its number of parts. Raises `XinyeError`
        if there is none, or if its note is damaged."""
        found = read_sealed(path)
        if not _is_note(found):
            raise XinyeError(f"{path}: the file is damaged; delete it", 1)
        self.dropped.update(found["dropped"])
        for what, count, places in found["notes"]:
            self.notes.counts[what] += count
            mine = self.notes.places[what]
            mine += places[: FIRST - len(mine)]
        parts: int = found["parts"]
        return parts


def _is_note(found: dict[str, Any]) -> bool:
    """Whether these values are such as `Unit.write` writes."""
    try:
        noted = [(what, count, *places) for what, count, places in found["notes"]]
        numbers = [found["parts"], *found["dropped"].values(), *(count for _, count, *_ in noted)]
        words = [word for what, _, *places in noted for word in (what, *places)]
    except (LookupError, TypeError, ValueError, AttributeError):
        return False
    return all(isinstance(word, str) for word in words) and all(
        type(number) is int and 0 <= number <= MOST for number in numbers
    )


def unit_file(folder: Path, unit: int) -> Path:
    return folder / f"unit-{unit:06d}.json"


def part_files(folder: Path, unit: int, part: int) -> tuple[Path, Path]:
    """The files of a part: its tokens, and the table of its documents, which is written last."""
    name = f"part-{unit:06d}-{part:06d}"
    return folder / f"{name}.tokens", folder / f"{name}.npy"


def has_unit(folder: Path, unit: int, tokenizer: Tokenizer) -> bool:
    """Whether a unit is finished, and all its parts are there and whole."""
    try:
        parts = Unit().add(unit_file(folder, unit))
    except XinyeError:
        return False
    more = part_files(folder, unit, parts)[1].exists()
    return not more and all(_has_part(folder, unit, part, tokenizer) for part in range(parts))


def _has_part(folder: Path, unit: int, part: int, tokenizer: Tokenizer) -> bool:
    """Whether the two files of a part are there and whole."""
    tokens_file, table_file = part_files(folder, unit, part)
    try:
        table = np.load(table_file, allow_pickle=False)
        size = tokens_file.stat().st_size
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile):
        return False
    if not isinstance(table, np.ndarray) or table.dtype != DOCUMENTS or table.ndim != 1:
        return False
    return size == int(table["tokens"].sum(dtype=np.int64)) * token_dtype(tokenizer).itemsize


def write_parts(
    folder: Path,
    unit: int,
    pieces: Iterable[Piece],
    tokenizer: Tokenizer,
    on_progress: Callable[[int], None],
) -> int:
    """Write the parts of a unit; returns their number. `on_progress` is called with the number of
    characters that are done since the last call.

    Parts that are whole are kept, and their texts are only read.
    """
    number = 0
    for number, documents in enumerate(_parts(pieces), 1):
        tokens_file, table_file = part_files(folder, unit, number - 1)
        if _has_part(folder, unit, number - 1, tokenizer):
            on_progress(sum(len(piece.text) for piece in documents))
            continue
        with written_beside(tokens_file) as beside:
            table = _write_part(beside, documents, tokenizer, on_progress)
        with written_beside(table_file) as beside:
            with beside.open("wb") as file:
                np.save(file, table)
            flush(beside)
    return number


def _parts(pieces: Iterable[Piece]) -> Iterator[Iterator[Piece]]:
    """The pieces in groups of whole documents. A group must be read to its end before the next."""
    source = iter(pieces)
    ahead = next(source, None)

    def group() -> Iterator[Piece]:
        nonlocal ahead
        characters, documents = 0, 0
        while ahead is not None:
            characters += len(ahead.text)
            documents += ahead.first
            yield ahead
            ahead = next(source, None)
            full = characters >= PART_CHARACTERS or documents >= PART_DOCUMENTS
            if full and ahead is not None and ahead.first:
                return

    while ahead is not None:
        yield group()


def token_dtype(tokenizer: Tokenizer) -> np.dtype:
    """The type of the tokens in files."""
    return np.dtype("<u2" if tokenizer.vocab_size <= 2**16 else "<u4")


def _write_part(
    path: Path,
    pieces: Iterable[Piece],
    tokenizer: Tokenizer,
    on_progress: Callable[[int], None],
) -> np.ndarray:
    """Write the tokens of documents to a file; returns the table of the documents, (M,)."""
    dtype, rows = token_dtype(tokenizer), _Rows()
    with path.open("wb") as file, ThreadPoolExecutor(1) as pool:

        def write(document: int, ids: list[int]) -> None:
            file.write(np.array(ids, dtype).tobytes())
            rows.tokens[document] += len(ids)

        # One batch is encoded on all processors, without Python's lock, while the next one is read
        # and cleaned.
        pending: tuple[list[tuple[str, int]], Future[list[list[int]]]] | None = None
        last = 0
        for batch in chain(_batches(pieces, rows), [None]):
            parts, encoded = (pending[0], pending[1].result()) if pending else ([], [])
            texts = [text for text, _ in batch or ()]
            pending = None if batch is None else (batch, pool.submit(tokenizer.encode_batch, texts))
            for (_, document), ids in zip(parts, encoded, strict=True):
                if document > last:
                    write(last, [tokenizer.eos_id])
                write(document, ids)
                last = document
            on_progress(sum(len(text) for text, _ in parts))
        write(last, [tokenizer.eos_id])
    flush(path)  # so that a name never outlives its content
    return rows.table()


class _Rows:
    """The table of a part's documents while it grows, column by column."""

    def __init__(self) -> None:
        self.tokens, self.characters = array("I"), array("Q")
        self.low, self.high = array("Q"), array("Q")

    def begin(self, text: str) -> None:
        """A document begins with this text."""
        value = digest(text, 16)
        self.tokens.append(0)
        self.characters.append(len(text))
        self.low.append(int.from_bytes(value[:8], "little"))
        self.high.append(int.from_bytes(value[8:], "little"))

    def extend(self, text: str) -> None:
        """The last document goes on with this text."""
        self.characters[-1] += len(text)
        self.low[-1] = self.high[-1] = 0

    def table(self) -> np.ndarray:
        table = np.empty(len(self.tokens), DOCUMENTS)
        for name in DOCUMENTS.names or ():
            table[name] = getattr(self, name)
        return table


def _batches(pieces: Iterable[Piece], rows: _Rows) -> Iterator[list[tuple[str, int]]]:
    """Lists of (part of a document, the document's number), of about `BATCH` characters. The
    documents become `rows`.
    """
    batch: list[tuple[str, int]] = []
    size = 0
    for piece in pieces:
        if piece.first or not rows.tokens:
            rows.begin(piece.text)
        else:
            rows.extend(piece.text)
        start, document = 0, len(rows.tokens) - 1
        while start < len(piece.text) or start == 0:
            end = _cut(piece.text, start)
            batch.append((piece.text[start:end], document))
            size += end - start
            start = end or 1
            if size >= BATCH:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def _cut(text: str, start: int) -> int:
    """The end of the part that begins at `start`: after the last line end that is not followed by
    white space, or at `PART` characters if there is none.
    """
    end = start + PART
    if end >= len(text):
        return len(text)
    cut = text.rfind("\n", start, end)
    while cut > start and text[cut + 1].isspace():
        cut = text.rfind("\n", start, cut)
    return cut + 1 if cut > start else end
