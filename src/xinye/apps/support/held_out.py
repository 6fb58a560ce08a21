"""Keeps questions apart, so that a desk is tested on questions that it did not learn."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from xinye.apps.support.desk_folder import Labelled, TestQuestion
from xinye.apps.support.faq import Entry
from xinye.apps.support.groups import near_groups, plain
from xinye.apps.support.matching import HeldOut
from xinye.data.duplicates import members

SEED = 0


@dataclass(frozen=True)
class Question:
    """A question, and the number of its entry in the FAQ; None for one without an answer."""

    text: str
    entry: int | None
    intent: str


@dataclass(frozen=True)
class Parts:
    """What is learned, entries and questions with intents, and the questions that are kept
    apart."""

    entries: list[Entry]
    labelled: list[Labelled]
    test: list[TestQuestion]


def kept_apart(entries: Sequence[Entry], labelled: Sequence[Labelled], share: float) -> Parts:
    """A share of the questions is kept apart, with all that nearly equal them. An entry that has
    other wordings stays, without these; one without is not learned at all."""
    questions = wordings(entries)
    questions += [Question(each.text, None, each.label) for each in labelled]
    groups, rest = split(questions, share)
    left = remaining(entries, rest)
    test = []
    for group in groups:
        firsts = first_of_each(group)
        near = [each.text for each in group if each not in firsts and each.entry is not None]
        for question in firsts:
            entry = None if question.entry is None else entries[question.entry]
            test.append(
                TestQuestion(
                    question=question.text,
                    answer=entry.answer if entry else "",
                    intent=question.intent,
                    answerable=bool(entry and entry.answered) and question.entry in left,
                    near=near,
                )
            )
    learned = [Labelled(text=each.text, label=each.intent) for each in rest if each.intent]
    return Parts([*left.values()], learned, test)


def without(entries: Sequence[Entry], test: Sequence[TestQuestion]) -> list[Entry]:
    """The entries as they were learned: without the wordings that the test asks."""
    apart = {plain(text) for each in test for text in (each.question, *each.near)}
    learned = [each for each in wordings(entries) if plain(each.text) not in apart]
    return [*remaining(entries, learned).values()]


def wordings(entries: Sequence[Entry]) -> list[Question]:
    """All wordings of the entries."""
    return [
        Question(text, number, entry.intent)
        for number, entry in enumerate(entries)
        for text in entry.wordings
    ]


def remaining(entries: Sequence[Entry], questions: Sequence[Question]) -> dict[int, Entry]:
    """The entries that still have a wording among the questions, by their number."""
    wordings: dict[int, list[str]] = {}
    for each in questions:
        if each.entry is not None:
            wordings.setdefault(each.entry, []).append(each.text)
    return {
        number: replace(entries[number], question=texts[0], variants=tuple(texts[1:]))
        for number, texts in sorted(wordings.items())
    }


def split(
    questions: Sequence[Question], share: float
) -> tuple[list[list[Question]], list[Question]]:
    """A share of the questions, drawn at random, in groups that nearly equal each other; and the
    others."""
    groups = members(near_groups([each.text for each in questions]))
    chosen = set(random.Random(SEED).sample(range(len(groups)), round(share * len(groups))))
    apart = [[questions[each] for each in groups[number]] for number in sorted(chosen)]
    rest = [
        questions[each]
        for number, group in enumerate(groups)
        if number not in chosen
        for each in group
    ]
    return apart, rest


def first_of_each(group: Sequence[Question]) -> list[Question]:
    """The first question of each entry among some that nearly equal each other."""
    firsts: dict[int | None, Question] = {}
    for question in group:
        firsts.setdefault(question.entry, question)
    return [*firsts.values()]


def in_turn(entries: Sequence[Entry], parts: int) -> Iterator[tuple[list[Question], list[HeldOut]]]:
    """The questions of a FAQ without one of some equal parts, and those of that part, each with its
    entry if that has another wording; for one part after the other."""
    questions = wordings(entries)
    groups = members(near_groups([each.text for each in questions]))
    random.Random(SEED).shuffle(groups)
    for part in range(parts):
        apart = [[questions[each] for each in group] for group in groups[part::parts]]
        numbers = set(chain.from_iterable(groups[part::parts]))
        rest = [each for number, each in enumerate(questions) if number not in numbers]
        known = {each.entry for each in rest}
        yield (
            rest,
            [
                (each.text, each.entry if each.entry in known else None)
                for group in apart
                for each in first_of_each(group)
            ],
        )
