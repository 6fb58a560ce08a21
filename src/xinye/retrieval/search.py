"""Finds the passages of a knowledge base: by words (BM25), by vectors, and by a reranker."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from xinye.errors import XinyeError
from xinye.retrieval.format import damaged
from xinye.retrieval.fusion import fused
from xinye.retrieval.index import Index, Scores, rarity_of
from xinye.retrieval.manifest import AGAIN, PASSAGES, Entry, Manifest, Row, vectors_of
from xinye.retrieval.results import Found
from xinye.retrieval.versions import in_force, name_and_date

FEW = 5  # passages for a question, unless someone says how many
LONGEST_QUESTION = 2000  # characters
RANKED = 200  # passages of each ranking that are joined
RERANKED = 20  # passages that a reranker judges

Matching = Literal["hybrid", "bm25", "vectors", "shared terms"]
# How well each of some passages answers a question; the more, the better.
Reranker = Callable[[str, Sequence[str]], Sequence[float]]


def indexed_text(title: str, section: str, text: str) -> str:
    """What is known of a passage when it is searched for: also the title, without its date, and the
    headings."""
    name, _ = name_and_date(title)
    return "\n".join(filter(None, (name, section, text)))


@dataclass(frozen=True)
class Contents:
    """What a knowledge base holds: its folder, and its list of documents as it is now."""

    folder: Path
    manifest: Manifest

    @cached_property
    def answering(self) -> list[bool]:
        """Whether each document may answer."""
        return in_force(self.manifest.documents)

    @cached_property
    def open(self) -> NDArray[np.bool_]:
        """Whether each passage may be found."""
        there = np.zeros(len(self.manifest.starts), np.bool_)
        for entry, answering in zip(self.manifest.documents, self.answering, strict=True):
            there[entry.first : entry.first + entry.count] = answering
        return there

    @cached_property
    def indexes(self) -> list[Index]:
        return [
            Index.load(self.folder / segment.file, segment.count)
            for segment in self.manifest.segments
        ]

    @cached_property
    def vectors(self) -> list[NDArray[np.float32]]:
        """The vectors of the passages of each segment."""
        from xinye.retrieval.embedders import embedder
        from xinye.retrieval.vectors import load_vectors

        source = embedder(self.manifest.vectors)
        return [
            load_vectors(self.folder / vectors_of(segment.file), segment.count, source)
            for segment in self.manifest.segments
        ]

    def texts(self) -> Iterator[str]:
        """The texts of all passages, as they are indexed."""
        titles = (entry.title for entry in self.manifest.documents for _ in range(entry.count))
        rows = self.rows(range(len(self.manifest.starts)))
        for title, row in zip(titles, rows, strict=True):
            yield indexed_text(title, row.section, row.text)

    def rows(self, numbers: Iterable[int]) -> Iterator[Row]:
        """The passages with these numbers."""
        path = self.folder / PASSAGES
        try:
            with path.open("rb") as file:
                for number in numbers:
                    file.seek(self.manifest.starts[number])
                    yield Row.model_validate_json(file.readline())
        except (OSError, ValueError) as error:
            raise damaged(path, error, AGAIN) from None

    # -- finding -----------------------------------------------------------------------------------

    def search(
        self, question: str, count: int, matching: Matching, reranker: Reranker | None
    ) -> list[Found]:
        """The passages for a question, the best first; see `KnowledgeBase.search`."""
        check_question(question)
        if reranker is None:
            return self._matching(question, count, matching)
        return reranked(
            question, self._matching(question, max(count, RERANKED), matching), reranker
        )[:count]

    def _matching(self, question: str, count: int, matching: Matching) -> list[Found]:
        words = self._by_words(question, "bm25" if matching != "shared terms" else matching)
        meaning = None
        if matching == "vectors" or (matching == "hybrid" and self.manifest.vectors):
            meaning = self._by_vectors(question)
        rankings = [words] if matching != "vectors" else []
        rankings += [meaning + 1] if meaning is not None else []  # above 0
        limit = max(2 * count, RANKED)
        while True:
            best = [_highest(scores * self.open, limit) for scores in rankings]
            found: dict[str, Found] = {}  # by text: what several files have is found once
            for number in fused(best):
                similarity = None if meaning is None else float(meaning[number])
                passage = replace(self._found(number, float(words[number])), similarity=similarity)
                found.setdefault(passage.text, passage)
                if len(found) == count:
                    break
            if len(found) == count or all(len(each) < limit for each in best):
                return [*found.values()]
            limit *= 4

    def _by_words(self, question: str, matching: Literal["bm25", "shared terms"]) -> Scores:
        rarity = rarity_of(question, self.indexes)
        parts = [index.scores(rarity, matching) for index in self.indexes]
        return np.concatenate([np.zeros(0, np.float32), *parts])

    def _by_vectors(self, question: str) -> Scores:
        from xinye.retrieval.embedders import embedder
        from xinye.retrieval.vectors import similarities

        return similarities(question, self.vectors, embedder(self.manifest.vectors))

    def _found(self, number: int, score: float) -> Found:
        (passage,) = self.rows([number])
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


def reranked(question: str, found: Sequence[Found], reranker: Reranker) -> list[Found]:
    """The same passages in the order of a reranker, joined with the order that they are in, so that
    a weak reranker does little harm."""
    texts = [indexed_text(each.title, each.section, each.text) for each in found]
    judged = [
        replace(each, relevance=float(relevance))
        for each, relevance in zip(found, reranker(question, texts), strict=True)
    ]
    numbers = range(len(judged))
    best_first = sorted(numbers, key=lambda number: -(judged[number].relevance or 0))
    return [judged[number] for number in fused([best_first, numbers])]


def _highest(scores: Scores, count: int) -> list[int]:
    """The numbers of the passages with the highest scores above 0, the earliest of equal ones."""
    count = min(count, len(scores))
    if not count:
        return []
    least = np.partition(scores, -count)[-count]
    best = np.flatnonzero(scores >= max(least, np.finfo(np.float32).tiny))
    best = best[np.lexsort((best, -scores[best]))]
    return [int(number) for number in best[:count]]


def check_question(question: str) -> None:
    """Raise `XinyeError` for a question that is empty or too long."""
    if not question.strip():
        raise XinyeError("the question is empty")
    if len(question) > LONGEST_QUESTION:
        raise XinyeError(
            f"the question has {len(question):,} characters; at most {LONGEST_QUESTION:,}"
        )
