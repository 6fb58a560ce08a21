"""Finds the passages of questions that come without one, in a knowledge base."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from xinye.data.notes import Notes
from xinye.errors import XinyeError
from xinye.retrieval.knowledge import KnowledgeBase
from xinye.retrieval.sentences import scored_sentences
from xinye.tasks.answer_records import Question

DEPTH = 20  # passages among which the one with the answer is looked for
# Digits, and the letters of Latin, Greek and Cyrillic, which are written with spaces.
_LETTER = r"[\da-zA-Z\u00c0-\u052f]"
_INSIDE = (  # what stands before and behind a place that is inside a word or a number
    (_LETTER, _LETTER),
    (r"\d[.,]", r"\d"),
    (r"\d", r"[.,]\d"),
    ("[十百千万亿]", "[一二三四五六七八九十百千万亿]"),
    ("[一二三四五六七八九]", "[十百千万亿]"),
)
_BORDER = "".join(f"(?!(?<={before}){behind})" for before, behind in _INSIDE)


def with_passages(records: Sequence[Question], folder: Path, notes: Notes) -> list[Question]:
    """The records, each of which has a passage: of those that a knowledge base finds for its
    question the one where an answer stands in the sentence that shares most with the question, or
    the best one if there is no answer. Questions for which none is found are left out, and `notes`
    count them. Raises `XinyeError` if none is left, and if the folder has no knowledge base."""
    base = KnowledgeBase(folder)
    found = list[Question]()
    for record in records:
        placed = record if record.passage else _placed(record, base)
        if placed is not None:
            found.append(placed)
        elif record.answers:
            notes.add(
                record.place, f"none of the first {DEPTH} passages found has the answer: left out"
            )
        else:
            notes.add(record.place, "no passage has a word of the question: left out")
    if not any(record.answers for record in found) and any(record.answers for record in records):
        raise XinyeError(
            f"{folder}: none of the passages found for these questions has its answer; an answer "
            "must be quoted from the documents"
        )
    return found


def whole_places(passage: str, answer: str) -> list[int]:
    """Where an answer stands in a passage without being part of a longer word or number. In scripts
    that are written without spaces, only numbers have such borders.

    >>> whole_places("110 yuan, or 10", "10")
    [13]
    >>> whole_places("十五天或五天", "五天")
    [4]
    """
    pattern = f"{_BORDER}{re.escape(answer)}{_BORDER}"
    return [match.start() for match in re.finditer(pattern, passage)]


def _placed(record: Question, base: KnowledgeBase) -> Question | None:
    passages = [each.text for each in base.search(record.question, DEPTH)]
    if not record.answers:
        return replace(record, passage=passages[0]) if passages else None
    there = [
        (answer, number, start)
        for number, passage in enumerate(passages)
        for answer in record.answers
        for start in whole_places(passage, answer)
    ]
    for sentence in sorted(scored_sentences(record.question, passages), key=lambda s: -s.share):
        inside = range(sentence.start, sentence.start + len(sentence.text))
        for answer, number, start in there:
            if number == sentence.passage and start in inside:
                answers = tuple(dict.fromkeys([answer, *record.answers]))  # the first is learned
                return replace(record, passage=passages[number], answers=answers, start=start)
    return None
