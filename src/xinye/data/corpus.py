"""Token ids of a whole corpus in one memory-mapped file, made once and kept by content.

A corpus is a folder: `tokens.bin` (every document's tokens and its `<eos>`, one after the other),
`documents.npy` (where each document starts, and the end) and `corpus.json`. It is kept in the cache
under a name made from the files' content, the tokenizer and the cleaning, so the same text is never
tokenized twice and a changed one is never mistaken for it.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np

from xinye.cache import cache_folder
from xinye.data.files import write_json
from xinye.data.mixing import mix
from xinye.data.notes import Notes
from xinye.data.sources import Piece
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError

# Characters encoded as one unit: long texts are cut at line ends, where the pre-split cuts anyway.
PART = 20_000
BATCH = 2_000_000  # characters encoded at a time


@dataclass(frozen=True)
class Corpus:
    """Tokens (N,) and documents (M + 1,): document i is `tokens[documents[i]:documents[i + 1]]`,
    its `<eos>` last. Together they have so many `characters`. `notes` tell what reading dropped or
    changed.
    """

    tokens: np.ndarray
    documents: np.ndarray
    characters: int
    notes: tuple[str, ...] = ()

    @classmethod
    def open(cls, folder: Path) -> "Corpus":
        about = json.loads((folder / "corpus.json").read_text("utf-8"))
        tokens = np.memmap(
            folder / "tokens.bin", dtype=about["dtype"], mode="r", shape=(about["tokens"],)
        )
        documents = np.load(folder / "documents.npy", allow_pickle=False)
        return cls(tokens, documents, about["characters"], tuple(about["notes"]))


def prepare(
    pieces: Callable[[], Iterable[Piece]],
    tokenizer: Tokenizer,
    key: Mapping[str, object],
    on_progress: Callable[[int], None] = lambda characters: None,
    notes: Notes | None = None,
) -> Corpus:
    """The corpus of these pieces: opened when it was made before (`key` names the content), else
    made. What reading the pieces adds to `notes` is kept with it.
    """
    name = json.dumps(
        {**key, "tokenizer": tokenizer.fingerprint, "layout": 2}, sort_keys=True, default=str
    )
    folder = cache_folder() / "corpora" / hashlib.blake2b(name.encode(), digest_size=16).hexdigest()
    if corpus := _opened(folder):
        return corpus
    beside = folder.with_name(f".{folder.name}.{os.getpid()}")
    beside.mkdir(parents=True, exist_ok=True)
    try:
        _write(beside, pieces(), tokenizer, on_progress, notes or Notes())
        # Where another process was first, that one's stays, for it may be open.
        if not _opened(folder):
            shutil.rmtree(folder, ignore_errors=True)
            beside.rename(folder)
    except OSError as error:
        raise XinyeError(
            f"{beside.parent}: cannot write the prepared text ({error.strerror}); free some disk "
            "space there, or set XINYE_CACHE to another folder",
            exit_code=1,
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return Corpus.open(folder)


def _opened(folder: Path) -> Corpus | None:
    """The corpus in a folder; None where it is not made yet, or damaged."""
    try:
        return Corpus.open(folder)
    except (OSError, ValueError, KeyError):
        return None


def _write(
    folder: Path,
    pieces: Iterable[Piece],
    tokenizer: Tokenizer,
    on_progress: Callable[[int], None],
    notes: Notes,
) -> None:
    dtype = np.dtype(np.uint16 if tokenizer.vocab_size <= 2**16 else np.uint32)
    starts: list[int] = []
    characters = 0
    with open(folder / "tokens.bin", "wb") as file, ThreadPoolExecutor(1) as pool:

        def write(ids: list[int]) -> int:
            """How many tokens there are then."""
            file.write(np.array(ids, dtype).tobytes())
            return file.tell() // dtype.itemsize

        # One batch is encoded (outside Python's lock, on all processors) while the next is read and
        # cleaned.
        pending: tuple[list[tuple[str, bool]], Future[list[list[int]]]] | None = None
        for batch in chain(_batches(pieces), [None]):
            parts, encoded = (pending[0], pending[1].result()) if pending else ([], [])
            texts = [text for text, _ in batch or ()]
            pending = None if batch is None else (batch, pool.submit(tokenizer.encode_batch, texts))
            for (text, first), ids in zip(parts, encoded, strict=True):
                if first:  # the document before ends here
                    starts.append(write([tokenizer.eos_id] if starts else []))
                write(ids)
                characters += len(text)
            on_progress(characters)
        count = write([tokenizer.eos_id] if starts else [])
    np.save(folder / "documents.npy", np.array([*starts, count], np.int64))
    counts = {"tokens": count, "documents": len(starts), "characters": characters}
    about = {"dtype": dtype.name, "notes": notes.sentences()}
    write_json(folder / "corpus.json", counts | about)


def _batches(pieces: Iterable[Piece]) -> Iterator[list[tuple[str, bool]]]:
    """Lists of (part of a document, whether it starts one), of about `BATCH` characters."""
    batch: list[tuple[str, bool]] = []
    size = 0
    for piece in pieces:
        start = 0
        first = piece.first
        while first or start < len(piece.text):
            end = _cut(piece.text, start)
            batch.append((piece.text[start:end], first))
            size += end - start
            start = end
            first = False
            if size >= BATCH:
                yield batch
                batch, size = [], 0
    if batch:
        yield batch


def _cut(text: str, start: int) -> int:
    """Where the part that begins at `start` ends: behind a line end that no white space follows, or
    nearest to that.
    """
    end = start + PART
    if end >= len(text):
        return len(text)
    cut = text.rfind("\n", start, end)
    while cut > start and text[cut + 1].isspace():
        cut = text.rfind("\n", start, cut)
    return cut + 1 if cut > start else end


def split(
    corpus: Corpus,
    fraction: float,
    most: int,
    least_documents: int = 20,
    fold: tuple[int, int] | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Training and validation spans, each (n, 2) with start and end in tokens.

    Whole documents go to validation, chosen by a hash of their number; where there are fewer than
    `least_documents`, the last tenth of each. Validation takes `fraction` of the tokens, at most
    `most`; with a `fold` (i, k) instead the i-th of k parts, which share the documents evenly, or,
    where they are few, the i-th of k blocks of each.
    """
    starts, ends = corpus.documents[:-1], corpus.documents[1:]
    lengths = ends - starts
    shuffled = mix(np.arange(len(starts), dtype=np.uint64))
    many = len(starts) >= least_documents
    if fold is not None:
        part, parts = fold
        if many:  # dealt like cards, by length
            return _divided(corpus, np.lexsort((shuffled, lengths))[part - 1 :: parts])
        first, last = starts + lengths * (part - 1) // parts, starts + lengths * part // parts
        outside = (np.concatenate((starts, last)), np.concatenate((first, ends)))
        spans = np.stack(outside, axis=1)
        return spans[spans[:, 0] < spans[:, 1]], np.stack((first, last), axis=1)[first < last]
    wanted = min(most, round(fraction * int(lengths.sum())))
    if many:
        order = np.argsort(shuffled, kind="stable")
        order = order[lengths[order] <= wanted]  # a giant stays in training
        taken = int(np.searchsorted(np.cumsum(lengths[order]), wanted, side="right"))
        if taken:
            return _divided(corpus, order[:taken])
    cuts = ends - np.floor(lengths * (wanted / max(1, lengths.sum()))).astype(np.int64)
    return np.stack((starts, cuts), axis=1), np.stack((cuts, ends), axis=1)[cuts < ends]


def _divided(corpus: Corpus, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The spans of the documents that are not chosen, and of those that are."""
    spans = np.stack((corpus.documents[:-1], corpus.documents[1:]), axis=1)
    return np.delete(spans, chosen, axis=0), spans[np.sort(chosen)]
