"""Makes a tokenized corpus of texts in the cache, for one's own run.

That takes two phases: `token_parts.py` writes the tokens in reading order, and `gathering.py` deals
the documents out to shards. `corpus_folder.py` takes the same steps in several processes.
"""

import errno
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import field as with_default
from functools import cached_property
from pathlib import Path
from socket import gethostname
from typing import Any

from xinye.cache import cache_folder
from xinye.data.cleaning import Cleaning, clean
from xinye.data.corpus import Corpus
from xinye.data.disk import flush
from xinye.data.encodings import bad_bytes
from xinye.data.files import file_size
from xinye.data.gathering import AT_ONCE, OF_SHARD, Parts, gather, read_gathered
from xinye.data.locks import alone
from xinye.data.manifest import MANIFEST, TOKENIZER, Manifest, digest_of, shard_files
from xinye.data.sources import Piece, read_pieces
from xinye.data.token_parts import OF_UNIT, Unit, token_dtype, unit_file, write_parts
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError

# the files of a preparation: locked, or finished, or still being written; NFS renames open ones
OWN = re.compile(rf"lock|({OF_UNIT}|{OF_SHARD})|\.({OF_UNIT}|{OF_SHARD})\.new|\.nfs\w+")
UNIT_BYTES = 8_000_000  # small files are read together until they have this size


@dataclass(frozen=True)
class Reading:
    """How texts are read and cleaned."""

    field: str | None = None
    document_separator: str | None = None
    bad_bytes: Any = "refuse"
    cleaning: Cleaning = with_default(default_factory=Cleaning)

    def pieces(self, files: Sequence[Path], found: Unit | None = None) -> Iterator[Piece]:
        """The cleaned text of files. Notes go into `found`."""
        found = found or Unit()
        with bad_bytes(self.bad_bytes, found.notes):
            raw = read_pieces(files, self.field, self.document_separator, notes=found.notes)
            yield from clean(raw, self.cleaning, found.dropped)

    @property
    def before_gathering(self) -> "Reading":
        """The same, without dropping exact copies, which `gather` does. Near duplicates of a text
        are looked for among the different ones, so then copies must be dropped before."""
        if self.cleaning.near_duplicates:
            return self
        cleaning = self.cleaning.model_copy(update={"drop_duplicates": False})
        return Reading(self.field, self.document_separator, self.bad_bytes, cleaning)


@dataclass(frozen=True)
class Source:
    """The text of a corpus: files and how they are read. `text` is the hash of the files."""

    files: Sequence[Path]
    text: str
    reading: Reading

    @cached_property
    def bytes(self) -> int:
        """The size of all files."""
        return sum(map(file_size, self.files))

    @cached_property
    def units(self) -> list[list[Path]]:
        """The files that are read together: several small ones, or a large one. All are read
        together if near duplicates are looked for among them.
        """
        units: list[list[Path]] = []
        size = UNIT_BYTES
        for file in self.files:
            if size >= UNIT_BYTES and not (units and self.reading.cleaning.near_duplicates):
                units.append([])
                size = 0
            units[-1].append(file)
            size += file_size(file)
        return units

    def pieces(self, unit: int, found: Unit) -> Iterator[Piece]:
        """The cleaned text of a unit. Notes go into `found`."""
        return self.reading.before_gathering.pieces(self.units[unit], found)

    @property
    def settings(self) -> dict[str, object]:
        """What a corpus depends on, as JSON."""
        return {
            "files": self.text,
            "field": self.reading.field,
            "document_separator": self.reading.document_separator,
            "bad_bytes": self.reading.bad_bytes,
            **self.reading.cleaning.model_dump(),
        }


def prepare(source: Source, tokenizer: Tokenizer, on_progress: Callable[[int], None]) -> Corpus:
    """The corpus of a text, from the cache, or made there.

    `on_progress` is called with the number of characters done. Raises `XinyeError` if there is no
    text, or if the cache cannot be written.
    """
    key = source.settings | {"tokenizer": tokenizer.fingerprint, "layout": 3}
    folder = cache_folder() / "corpora" / digest_of(key)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # another process may be making it
        with alone(folder.with_suffix(".lock"), kept=False) as has_locks:
            if has_locks:  # what processes left that were killed
                for left in folder.parent.glob(f".{folder.name}.{gethostname()}.*"):
                    shutil.rmtree(left, ignore_errors=True)
            if not _opened(folder):
                _make(folder, source, tokenizer, on_progress)
    except OSError as error:
        raise not_writable(folder.parent, error, "set XINYE_CACHE to another folder") from error
    return Corpus.open(folder)


def _make(
    folder: Path, source: Source, tokenizer: Tokenizer, on_progress: Callable[[int], None]
) -> None:
    """Write the corpus of a text into a folder, which is there only when it is whole."""
    beside, done = folder.with_name(f".{folder.name}.{gethostname()}.{os.getpid()}"), 0

    def add(characters: int) -> None:
        nonlocal done
        done += characters
        on_progress(done)

    try:
        shutil.rmtree(beside, ignore_errors=True)  # of an earlier process with this number
        beside.mkdir()
        for number in range(len(source.units)):
            write_unit_parts(beside, source, number, tokenizer, add)
        parts, found = all_parts(beside, source, tokenizer)
        count = parts.shards()
        for some in groups(range(count), AT_ONCE):
            gather(parts, beside, some, count)
        finish(beside, parts, count, source, tokenizer, found)
        delete_parts(beside)
        # Without locks another process may have been faster; its folder may be open already.
        if not _opened(folder):
            shutil.rmtree(folder, ignore_errors=True)
            beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def is_own(path: Path) -> bool:
    """Whether this is a file of a preparation, and no link."""
    return bool(OWN.fullmatch(path.name)) and stat.S_ISREG(path.lstat().st_mode)


def delete_parts(folder: Path) -> None:
    """Delete the files of a preparation, and nothing else."""
    for path in folder.iterdir():
        if is_own(path):
            path.unlink(missing_ok=True)


def not_writable(folder: Path, error: OSError, instead: str) -> XinyeError:
    """The error for a corpus that cannot be written; `instead` says what else can be done."""
    problem = f"{folder}: cannot write the prepared text ({error.strerror})"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return XinyeError(f"{problem}; free some disk space there, or {instead}", 1)
    return XinyeError(f"{problem}; {instead}", 1)


def _opened(folder: Path) -> Corpus | None:
    """The corpus in a folder, or None if it does not exist or is damaged."""
    try:
        return Corpus.open(folder)
    except XinyeError:
        return None


def write_unit_parts(
    folder: Path,
    source: Source,
    number: int,
    tokenizer: Tokenizer,
    on_progress: Callable[[int], None],
) -> None:
    """Write the parts of a unit, and then its note."""
    found = Unit()
    parts = write_parts(folder, number, source.pieces(number, found), tokenizer, on_progress)
    found.write(unit_file(folder, number), parts)


def all_parts(folder: Path, source: Source, tokenizer: Tokenizer) -> tuple[Parts, Unit]:
    """The parts of all units, and what was found in the files. Raises `XinyeError` if there is no
    text."""
    found = Unit()
    names = [
        (unit, part)
        for unit in range(len(source.units))
        for part in range(found.add(unit_file(folder, unit)))
    ]
    if not names:
        raise no_text(source.files)
    unique = source.reading.cleaning.drop_duplicates
    return Parts(folder, names, token_dtype(tokenizer).str, unique), found


def no_text(files: Sequence[Path]) -> XinyeError:
    """The error for files without text."""
    return XinyeError(f"{', '.join(map(str, files))}: there is no text in these files")


def groups(numbers: Iterable[int], size: int) -> list[list[int]]:
    every = list(numbers)
    return [every[begin : begin + size] for begin in range(0, len(every), size)]


def finish(
    folder: Path, parts: Parts, count: int, source: Source, tokenizer: Tokenizer, found: Unit
) -> Manifest:
    """Write the manifest of a corpus whose shards are all gathered."""
    gathered = [read_gathered(parts, number) for number in range(count)]
    shards = [each.shard for each in gathered]
    found.dropped["duplicate"] += sum(each.copies for each in gathered)
    for shard in shards:  # copies of documents may leave nothing of one
        if not shard.tokens:
            for name in shard_files(shard.number):
                (folder / name).unlink(missing_ok=True)
    manifest = Manifest(
        dtype="uint16" if token_dtype(tokenizer).itemsize == 2 else "uint32",
        tokenizer=tokenizer.fingerprint,
        tokenizer_files=sorted(file.name for file in (folder / TOKENIZER).glob("*")),
        text=source.text,
        files=len(source.files),
        bytes=source.bytes,
        tokens=sum(shard.tokens for shard in shards),
        documents=sum(shard.documents for shard in shards),
        characters=sum(each.characters for each in gathered),
        dropped={reason: times for reason, times in sorted(found.dropped.items()) if times},
        notes=found.notes.sentences(),
        shards=[shard for shard in shards if shard.tokens],
    )
    manifest.write(folder)
    flush(folder / MANIFEST, folder)  # before the parts are deleted
    return manifest
