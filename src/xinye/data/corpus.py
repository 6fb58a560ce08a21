"""The token ids of a whole corpus in one memory-mapped file, built once and cached by content.

A corpus is a folder with three files. `tokens.bin` holds the tokens of every document, each
followed by `<eos>`; `documents.npy` holds the start of each document and the end of the last;
`corpus.json` describes both. The folder's name in the cache is a hash of the files' content, the
tokenizer and the cleaning. The same text is therefore never tokenized twice, and a changed text is
never taken for an old one.
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

# Characters that are encoded as one unit. Longer texts are cut at line ends, where the pre-split
# cuts anyway.
PART = 20_000
BATCH = 2_000_000  # characters encoded at a time


@dataclass(frozen=True)
class Corpus:
    """A tokenized corpus: tokens (N,) and documents (M + 1,).

    Document i is `tokens[documents[i]:documents[i + 1]]`, and its last token is `<eos>`.
    `characters` is the length of all texts together. `notes` say what the reader dropped or
    changed.
    """

    tokens: np.ndarray
    documents: np.ndarray
    characters: int
    notes: tuple[str, ...] = ()

    @classmethod
    def open(cls, folder: Path) -> "Corpus":
        """The corpus in a folder, with its tokens memory-mapped. Raises `OSError`, `ValueError` or
        `KeyError` if files are missing or damaged.
        """
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
    """The tokenized corpus of some pieces. If the cache has it, it is opened; otherwise it is
    built.

    `key` identifies the content, so `pieces` is only called to build a new corpus. `on_progress` is
    called with the number of characters done. The corpus stores the `notes` that reading the pieces
    adds. Raises `XinyeError` if the cache cannot be written.
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
        # If another process was faster, keep its folder, because it may be open already.
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
    """The corpus in a folder, or None if it does not exist or is damaged."""
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

        # One batch is encoded on all processors, without Python's lock, while the next one is read
        # and cleaned.
        pending: tuple[list[tuple[str, bool]], Future[list[list[int]]]] | None = None
        for batch in chain(_batches(pieces), [None]):
            parts, encoded = (pending[0], pending[1].result()) if pending else ([], [])
            texts = [text for text, _ in batch or ()]
            pending = None if batch is None else (batch, pool.submit(tokenizer.encode_batch, texts))
            for (text, first), ids in zip(parts, encoded, strict=True):
                if first:  # this ends the previous document
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


def split(
    corpus: Corpus,
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


def _divided(corpus: Corpus, chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The spans of all other documents, and the spans of the chosen ones."""
    spans = np.stack((corpus.documents[:-1], corpus.documents[1:]), axis=1)
    return np.delete(spans, chosen, axis=0), spans[np.sort(chosen)]
