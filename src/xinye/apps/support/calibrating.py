"""Finds the confidence from which on a FAQ answers, and tests it on questions that were kept
apart."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from xinye.apps.support.desk_folder import TestQuestion
from xinye.apps.support.faq import Entry
from xinye.apps.support.groups import plain
from xinye.apps.support.held_out import Question, in_turn, wordings
from xinye.apps.support.matching import Asked, FAQMatcher, HeldOut, enough, made_questions
from xinye.errors import XinyeError
from xinye.retrieval.confidence import Threshold

PARTS = 5  # of the questions, of which one is asked and the others are known, in turn
MOST = 1000  # questions from which on no further part is asked


@dataclass(frozen=True)
class Step:
    """How a step of the desk decides, for the report. It answers from the confidence `threshold`
    on; None if nothing reaches the wanted precision. `answered` is the share of what was asked in
    its calibration on `questions` that reaches it; `made` ones were made of known ones."""

    threshold: float | None
    answered: float
    questions: int
    made: bool = False

    @classmethod
    def at(cls, reached: Threshold | None, questions: int, made: bool = False) -> "Step":
        """The step that answers from this threshold on."""
        if reached is None:
            return cls(None, 0.0, questions, made)
        return cls(reached.confidence, reached.answered, questions, made)


@dataclass(frozen=True)
class Tested:
    """What the FAQ did with the questions that were kept apart: how many it answered and how many
    of these answers are right. `answerable` ones are those of which it has the answer, in other
    words."""

    __test__ = False  # pytest must not take it for a test

    questions: int
    answerable: int
    answered: int
    right: int

    @property
    def share(self) -> float:
        """The share of the questions that was answered."""
        return self.answered / self.questions if self.questions else 0.0

    @property
    def precision(self) -> float | None:
        """The share of the answers that is right; None without answers."""
        return self.right / self.answered if self.answered else None


def calibrated(entries: Sequence[Entry], precision: float) -> tuple[FAQMatcher, Step]:
    """A matcher of these entries, and the threshold for the wanted precision. Every wording is
    asked of a matcher that does not know it."""
    questions = wordings(entries)
    asked, real = list[Asked](), list[HeldOut]()
    for rest, part in in_turn(entries, PARTS):
        if len(real) < MOST:
            asked += _fitted(entries, rest).asked(part, len(real))
            real += part
    matcher = _fitted(entries, questions)
    made = bool(entries) and not enough(real)
    if made:  # real ones show what must be refused, made ones what can be answered
        more = made_questions(matcher.questions, matcher.entries)
        asked += matcher.asked(more, len(real))
        real += more
    with suppress(XinyeError):  # of too few questions: then only equal ones are answered
        matcher.calibrate_on(asked, precision, made)
    reached = matcher.calibration.reached(precision) if matcher.calibration else None
    return matcher, Step.at(reached, len(real), made)


def _fitted(entries: Sequence[Entry], questions: Sequence[Question]) -> FAQMatcher:
    """A matcher that knows these questions, and has learned from the other wordings of entries."""
    matcher = FAQMatcher()
    numbers = [each.entry or 0 for each in questions]
    answers = {number: entry.answer for number, entry in enumerate(entries)}
    matcher.fit([each.text for each in questions], numbers, answers)
    first = dict(zip(reversed(numbers), reversed(matcher.questions), strict=True))
    pairs = zip(matcher.questions, (first[number] for number in numbers), strict=True)
    matcher.learn([(text, question) for text, question in pairs if text != question])
    return matcher


def tested_faq(
    matcher: FAQMatcher, entries: Sequence[Entry], test: Sequence[TestQuestion], precision: float
) -> Tested:
    """The figures of the FAQ on the questions that were kept apart and have an answer."""
    questions = [each for each in test if each.answer]
    least = matcher.threshold(precision)
    answered = right = 0
    for each in questions:
        match = matcher.match(each.question)
        if match is None or match.confidence < (1.0 if least is None else least):
            continue
        if not entries[match.entry].answered:
            continue
        answered += 1
        right += is_right(entries[match.entry].answer, each)
    return Tested(len(questions), sum(each.answerable for each in questions), answered, right)


def is_right(answer: str, asked: TestQuestion) -> bool:
    """True if an answer is the one that the question had in the logs."""
    return plain(answer) == plain(asked.answer)
