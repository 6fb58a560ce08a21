"""When a knowledge base says that it has no answer: calibrates, judges and evaluates that."""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import pairwise

import numpy as np

from xinye.data.sentences import sentences
from xinye.errors import XinyeError, plural
from xinye.retrieval.confidence import (
    DEPTH,
    FEWEST,
    Calibration,
    Example,
    features,
    rarity_in,
)
from xinye.retrieval.evaluation import Question
from xinye.retrieval.knowledge import KnowledgeBase
from xinye.retrieval.results import Found
from xinye.retrieval.search import indexed_text
from xinye.retrieval.terms import content, terms

PRECISION = 0.95  # wanted, if nothing else is said
# wanted of a base that is calibrated by itself: the first that is reached
REACHABLE = (PRECISION, 0.9, 0.8)
DEEPER = 4 * DEPTH  # passages that are searched for, since some are hidden
MADE = 400  # questions that are made of a base's own passages
ROUNDS = 5  # questions that are made of one passage, at most
SMALLEST = 20  # passages of a base that is calibrated by itself
GROWN = 1.2  # times as many passages: such a base is calibrated by itself again
MOST_PIECES, FEWEST_PIECES = 20, 6  # of a sentence that a question is made of
KEPT, REPLACED = 0.5, 0.2  # shares of the pieces
# Lower precisions that a refusal names if the base would answer with them, the highest first.
LOWER = (0.95, 0.9, 0.8, 0.7)
# Characters around an unmatched stretch that are hardly ever a part of its first or last word.
_AROUND = re.compile(
    "^(?:[的了吗呢吧啊着是地得]|里(?!程)|能(?![源量力耗])|[和与](?![平解谐])|在(?![职线校建])|有(?!限))+|"
    "(?:(?<!目)的|(?<!除)了|[吗呢吧啊和与在是里]|(?<![功性可智职技才电节产效])能|(?<![占具所拥])有)+$"
)
_RUN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]+|[^\W_\u3400-\u4dbf\u4e00-\u9fff]+")
_PIECE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]{1,2}|[^\W_\u3400-\u4dbf\u4e00-\u9fff]+ ?")


@dataclass(frozen=True)
class Verdict:
    """How sure the base is that the first passage answers, from 0 to 1; and, unless it is sure
    enough, why it gives no answer."""

    confidence: float
    refused: str


NOTHING_FOUND = Verdict(0.0, "no passage has a word of the question")


def judge(
    base: KnowledgeBase, question: str, found: Sequence[Found], precision: float | None = None
) -> Verdict | None:
    """Whether the first of the passages found answers the question, with the wanted precision, by
    default that of the base's calibration. None if the base has no calibration. Raises `XinyeError`
    if the calibration does not reach the precision."""
    calibration = Calibration.load(base.folder)
    if calibration is None:
        return None
    wanted = calibration.precision if precision is None else precision
    least = calibration.threshold(wanted).confidence
    if not found:
        return NOTHING_FOUND
    confidence = confidence_in(base, calibration, question, found)
    if confidence >= least:
        return Verdict(confidence, "")
    reasons = [
        f"the confidence is {confidence:.0%}, and for {wanted:.0%} of the answers to be right it "
        f"must be {least:.0%}"
    ]
    if lacking := lacking_words(question, found[0]):
        between = "" if re.search(r"[\u3400-\u9fff]", question) else ", "
        words = between.join(f"“{word}”" for word in lacking)
        reasons.append(f"the best passage does not mention {words}")
    for lower in LOWER:
        at = calibration.reached(lower) if lower < wanted else None
        if at and at.confidence <= confidence:
            reasons.append(f"it answers with --precision {lower:g}")
            break
    return Verdict(confidence, "; ".join(reasons))


def confidence_in(
    base: KnowledgeBase, calibration: Calibration, question: str, found: Sequence[Found]
) -> float:
    """The probability that the first of some passages found answers a question."""
    if len(found) < DEPTH:  # the first is compared with others
        others = base.search(question, DEPTH)
        found = [found[0], *(each for each in others if each.text != found[0].text)]
    return calibration.confidence(features(question, found, rarity_in(base)))


def why_never(base: KnowledgeBase) -> str:
    """Why a base refuses no question; "" if it is calibrated."""
    if Calibration.load(base.folder):
        return ""
    if base.passages < SMALLEST:
        return f"never refuses, because fewer than {SMALLEST} passages are too few to calibrate on"
    return "never refuses, because it is not calibrated: its passages are too much alike"


def lacking_words(question: str, found: Found) -> list[str]:
    """The words of a question that a passage does not have, in their order: of Chinese, stretches
    of which the passage has no two neighbouring characters, without particles around them."""
    there = frozenset(terms(indexed_text(found.title, found.section, found.text)))
    lacking = list[str]()
    for run in _RUN.findall(content(question)):
        if not re.match(r"[\u3400-\u9fff]", run):
            lacking += [run] if there.isdisjoint(terms(run)) else []
            continue
        known = [False] * len(run)
        for at, (one, two) in enumerate(pairwise(run)):
            if one + two in there:
                known[at] = known[at + 1] = True
        marked = "".join(" " if had else sign for sign, had in zip(run, known, strict=True))
        parts = [_AROUND.sub("", part) for part in marked.split()]
        lacking += [part for part in parts if len(part) > 1]
    return lacking


# -- calibrating -----------------------------------------------------------------------------------


def calibrate(
    base: KnowledgeBase, questions: Sequence[Question], precision: float = PRECISION
) -> Calibration:
    """Calibrate a base on questions, and save that in its folder. Raises `XinyeError` for too few
    questions, or if no answers to them are as precise."""
    calibration = Calibration.fit(examples(base, questions), precision)
    asked = [_hash(each.text) for each in questions]
    return _saved(base, calibration, asked, precision)


def calibrate_itself(base: KnowledgeBase, precision: float | None = None) -> Calibration:
    """Calibrate a base on questions made of its own passages, and save that. Without a precision,
    it is 95%, or 90% or 80% if the questions do not reach more. Raises `XinyeError` for too few
    passages, or if no answers to the questions are as precise."""
    if base.passages < SMALLEST:
        raise XinyeError(
            f"{base.folder}: too few passages ({base.passages}) to make questions of; calibrate on "
            "questions of your own, or add documents"
        )
    calibration = Calibration.fit(made_examples(base), precision or PRECISION, made=True)
    reached = (each for each in REACHABLE if calibration.reached(each))
    return _saved(base, calibration, [], precision or next(reached, PRECISION))


def keep_calibrated(base: KnowledgeBase) -> None:
    """Calibrate a base by itself unless a user has calibrated it, or it has hardly grown since. A
    base whose passages are too few or too much alike for that stays as it is."""
    try:
        current = Calibration.load(base.folder)
        if not current or (current.made and outgrown(base, current)):
            calibrate_itself(base)
    except XinyeError:  # a damaged calibration is reported when it is used
        return


def outgrown(base: KnowledgeBase, calibration: Calibration) -> bool:
    """Whether a base has grown much since it was calibrated."""
    return calibration.passages * GROWN < base.passages


def examples(
    base: KnowledgeBase, questions: Sequence[Question], groups: Sequence[int] | None = None
) -> list[Example]:
    """What the search finds for each question, and whether the first passage answers it.

    If fewer than `FEWEST` of the questions have no answer, those with one are asked a second time,
    with the passages hidden that answer, until as many questions have been asked without an answer
    as with one.
    """
    rarity = rarity_in(base)
    answerable = sum(each.is_answerable for each in questions)
    without = len(questions) - answerable
    hidden = answerable - without if without < FEWEST else 0
    groups = groups or range(len(questions))

    def example(question: Question, passages: Sequence[Found], group: int) -> Example:
        right = bool(passages) and question.is_answered_by(passages[0])
        score = passages[0].score if passages else 0.0
        return Example(features(question.text, passages, rarity), right, score, group)

    found = []
    for question, group in zip(questions, groups, strict=True):
        passages = base.search(question.text, DEEPER)
        found.append(example(question, passages, group))
        if question.is_answerable and hidden > 0:
            hidden -= 1
            others = [each for each in passages if not question.is_answered_by(each)]
            found.append(example(question, others, group))
    return found


def made_examples(base: KnowledgeBase, first_group: int = 0) -> list[Example]:
    """What the search finds for questions made of a base's own passages. Those of one passage are a
    group; `first_group` is the number of the first."""
    questions = made_questions(base)
    answers = [each.answer for each in questions]
    groups = {text: number for number, text in enumerate(dict.fromkeys(answers), first_group)}
    return examples(base, questions, [groups[each.answer] for each in questions])


def made_questions(base: KnowledgeBase, count: int = MADE) -> list[Question]:
    """Questions made of a base's own passages: sentences of which some pieces are left out and
    others replaced by pieces of other passages, as if someone asked in other words."""
    rng = random.Random(0)
    numbers = [int(number) for number in base.contents.open.nonzero()[0]]
    chosen = rng.sample(numbers, min(count, len(numbers)))
    texts = [row.text for row in base.contents.rows(chosen)]
    strange = [piece for text in texts for piece in _PIECE.findall(text)[:MOST_PIECES]]
    many = [text for _ in range(ROUNDS) for text in texts][:count]
    made = [(_garbled(text, strange, rng), text) for text in many]
    return [Question(asked, answer=text) for asked, text in made if asked.strip()]


def _garbled(text: str, strange: Sequence[str], rng: random.Random) -> str:
    """A sentence of a text with some of its pieces, and some strange ones. "" if all its sentences
    are very short."""
    split = [_PIECE.findall(text[begin:end]) for begin, end in sentences(text)]
    longer = [pieces for pieces in split if len(pieces) >= FEWEST_PIECES]
    asked = []
    for piece in rng.choice(longer)[:MOST_PIECES] if longer else []:
        luck = rng.random()
        if luck < KEPT:
            asked.append(piece)
        elif luck < KEPT + REPLACED:
            asked.append(rng.choice(strange))
    return "".join(asked)


def _saved(
    base: KnowledgeBase, calibration: Calibration, asked: list[str], precision: float
) -> Calibration:
    calibration.threshold(precision)
    update = {"asked": asked, "passages": base.passages, "precision": precision}
    calibration = calibration.model_copy(update=update)
    calibration.save(base.folder)
    return calibration


def _hash(question: str) -> str:
    return sha256("".join(question.split()).encode("utf-8", "replace")).hexdigest()[:12]


# -- evaluating ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Answering:
    """Shares: of the questions that get an answer, and of these answers that are right. The second
    is None if there are no answers."""

    answered: float
    precision: float | None


@dataclass(frozen=True)
class Refusal:
    """How well a base tells what it can answer. `baseline` refuses by the BM25 score alone, from a
    threshold chosen on the same questions."""

    wanted: float
    questions: int
    without_answer: int  # questions that the base cannot answer
    found: Answering
    baseline: Answering
    repeated: int  # questions that the base was calibrated on

    @property
    def notes(self) -> list[str]:
        """What makes the figures too good."""
        return _notes(self.repeated)


def evaluate_refusal(
    base: KnowledgeBase, questions: Sequence[Question], precision: float | None = None
) -> Refusal | None:
    """How well a base refuses these questions; None if it has no calibration."""
    calibration = Calibration.load(base.folder)
    if calibration is None:
        return None
    rarity = rarity_in(base)
    passages = [base.search(each.text, DEPTH) for each in questions]
    right = np.array(
        [
            bool(found) and question.is_answered_by(found[0])
            for question, found in zip(questions, passages, strict=True)
        ]
    )
    confidences = [
        calibration.confidence(features(question.text, found, rarity)) if found else 0.0
        for question, found in zip(questions, passages, strict=True)
    ]
    scores = [found[0].score if found else 0.0 for found in passages]
    least = calibration.threshold(precision)
    lowest_score = np.inf if least.score is None else least.score
    return Refusal(
        calibration.precision if precision is None else precision,
        len(questions),
        sum(not each.is_answerable for each in questions),
        _answering(np.array(confidences) >= least.confidence, right),
        _answering(np.array(scores) >= lowest_score, right),
        _repeated(calibration, [each.text for each in questions]),
    )


def calibration_notes(base: KnowledgeBase, questions: Sequence[str]) -> list[str]:
    """What makes figures on these questions too good: that the base was calibrated on them."""
    calibration = Calibration.load(base.folder)
    return _notes(_repeated(calibration, questions)) if calibration else []


def _repeated(calibration: Calibration, questions: Sequence[str]) -> int:
    asked = set(calibration.asked)
    return sum(_hash(each) in asked for each in questions)


def _notes(repeated: int) -> list[str]:
    if not repeated:
        return []
    return [
        f"{plural(repeated, 'question')} of the calibration are among them: the figures are too "
        "good; evaluate on others"
    ]


def _answering(answered: np.ndarray, right: np.ndarray) -> Answering:
    precision = float(np.mean(right[answered])) if answered.any() else None
    return Answering(float(np.mean(answered)), precision)
