"""Finds the passages of questions that come without one, in a knowledge base."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from xinye.data.notes import Notes
from xinye.errors import XinyeError
from xinye.retrieval.knowledge import KnowledgeBase
from xinye.tasks.answer_records import Question, place_in

DEPTH = 20  # passages among which the one with the answer is looked for


def with_passages(records: Sequence[Question], folder: Path, notes: Notes) -> list[Question]:
    """The records, each of which has a passage: of those that a knowledge base finds for its
    question the best one that has an answer, or the best one if there is no answer. Questions for
    which none is found are left out, and `notes` count them. Raises `XinyeError` if none is left,
    and if the folder has no knowledge base."""
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


def _placed(record: Question, base: KnowledgeBase) -> Question | None:
    passages = [each.text for each in base.search(record.question, DEPTH)]
    if not record.answers:
        return replace(record, passage=passages[0]) if passages else None
    for passage in passages:
        for answer in record.answers:
            if (start := place_in(passage, answer, None)) >= 0:
                answers = tuple(dict.fromkeys([answer, *record.answers]))  # the first is learned
                return replace(record, passage=passage, answers=answers, start=start)
    return None
