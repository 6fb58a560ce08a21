"""How often a knowledge base finds the passage that answers a question."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from xinye.data.sources import read_records
from xinye.errors import XinyeError
from xinye.retrieval.knowledge import KnowledgeBase
from xinye.retrieval.results import Found
from xinye.retrieval.search import Matching, Reranker
from xinye.retrieval.versions import name_and_date

DEPTH = 10  # passages that are looked through for each question
QUESTIONS = ("question", "问题", "query")
ANSWERS = ("answer", "答案", "text")


@dataclass(frozen=True)
class Question:
    """A question and what a passage must have to answer it: pairs of a title and a section, of
    which one must fit, or a text that it contains. Without either, no passage answers it."""

    text: str
    places: tuple[tuple[str, str], ...] = ()
    answer: str = ""

    @property
    def is_answerable(self) -> bool:
        return bool(self.places or self.answer)

    def is_answered_by(self, found: Found) -> bool:
        if self.answer:
            return "".join(self.answer.split()) in "".join(found.text.split())
        titles = (found.title, name_and_date(found.title)[0])
        return any(
            title in titles and (not section or found.section == section)
            for title, section in self.places
        )


@dataclass(frozen=True)
class Ranks:
    """The metrics of one way to find passages, as shares of the questions. `mean_reciprocal_rank`
    counts a passage in place n as 1/n, and one behind the tenth as 0."""

    recall_at_1: float
    recall_at_5: float
    recall_at_10: float
    mean_reciprocal_rank: float


@dataclass(frozen=True)
class Result:
    """`found` is what a search finds. `baseline` ranks passages by the number of terms that they
    share with the question. `ways` has all ways by name, those of `found` and `baseline` too."""

    knowledge: str
    questions: int
    found: Ranks
    baseline: Ranks
    ways: dict[str, Ranks]
    milliseconds: float  # for a question, on average
    missed: list[str]  # questions whose passage is not among the first five


def evaluate(base: KnowledgeBase, path: Path, reranker: Reranker | None = None) -> Result:
    """Search a knowledge base for each question of a file. Raises `XinyeError` for a file without
    questions, and for one that does not say where its answer stands."""
    questions = [each for each in read_questions(path) if each.is_answerable]
    if not questions:
        raise XinyeError(f"{path}: none of the questions has an answer; add some that have one")
    base.search(questions[0].text, reranker=reranker)  # the first search reads the index
    ways: dict[str, tuple[Matching, Reranker | None]] = {"BM25": ("bm25", None)}
    if base.manifest.vectors:
        ways |= {"vectors": ("vectors", None), "BM25 and vectors": ("hybrid", None)}
    if reranker:
        ways["reranked"] = ("hybrid", reranker)
    places, spent = dict[str, list[int]](), 0.0
    for name, way in ways.items():
        begin = time.perf_counter()
        places[name] = [_place(base, each, *way) for each in questions]
        spent = time.perf_counter() - begin  # of the last way, which is what a search does
    best = [*places.values()][-1]
    places["shared terms"] = [_place(base, each, "shared terms") for each in questions]
    missed = [each.text for each, place in zip(questions, best, strict=True) if not 0 < place <= 5]
    ranks = {name: _ranks(found) for name, found in places.items()}
    return Result(
        str(base.folder), len(questions), _ranks(best), ranks["shared terms"], ranks,
        1000 * spent / len(questions), missed,
    )  # fmt: skip


def read_questions(path: Path) -> list[Question]:
    """The questions of a file of records with `question` and one of `answer`, or `title` and
    perhaps `section` (or `article`); `also` lists further pairs of a title and a section. An empty
    `answer`, or `answerable` false, says that no passage answers."""
    questions = []
    for line, record in read_records(path):
        where = f"{path}, line {line}"
        if not isinstance(record, dict):
            raise XinyeError(f"{where}: expected an object with a question")
        question = _first(record, QUESTIONS)
        if not question:
            raise XinyeError(f"{where}: there is no question; name it 'question'")
        title = record.get("title") or ""
        section = record.get("section") or record.get("article") or ""
        answer = "" if title else _first(record, ANSWERS)
        unanswerable = record.get("answerable") is False or record.get("answer") in ("", [])
        if not title and not answer and not unanswerable:
            raise XinyeError(
                f"{where}: it does not say which passage answers; add 'title' and 'section', or "
                "'answer' with words of the passage; or 'answerable': false if none does"
            )
        pairs = _pairs(record.get("also") or [], where)
        places = ((str(title), str(section)), *pairs) if title else ()
        if record.get("answerable") is False:
            places, answer = (), ""
        questions.append(Question(question, places, answer))
    if not questions:
        raise XinyeError(f"{path}: there are no questions")
    return questions


def _pairs(also: Any, where: str) -> list[tuple[str, str]]:
    if isinstance(also, list) and all(isinstance(each, list) and len(each) == 2 for each in also):
        return [(str(title), str(section)) for title, section in also]
    raise XinyeError(f"{where}: 'also' is not a list of [title, section]")


def _first(record: dict[str, Any], names: Sequence[str]) -> str:
    found = (str(record[name]).strip() for name in names if record.get(name))
    return next((text for text in found if text), "")


def _place(
    base: KnowledgeBase, question: Question, matching: Matching, reranker: Reranker | None = None
) -> int:
    """The place of the first passage that answers, from 1; 0 if none of the first ten does."""
    found = base.search(question.text, DEPTH, matching, reranker)
    answering = (place for place, each in enumerate(found, 1) if question.is_answered_by(each))
    return next(answering, 0)


def _ranks(places: Sequence[int]) -> Ranks:
    at = np.array(places)
    first, five, ten = (float(np.mean((at > 0) & (at <= depth))) for depth in (1, 5, DEPTH))
    return Ranks(first, five, ten, float(np.mean([1 / place if place else 0 for place in places])))
