"""A tokenized corpus, shard by shard, and its division into training and validation text.

The corpus of files is made once and kept in the cache; `xinye data prepare` makes one for others to
use. Both have the format that `manifest.py` describes. A corpus lies in a folder or in an object
store. No more of it is in memory than what is asked for: tokens are read when a window needs them.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from xinye.data.blocks import Blocks
from xinye.data.manifest import (
    CHUNK,
    LENGTHS,
    MANIFEST,
    Manifest,
    check_file,
    check_size,
    damaged,
    read_manifest,
    shard_files,
)
from xinye.data.mixing import mix

SHARDS_IN_USE = 3  # training, validation, and the one that comes next


class Place(Protocol):
    """Where the files of a corpus are."""

    def name(self, file: str) -> str:
        """The name of a file for messages."""
        ...

    def file(self, name: str, size: int | None = None, checksums: Sequence[str] = ()) -> Any:
        """The path of a file, whose content is checked if checksums are given. Whoever keeps what
        this returns keeps the file in its place."""
        ...

    def expect(self, name: str, size: int, checksums: Sequence[str]) -> None:
        """Hear that a file will be wanted soon."""
        ...


class TokenFile:
    """The tokens of a shard, (N,), in an open file. A slice is read when it is asked for: if the
    file were memory-mapped and became shorter, the process would end."""

    def __init__(self, file: Any, name: str, dtype: np.dtype, size: int) -> None:
        """`file` is the file, or its path, and `name` its name for messages."""
        self._file = file.open("rb") if isinstance(file, Path) else file
        self._name, self._dtype, self._size = name, dtype, size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, part: slice) -> np.ndarray:
        """Raises `XinyeError` if the file cannot be read, or has become too short."""
        start, end, _ = part.indices(self._size)
        tokens = np.empty(max(0, end - start), self._dtype)
        room: Any = tokens.view(np.uint8)
        at = start * self._dtype.itemsize
        while len(room):
            try:
                count = os.preadv(self._file.fileno(), [room], at)
            except OSError as error:
                raise damaged(self._name, f"cannot be read ({error.strerror})") from None
            if not count:
                found, size = os.fstat(self._file.fileno()).st_size, self._size * tokens.itemsize
                raise damaged(self._name, f"the file ends at byte {found:,} of {size:,}")
            room, at = room[count:], at + count
        return tokens


@dataclass(frozen=True)
class Documents:
    """Tokens (N,) and documents (M + 1,).

    Document i is `tokens[documents[i]:documents[i + 1]]`, and its last token is `<eos>`.
    """

    tokens: np.ndarray
    documents: np.ndarray

    @property
    def spans(self) -> np.ndarray:
        """The start and end of each document, (M, 2)."""
        return np.stack((self.documents[:-1], self.documents[1:]), axis=1)


class Folder:
    """A corpus in a folder of this machine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._checked: set[str] = set()

    def name(self, file: str) -> str:
        return str(self.path / file)

    def file(self, name: str, size: int | None = None, checksums: Sequence[str] = ()) -> Path:
        path = self.path / name
        if size is not None:
            check_size(path, self.name(name), size)
            if name not in self._checked:
                check_file(path, self.name(name), size, checksums)
            self._checked.add(name)
        return path

    def expect(self, name: str, size: int, checksums: Sequence[str]) -> None:
        return None


class Corpus:
    """A corpus in a place. `about` is its manifest."""

    def __init__(self, place: Place) -> None:
        """Opens the corpus. Raises `XinyeError` if the manifest is missing or damaged."""
        self.place = place
        self.about: Manifest = read_manifest(Path(place.file(MANIFEST)), place.name(MANIFEST))
        self.vocab_size: int | None = None  # no token may be larger, if this is known
        self._read: set[int] = set()  # the shards whose tokens were found in the vocabulary
        self.shard_tokens = lru_cache(maxsize=SHARDS_IN_USE)(self._shard_tokens)

    @classmethod
    def open(cls, folder: Path) -> "Corpus":
        """The corpus in a folder. Raises `XinyeError` if files are missing or have another size."""
        corpus = cls(Folder(folder))
        for shard in corpus.about.shards:
            sizes = (shard.tokens * corpus.about.token_dtype.itemsize, 4 * shard.documents)
            for name, size in zip(shard_files(shard.number), sizes, strict=True):
                check_size(folder / name, str(folder / name), size)
        return corpus

    def _shard_tokens(self, number: int) -> TokenFile:
        """The tokens of a shard, (N,)."""
        name, size, checksums = self._tokens_of(number)
        file, name = self.place.file(name, size, checksums), self.place.name(name)
        count = self.about.shards[number].tokens
        tokens = TokenFile(file, name, self.about.token_dtype, count)
        if self.vocab_size is not None and number not in self._read:
            parts = range(0, len(tokens), CHUNK)
            largest = max(int(tokens[start : start + CHUNK].max()) for start in parts)
            if largest >= self.vocab_size:
                problem = f"token {largest:,} is not in the vocabulary of {self.vocab_size:,}"
                raise damaged(name, problem)
            self._read.add(number)
        return tokens

    def borders(self, number: int) -> np.ndarray:
        """The start of each document of a shard, and the end of the last, (M + 1,)."""
        shard = self.about.shards[number]
        name = shard_files(shard.number)[1]
        path = self.place.file(name, LENGTHS.itemsize * shard.documents, shard.length_checksums)
        lengths = np.fromfile(path, LENGTHS)
        if not lengths.all() or lengths.sum(dtype=np.int64) != shard.tokens:
            problem = f"the lengths of its documents are not those of {shard.tokens:,} tokens"
            raise damaged(self.place.name(name), problem)
        return np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)))

    def shard(self, number: int) -> Documents:
        """The documents of a shard, in memory."""
        return Documents(self.shard_tokens(number)[:], self.borders(number))

    def check(self) -> None:
        """Read all shards. Raises `XinyeError` for the first that is damaged."""
        for number in range(len(self.about.shards)):
            self.shard_tokens(number)
            self.borders(number)

    def expect(self, number: int) -> None:
        """Hear that the tokens of a shard will be wanted soon."""
        self.place.expect(*self._tokens_of(number))

    def _tokens_of(self, number: int) -> tuple[str, int, Sequence[str]]:
        shard = self.about.shards[number]
        size = shard.tokens * self.about.token_dtype.itemsize
        return shard_files(shard.number)[0], size, shard.token_checksums

    def whole(self) -> Documents:
        """All documents, in memory."""
        shards = [self.shard(number) for number in range(len(self.about.shards))]
        if len(shards) == 1:
            return shards[0]
        ends = np.cumsum([0, *(len(shard.tokens) for shard in shards)])
        borders = [shard.documents[1:] + end for shard, end in zip(shards, ends, strict=False)]
        tokens = np.concatenate([shard.tokens for shard in shards])
        return Documents(tokens, np.concatenate([[0], *borders]))


# -- training and validation -----------------------------------------------------------------------


@dataclass(frozen=True)
class Division:
    """How a corpus is divided: validation gets `fraction` of its tokens, but at most `most`, from
    the first shard, which is a fair sample of all. With `fold` (i, k), validation is part i of k of
    every shard.
    """

    corpus: Corpus
    fraction: float
    most: int
    fold: tuple[int, int] | None = None

    def parts(self) -> tuple[Blocks, Blocks]:
        """The training and the validation text."""
        divided = lru_cache(maxsize=SHARDS_IN_USE)(self._divided)
        every = range(len(self.corpus.about.shards))
        return PartOfCorpus(self, divided, 0, every), PartOfCorpus(
            self, divided, 1, every if self.fold else range(1)
        )

    def _divided(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """The spans of training and of validation in a shard."""
        about = self.corpus.about
        documents = Documents(np.empty(0), self.corpus.borders(number))
        if not self.fold and number:
            return documents.spans, np.empty((0, 2), np.int64)
        fraction = self.fraction
        if len(about.shards) > 1:
            fraction = min(0.5, fraction * about.tokens / max(1, about.shards[number].tokens))
        return split(documents, fraction, self.most, fold=self.fold)


class PartOfCorpus(Blocks):
    """The training text (`part` 0) or the validation text (1) of a corpus."""

    def __init__(self, division: Division, divided: Any, part: int, shards: range) -> None:
        self.corpus, self.divided, self.part = division.corpus, divided, part
        about = division.corpus.about
        sizes = [shard.tokens for shard in about.shards][: len(shards)]
        for number in shards if division.fold else range(1):
            spans = self.spans(number)
            sizes[number] = int((spans[:, 1] - spans[:, 0]).sum())
        key = (about.fingerprint, division.fraction, division.most, division.fold, part)
        super().__init__(sizes, str(key))

    def spans(self, block: int) -> np.ndarray:
        spans: np.ndarray = self.divided(block)[self.part]
        return spans

    def length(self, block: int) -> int:
        return self.corpus.about.shards[block].tokens

    def tokens(self, block: int) -> TokenFile:
        return self.corpus.shard_tokens(block)

    def expect(self, block: int) -> None:
        self.corpus.expect(block)


def split(
    corpus: Documents,
    fraction: float,
    most: int,
    least_documents: int = 20,
    fold: tuple[int, int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation spans, each of shape (n, 2) with start and end in tokens.

    Validation gets `fraction` of the tokens, but at most `most`. It takes whole documents, chosen
    by a hash of their number. If there are fewer than `least_documents`, or all are too long, it
    takes the end of each document instead. With `fold` (i, k), validation is the i-th of k equal
    parts of the documents, or, if there are few, the i-th of k blocks of each document.
    """
    starts, ends = corpus.documents[:-1], corpus.documents[1:]
    lengths = ends - starts
    shuffled = mix(np.arange(len(starts), dtype=np.uint64))
    many = len(starts) >= least_documents
    if fold is not None:
        part, parts = fold
        # Sorted by length and dealt out like cards, so that all folds are about equally long.
        if many:
            return _divided(corpus, np.lexsort((shuffled, lengths))[part - 1 :: parts])
        first, last = starts + lengths * (part - 1) // parts, starts + lengths * part // parts
        outside = (np.concatenate((starts, last)), np.concatenate((first, ends)))
        spans = np.stack(outside, axis=1)
        return spans[spans[:, 0] < spans[:, 1]], np.stack((first, last), axis=1)[first < last]
    wanted = min(most, round(fraction * int(lengths.sum())))
    if many:
        order = np.argsort(shuffled, kind="stable")
        # a document longer than the whole validation set stays in training
        order = order[lengths[order] <= wanted]
        taken = int(np.searchsorted(np.cumsum(lengths[order]), wanted, side="right"))
        if taken:
            return _divided(corpus, order[:taken])
    cuts = ends - np.floor(lengths * (wanted / max(1, lengths.sum()))).astype(np.int64)
    return np.stack((starts, cuts), axis=1), np.stack((cuts, ends), axis=1)[cuts < ends]


def _divided(corpus: Documents, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The spans of all other documents, and the spans of the chosen ones."""
    spans = corpus.spans
    return np.delete(spans, chosen, axis=0), spans[np.sort(chosen)]
