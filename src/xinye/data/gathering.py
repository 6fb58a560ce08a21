"""The second phase of preparing a corpus: the parts become shards, each a fair sample of all
documents.

A hash decides to which shard a document goes. Within a shard, documents keep the order in which
they were read, so a corpus of one shard is the text in its order. Of documents with the same text,
which have the same hash and meet in one shard, only the first is kept.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict, ValidationError

from xinye.data.disk import flush
from xinye.data.manifest import (
    LENGTHS,
    Count,
    Shard,
    check_size,
    checksums,
    read_sealed,
    shard_files,
    write_sealed,
)
from xinye.data.mixing import mix
from xinye.data.token_parts import part_files
from xinye.errors import XinyeError

# A shard has about this many tokens, or documents: it is read, checked and packed whole.
SHARD_TOKENS = 1 << 26
SHARD_DOCUMENTS = 1 << 17
LEAST_DOCUMENTS = 20  # fewer documents, on average, are no fair sample
OF_SHARD = r"shard-\d{5,}\.json"  # the name of the note of a shard
AT_ONCE = 64  # the most shards that are gathered together: each is an open file
FEW = 8  # shards that are not worth a process of their own


@dataclass(frozen=True)
class Parts:
    """All parts of a corpus, in order, as pairs of unit and number in the unit."""

    folder: Path
    names: Sequence[tuple[int, int]]
    dtype: str
    unique: bool  # whether only the first of several equal documents is kept

    def tables(self) -> Iterator[tuple[Path, np.ndarray]]:
        """The file of tokens and the table of documents of each part."""
        for name in self.names:
            tokens, table = part_files(self.folder, *name)
            yield tokens, np.load(table, allow_pickle=False)

    def shards(self) -> int:
        """The number of shards to make."""
        tokens, documents = 0, 0
        for _, table in self.tables():
            tokens += int(table["tokens"].sum())
            documents += len(table)
        count = max(-(-tokens // SHARD_TOKENS), -(-documents // SHARD_DOCUMENTS))
        return max(1, min(count, documents // LEAST_DOCUMENTS))

    def shares(self, count: int) -> Iterator[tuple[Path, np.ndarray, np.ndarray]]:
        """As `tables`, with the shard of each document."""
        begin = 0
        for tokens, table in self.tables():
            key = np.arange(begin, begin + len(table), dtype=np.uint64)
            if self.unique:
                key = np.where(table["low"] != 0, table["low"], key)
            begin += len(table)
            yield tokens, table, (mix(key) % np.uint64(count)).astype(np.int64)


class Gathered(BaseModel):
    """A shard, with the number of its characters and of the copies that were left out."""

    model_config = ConfigDict(extra="forbid", strict=True)

    shard: Shard
    characters: Count
    copies: Count


def shard_note(parts: Parts, number: int) -> Path:
    """The file that says that a shard is finished, and what is in it."""
    return parts.folder / f"shard-{number:05d}.json"


def read_gathered(parts: Parts, number: int) -> Gathered:
    """What the note of a shard says. Raises `XinyeError` if it is missing or damaged."""
    path = shard_note(parts, number)
    try:
        gathered = Gathered.model_validate(read_sealed(path))
    except ValidationError:
        raise XinyeError(f"{path}: the file is damaged; delete it", 1) from None
    return gathered


def is_gathered(parts: Parts, folder: Path, number: int) -> bool:
    """Whether a shard has its note, and its files have the sizes that the note says."""
    try:
        shard = read_gathered(parts, number).shard
        sizes = shard.tokens * np.dtype(parts.dtype).itemsize, shard.documents * LENGTHS.itemsize
        for name, size in zip(shard_files(number), sizes, strict=True):
            check_size(folder / name, name, size)
    except XinyeError:
        return False
    return shard.number == number


def gather(parts: Parts, folder: Path, numbers: Sequence[int], count: int) -> None:
    """Write some of `count` shards to a folder, and a note of each beside the parts."""
    wanted = np.zeros(count, bool)
    wanted[list(numbers)] = True
    first = _first_of_copies(parts, wanted, count)
    found = {number: Gathered(shard=_empty(), characters=0, copies=0) for number in numbers}
    lengths: dict[int, list[np.ndarray]] = {number: [] for number in numbers}
    with ExitStack() as stack:
        files = {
            number: stack.enter_context(_beside(folder, number).open("wb")) for number in numbers
        }
        for (tokens_file, table, shard), keep in zip(parts.shares(count), first, strict=True):
            if not len(table):
                continue
            tokens = np.memmap(tokens_file, parts.dtype, "r")
            ends = np.cumsum(table["tokens"], dtype=np.int64)
            for number in np.unique(shard[wanted[shard]]).tolist():
                mine = shard == number
                chosen = np.flatnonzero(mine & keep)
                found[number].copies += int(mine.sum()) - len(chosen)
                found[number].characters += int(table["characters"][chosen].sum())
                lengths[number].append(table["tokens"][chosen].astype(LENGTHS))
                for start, end in _runs(chosen, ends - table["tokens"], ends):
                    files[number].write(tokens[start:end].tobytes())
    flush(*(_beside(folder, number) for number in numbers))
    for number in numbers:
        mine = np.concatenate([np.empty(0, LENGTHS), *lengths[number]])
        found[number].shard = _finish(folder, number, mine)
    flush(folder)
    for number in numbers:
        write_sealed(shard_note(parts, number), found[number].model_dump())


def _first_of_copies(parts: Parts, wanted: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """For each part, which of its documents are no copy of an earlier one; of documents in other
    shards it says nothing.
    """
    if not parts.unique:
        for _, table in parts.tables():
            yield np.ones(len(table), bool)
        return
    keys, sizes = [], []
    for _, table, shard in parts.shares(count):
        chosen = np.flatnonzero(wanted[shard] & (table["low"] != 0))
        keys.append(table[["low", "high"]][chosen])
        sizes.append(len(chosen))
    both = np.concatenate(keys) if keys else np.empty(0, [("low", "<u8"), ("high", "<u8")])
    order = np.lexsort((both["high"], both["low"]))  # stable: the first copy comes first
    low, high = both["low"][order], both["high"][order]
    again = np.zeros(len(both), bool)
    again[order[1:]] = (low[1:] == low[:-1]) & (high[1:] == high[:-1])
    begin = 0
    for (_, table, shard), size in zip(parts.shares(count), sizes, strict=True):
        keep = np.ones(len(table), bool)
        chosen = np.flatnonzero(wanted[shard] & (table["low"] != 0))
        keep[chosen] = ~again[begin : begin + size]
        begin += size
        yield keep


def _runs(chosen: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> Iterator[tuple[int, int]]:
    """The stretches of tokens that the chosen documents cover; neighbours are one stretch."""
    if len(chosen):
        cuts = np.flatnonzero(np.diff(chosen) > 1)
        firsts = chosen[np.concatenate(([0], cuts + 1))]
        lasts = chosen[np.concatenate((cuts, [len(chosen) - 1]))]
        yield from zip(starts[firsts].tolist(), ends[lasts].tolist(), strict=True)


def _beside(folder: Path, number: int) -> Path:
    return folder / f".{shard_files(number)[0]}.new"


def _empty() -> Shard:
    return Shard(number=0, tokens=0, documents=0, token_checksums=[], length_checksums=[])


def _finish(folder: Path, number: int, lengths: np.ndarray) -> Shard:
    """Give a shard's files their names; returns the shard with their checksums."""
    tokens_file, lengths_file = (folder / name for name in shard_files(number))
    beside = _beside(folder, number)
    token_checksums = checksums(beside)
    beside.replace(tokens_file)
    beside = lengths_file.with_name(f".{lengths_file.name}.new")
    beside.write_bytes(lengths.tobytes())
    flush(beside)
    length_checksums = checksums(beside)
    beside.replace(lengths_file)
    return Shard(
        number=number,
        tokens=int(lengths.sum(dtype=np.int64)),
        documents=len(lengths),
        token_checksums=token_checksums,
        length_checksums=length_checksums,
    )
