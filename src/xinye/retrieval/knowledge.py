"""A knowledge base: a folder with the passages of documents, and what finds them.

`knowledge.json` lists the documents and where their passages are; `passages.jsonl` has the
passages; each `index-….safetensors` finds those of one build or addition. Documents are known by
their contents: one that changed or was removed stops answering at once, since only `knowledge.json`
is written again.
"""

import json
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from xinye.data.files import write_json
from xinye.errors import XinyeError, did_you_mean, plural
from xinye.retrieval.changing import alone, clear_leftovers, next_to, replace
from xinye.retrieval.documents import Document, documents, find_files, name_and_date
from xinye.retrieval.index import Index, Matching, Scores, rarity_of
from xinye.retrieval.manifest import (
    AGAIN,
    KIND,
    MANIFEST,
    PASSAGES,
    VERSION,
    Entry,
    Manifest,
    Row,
    Segment,
    check_free,
    read_manifest,
)
from xinye.retrieval.passages import Passage, cut
from xinye.retrieval.results import Changes, Found

SMALL = 20_000  # passages; a base of so many is indexed again as a whole, in seconds
MOST_SEGMENTS = 8  # parts of a larger base; if there are more, they are indexed again as one
LONGEST_QUESTION = 2000  # characters

Progress = Callable[[str], None]


class KnowledgeBase:
    """The knowledge base in a folder. Raises `XinyeError` if the folder holds none."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)

    @classmethod
    def build(
        cls,
        folder: str | Path,
        files: Sequence[str | Path],
        overwrite: bool = False,
        progress: Progress = lambda text: None,
    ) -> tuple["KnowledgeBase", Changes]:
        """Build a knowledge base of files, folders and globs. Raises `XinyeError` if the folder
        exists and is no knowledge base that may be overwritten, or no document can be read."""
        folder = Path(folder)
        found = find_files(files)
        check_free(folder, overwrite)
        clear_leftovers(folder)
        beside = next_to(folder)
        try:
            beside.mkdir(parents=True)
            write_json(beside / MANIFEST, Manifest(kind=KIND, version=VERSION).model_dump())
            (beside / PASSAGES).touch()
            base = cls(beside)
            with base._alone():
                changes = base._add(found, progress)
            if not changes.added:
                first = f" ({changes.skipped[0]})" if changes.skipped else ""
                raise XinyeError(
                    f"{', '.join(map(str, files))}: there is no text to answer from{first}"
                )
            check_free(folder, overwrite)  # it may have come into being meanwhile
            replace(folder, beside)
        finally:
            if beside.exists():
                shutil.rmtree(beside)
        base.folder = folder
        return base, changes

    # -- changing it -------------------------------------------------------------------------------

    def add(self, files: Sequence[str | Path], progress: Progress = lambda text: None) -> Changes:
        """Add the documents of files, folders and globs. What a file had before and has no more is
        removed. Raises `XinyeError` as `build` does, and if another process is changing the
        base."""
        found = find_files(files)
        with self._alone():
            return self._add(found, progress)

    def _add(self, files: Sequence[Path], progress: Progress) -> Changes:
        changes, new = Changes(), list[Document]()
        entries = [*self.manifest.documents]
        numbers = {(entry.file, entry.key): number for number, entry in enumerate(entries)}
        of_file = defaultdict[str, list[int]](list)
        for number, entry in enumerate(entries):
            of_file[entry.file].append(number)
        pending: set[tuple[str, str]] = set()
        for path in files:
            progress(f"reading {path}")
            try:
                read = [*documents(path)]
            except XinyeError as error:
                where = "" if str(path) in str(error) else f"{path}: "
                changes.skipped.append(f"{where}{error}")
                continue
            keys = {document.key for document in read}
            gone = [
                number
                for number in of_file[os.path.abspath(path)]
                if entries[number].key not in keys and not entries[number].removed
            ]
            for number in gone:
                entries[number] = entries[number].model_copy(update={"removed": True})
            changes.changed += len(gone)
            for document in read:
                place = (document.file, document.key)
                if not document.text.strip():
                    changes.empty += 1
                elif place in pending:
                    changes.repeated += 1
                elif place not in numbers:
                    pending.add(place)
                    new.append(document)
                else:  # it is in the file still, or again, perhaps in another line
                    entry = entries[numbers[place]]
                    update = {"removed": False, "line": document.line}
                    entries[numbers[place]] = entry.model_copy(update=update)
                    changes.added += entry.removed
                    changes.unchanged += not entry.removed
        self._append(entries, new, changes, progress)
        return changes

    def _append(
        self, entries: list[Entry], new: list[Document], changes: Changes, progress: Progress
    ) -> None:
        """Write the passages of new documents, their index and at last the list of documents."""
        starts, texts = [*self.manifest.starts], list[str]()
        first, path = len(starts), self.folder / PASSAGES
        with path.open("r+b") as file:
            file.truncate(self.manifest.bytes)
            file.seek(self.manifest.bytes)
            for document in new:
                passages = [*cut(document.text)]
                entries.append(
                    Entry(
                        key=document.key, file=document.file, title=document.title,
                        line=document.line, first=len(starts), count=len(passages),
                    )
                )  # fmt: skip
                line, counted = 1, 0
                for passage in passages:
                    starts.append(file.tell())
                    line += document.text.count("\n", counted, passage.offset)
                    counted = passage.offset
                    row = asdict(passage) | {"line": line if document.has_lines else None}
                    text = json.dumps(row, ensure_ascii=False) + "\n"
                    file.write(text.encode("utf-8", "replace"))
                    texts.append(_to_index(document.title, passage))
            end = file.tell()
        changes.added += len(new)
        changes.passages = len(texts)
        segments = [*self.manifest.segments]
        most = MOST_SEGMENTS if len(starts) > SMALL else 1
        if texts and len(segments) == most:  # all in one index again
            texts, first, segments = [*self._texts(), *texts], 0, []
        if texts:
            progress(f"indexing {plural(len(texts), 'passage')}")
            segments.append(self._indexed(texts, first))
        self._write(entries, segments, starts, end)
        current = {segment.file for segment in self.manifest.segments}
        for path in self.folder.glob("index-*.safetensors"):
            if path.name not in current:  # of before, or of an addition that did not end
                path.unlink()

    def _indexed(self, texts: Sequence[str], first: int) -> Segment:
        name = f"index-{uuid4().hex[:12]}.safetensors"
        Index.of(texts).save(self.folder / name)
        return Segment(file=name, first=first, count=len(texts))

    def _texts(self) -> Iterator[str]:
        """The texts of all passages for an index."""
        titles = (entry.title for entry in self.manifest.documents for _ in range(entry.count))
        rows = self._rows(range(len(self.manifest.starts)))
        return map(_to_index, titles, rows)

    def _write(
        self, entries: list[Entry], segments: list[Segment], starts: list[int], end: int
    ) -> None:
        """Replace the list of documents, which is what counts."""
        self.manifest = Manifest(
            kind=KIND, version=VERSION, documents=entries, segments=segments, starts=starts,
            bytes=end,
        )  # fmt: skip
        write_json(self.folder / MANIFEST, self.manifest.model_dump())
        self._forget()

    def _forget(self) -> None:
        """Drop what was worked out from the list of documents."""
        for name in ("_answering", "_open", "_indexes", "_firsts"):
            self.__dict__.pop(name, None)

    def remove(self, names: Sequence[str]) -> int:
        """Remove the documents of files or folders, or with these titles; returns how many. Raises
        `XinyeError` for a name that stands for none."""
        with self._alone():
            return self._remove(names)

    def _remove(self, names: Sequence[str]) -> int:
        entries = [*self.manifest.documents]
        removed = 0
        for name in names:
            found = [
                number
                for number, entry in enumerate(entries)
                if name.strip() and not entry.removed and _is_called(entry, name)
            ]
            if not found:
                known = [
                    each
                    for entry in entries
                    if not entry.removed
                    for each in (os.path.relpath(entry.file), name_and_date(entry.title)[0])
                ]
                raise XinyeError(
                    f"{self.folder}: there is no document {name!r}{did_you_mean(name, known)}"
                )
            for number in found:
                entries[number] = entries[number].model_copy(update={"removed": True})
            removed += len(found)
        manifest = self.manifest
        self._write(entries, manifest.segments, manifest.starts, manifest.bytes)
        return removed

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Inside, no other process changes the base. Reads what others changed before."""
        with alone(self.folder):
            self.manifest = read_manifest(self.folder)
            self._forget()
            yield

    # -- what is in it -----------------------------------------------------------------------------

    @property
    def documents(self) -> list[Entry]:
        """The documents that can answer: not removed, and the newest version of each."""
        pairs = zip(self.manifest.documents, self._answering, strict=True)
        return [entry for entry, answering in pairs if answering]

    @property
    def removed(self) -> int:
        """How many documents were removed."""
        return sum(entry.removed for entry in self.manifest.documents)

    @cached_property
    def _answering(self) -> list[bool]:
        """Whether each document may answer."""
        newest: dict[str, str] = {}
        for entry in self.manifest.documents:
            name, date = name_and_date(entry.title)
            if date and not entry.removed:
                newest[name] = max(newest.get(name, ""), date)
        answering = []
        for entry in self.manifest.documents:
            name, date = name_and_date(entry.title)
            answering.append(not entry.removed and (not date or date == newest[name]))
        return answering

    @cached_property
    def _open(self) -> NDArray[np.bool_]:
        """Whether each passage may be found."""
        there = np.zeros(len(self.manifest.starts), np.bool_)
        for entry, answering in zip(self.manifest.documents, self._answering, strict=True):
            there[entry.first : entry.first + entry.count] = answering
        return there

    @cached_property
    def _indexes(self) -> list[Index]:
        return [
            Index.load(self.folder / segment.file, segment.count)
            for segment in self.manifest.segments
        ]

    # -- finding -----------------------------------------------------------------------------------

    def search(self, question: str, count: int = 5, matching: Matching = "bm25") -> list[Found]:
        """The passages that match the question best, the best first; fewer if fewer match.

        The score is that of BM25: it compares passages for one question, and is no probability.
        Raises `XinyeError` for an empty question.
        """
        if not question.strip():
            raise XinyeError("the question is empty")
        if len(question) > LONGEST_QUESTION:
            raise XinyeError(
                f"the question has {len(question):,} characters; at most {LONGEST_QUESTION:,}"
            )
        rarity = rarity_of(question, self._indexes)
        parts = [index.scores(rarity, matching) for index in self._indexes]
        scores = np.concatenate([np.zeros(0, np.float32), *parts]) * self._open
        limit = 2 * count
        while True:
            best = _highest(scores, limit)
            found: dict[str, Found] = {}  # by text: what several files have is found once
            for number in best:
                passage = self._found(number, float(scores[number]))
                found.setdefault(passage.text, passage)
                if len(found) == count:
                    break
            if len(found) == count or len(best) < limit:
                return [*found.values()]
            limit *= 4

    def _found(self, number: int, score: float) -> Found:
        (passage,) = self._rows([number])
        entry = self._entry_of(number)
        line = passage.line if entry.line is None else entry.line
        return Found(
            passage.text, score, entry.file, entry.title, passage.section, line, passage.offset
        )

    def _entry_of(self, number: int) -> Entry:
        firsts = self._firsts
        return self.manifest.documents[int(np.searchsorted(firsts, number, "right")) - 1]

    @cached_property
    def _firsts(self) -> NDArray[np.int64]:
        return np.array([entry.first for entry in self.manifest.documents], np.int64)

    def _rows(self, numbers: Iterable[int]) -> Iterator[Row]:
        """The passages with these numbers."""
        path = self.folder / PASSAGES
        try:
            with path.open("rb") as file:
                for number in numbers:
                    file.seek(self.manifest.starts[number])
                    yield Row.model_validate_json(file.readline())
        except (OSError, ValueError) as error:
            what = " ".join(str(error).split())[:100]
            raise XinyeError(f"{path}: damaged file ({what}); {AGAIN}") from None


def _to_index(title: str, passage: Passage | Row) -> str:
    """What the index knows of a passage: also the title, without its date, and the headings."""
    name, _ = name_and_date(title)
    return f"{name}\n{passage.section}\n{passage.text}"


def _highest(scores: Scores, count: int) -> list[int]:
    """The numbers of the passages with the highest scores above 0, the earliest of equal ones."""
    count = min(count, len(scores))
    if not count:
        return []
    least = np.partition(scores, -count)[-count]
    best = np.flatnonzero(scores >= max(least, np.finfo(np.float32).tiny))
    best = best[np.lexsort((best, -scores[best]))]
    return [int(number) for number in best[:count]]


def _is_called(entry: Entry, name: str) -> bool:
    file, path = Path(entry.file), Path(os.path.abspath(name))
    titles = (entry.title, name_and_date(entry.title)[0])
    return path == file or path in file.parents or name in titles
