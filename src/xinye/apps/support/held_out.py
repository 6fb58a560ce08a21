"""Keeps questions apart, so that a desk is tested on questions that it did not learn."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from xinye.apps.support.desk_folder import Labelled, TestQuestion
from xinye.apps.support.faq import Entry
from xinye.apps.support.groups import members, near_groups, plain
from xinye.apps.support.matching import HeldOut

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
    questions = [
        Question(text, number, entry.intent)
        for number, entry in enumerate(entries)
        for text in entry.wordings
    ]
    questions += [Question(each.text, None, each.label) for each in labelled]
    apart, rest = split(questions, share)
    left = remaining(entries, rest)
    test = []
    for question in apart:
        entry = None if question.entry is None else entries[question.entry]
        answer = entry.answer if entry else ""
        answerable = question.entry in left
        test.append(
            TestQuestion(
                question=question.text, answer=answer, intent=question.intent, answerable=answerable
            )
        )
    learned = [Labelled(text=each.text, label=each.intent) for each in rest if each.intent]
    return Parts([*left.values()], learned, test)


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


def split(questions: Sequence[Question], share: float) -> tuple[list[Question], list[Question]]:
    """A share of the questions, drawn at random, and the others. Near-equal questions stay
    together; of these only one for each entry is among the first."""
    groups = members(near_groups([each.text for each in questions]))
    chosen = set(random.Random(SEED).sample(range(len(groups)), round(share * len(groups))))
    apart: list[Question] = []
    for number in sorted(chosen):
        different = {
            (questions[each].entry, plain(questions[each].text)): questions[each]
            for each in groups[number]
        }
        firsts: dict[int | None, Question] = {}
        for question in different.values():
            firsts.setdefault(question.entry, question)
        apart += firsts.values()
    rest = [
        questions[each]
        for number, group in enumerate(groups)
        if number not in chosen
        for each in group
    ]
    return apart, rest


def held_out(entries: Sequence[Entry], share: float) -> tuple[list[Question], list[HeldOut]]:
    """Questions of a FAQ to learn from, and a share of them to calibrate on, each with its entry if
    that has another wording."""
    questions = [
        Question(text, number, entry.intent)
        for number, entry in enumerate(entries)
        for text in entry.wordings
    ]
    apart, rest = split(questions, share)
    known = {each.entry for each in rest}
    return rest, [(each.text, each.entry if each.entry in known else None) for each in apart]
