"""Finds the confidence from which on a FAQ answers, and tests it on questions that were kept
apart."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from xinye.apps.support.desk_folder import TestQuestion, Unsure
from xinye.apps.support.faq import Entry
from xinye.apps.support.groups import plain
from xinye.apps.support.held_out import Question, in_turn, wordings
from xinye.apps.support.matching import Asked, FAQMatcher, HeldOut, enough, made_questions
from xinye.errors import XinyeError
from xinye.retrieval.confidence import Threshold, reached

PARTS = 5  # of the questions, of which one is asked and the others are known, in turn
MOST = 1000  # questions from which on no further part is asked
LOOKED_AT = (0.99, 0.95, 0.9, 0.8)  # precisions that the report looks at
LOWER = (0.7, 0.6, 0.5)  # further ones that a step may reach
MEANT = 0.5  # confidence from which on an entry is likelier the one that is meant than not


@dataclass(frozen=True)
class Step:
    """How a step of the desk decides, for the report. It answers from the confidence `threshold`
    on; None if nothing reaches the wanted precision. `answered` is the share of what was asked in
    its calibration on `questions` that reaches it; `made` ones were made of known ones. `highest`
    is the highest of the precisions in `LOOKED_AT` and `LOWER` that is reached, None if none is."""

    threshold: float | None
    answered: float
    questions: int
    made: bool = False
    highest: float | None = None

    @classmethod
    def at(
        cls, found: Sequence[Threshold], precision: float, questions: int, made: bool = False
    ) -> "Step":
        """The step with these thresholds that should have this precision."""
        looked_at = (*LOOKED_AT, *LOWER)
        highest = next((each for each in looked_at if reached(found, each, made)), None)
        if at := reached(found, precision, made):
            return cls(at.confidence, at.answered, questions, made, highest)
        return cls(None, 0.0, questions, made, highest)


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


@dataclass(frozen=True)
class Calibrated:
    """A matcher of the FAQ, from when on it answers, and the questions of which it is not sure."""

    matcher: FAQMatcher
    step: Step
    unsure: list[Unsure]


def calibrated(entries: Sequence[Entry], precision: float) -> Calibrated:
    """Calibrate a matcher of these entries. Every wording is asked of one that does not know it."""
    questions = wordings(entries)
    asked, real = list[Asked](), list[HeldOut]()
    for rest, part in in_turn(entries, PARTS):
        if len(real) < MOST:
            asked += _fitted(entries, rest).asked(part, len(real))
            real += part
    first = {each.group: each.found for each in reversed(asked)}
    matcher, of_customers, made = _fitted(entries, questions), real, False
    found = _thresholds(matcher, asked, precision) if enough(real) else []
    if entries and not reached(found, precision):
        # real ones show what must be refused, made ones what can be answered
        more, made = made_questions(matcher.questions, matcher.entries), True
        asked += matcher.asked(more, len(real))
        real = real + more
        found = _thresholds(matcher, asked, precision, made)
    answers = {each.text: entries[each.entry or 0].answer for each in questions}
    unsure = [
        Unsure(question=text, answer=answers[text])
        for number, (text, _) in enumerate(of_customers)
        if not (best := matcher.best(first[number])) or best.confidence < MEANT
    ]
    return Calibrated(matcher, Step.at(found, precision, len(real), made), unsure)


def _thresholds(
    matcher: FAQMatcher, asked: Sequence[Asked], precision: float, made: bool = False
) -> Sequence[Threshold]:
    """Calibrate a matcher on these questions. Without thresholds, because they are too few, it
    answers only questions that equal a known one."""
    with suppress(XinyeError):
        matcher.calibrate_on(asked, precision, made)
    return matcher.calibration.thresholds if matcher.calibration else []


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


class Trial:
    """The questions that were kept apart and have an answer, asked of a FAQ."""

    def __init__(
        self, matcher: FAQMatcher, entries: Sequence[Entry], test: Sequence[TestQuestion]
    ) -> None:
        self._matcher = matcher
        asked = [each for each in test if each.answer]
        self._answerable = sum(each.answerable for each in asked)
        self._found = list[tuple[float, bool]]()  # confidence, and whether the answer is right
        for each in asked:
            match = matcher.match(each.question)
            if match is None or not entries[match.entry].answered:
                self._found.append((-1.0, False))
            else:
                right = is_right(entries[match.entry].answer, each)
                self._found.append((match.confidence, right))

    def tested(self, precision: float) -> Tested:
        """What the FAQ does with them if it should have this precision."""
        least = self._matcher.threshold(precision)
        answered = [right for sure, right in self._found if sure >= (1 if least is None else least)]
        return Tested(len(self._found), self._answerable, len(answered), sum(answered))


def is_right(answer: str, asked: TestQuestion) -> bool:
    """True if an answer is the one that the question had in the logs."""
    return plain(answer) == plain(asked.answer)
