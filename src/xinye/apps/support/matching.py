"""Finds the entry of a FAQ that a question asks for, and how sure that is."""

import random
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import ValidationError

from xinye.apps.support.groups import plain
from xinye.errors import XinyeError
from xinye.retrieval.confidence import DEPTH, FEWEST, Calibration, Example, features
from xinye.retrieval.index import Index, inverse_frequency, rarity_of
from xinye.retrieval.results import Found

MADE = 400  # questions that are made of the FAQ's own
KEPT, REPLACED = 0.6, 0.15  # shares of their pieces
_PIECE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]{1,2}|[^\W_\u3400-\u4dbf\u4e00-\u9fff]+ ?")

HeldOut = tuple[str, int | None]  # a question, and its entry; None if no entry answers it


@dataclass(frozen=True)
class Match:
    """The entry that fits a question best, and the probability that it answers."""

    entry: int
    confidence: float


class FAQMatcher:
    """Matches questions with the entries of a FAQ: `fit`, then `calibrate`, then `match`.

    Without a calibration only a question that equals a known one is matched with confidence; all
    others have the confidence 0.
    """

    def __init__(self) -> None:
        self.questions: list[str] = []
        self.entries: list[int] = []
        self.calibration: Calibration | None = None
        self._equal: dict[str, int] = {}
        self._index: Index | None = None

    def fit(self, questions: Sequence[str], entries: Sequence[int]) -> None:
        """Learn the questions of a FAQ; `entries` has the number of the entry of each. The
        calibration stays."""
        self.questions, self.entries = [*questions], [*entries]
        self._equal = dict(zip(map(plain, questions), entries, strict=True))
        self._index = Index.of(self.questions) if questions else None

    def match(self, question: str) -> Match | None:
        """The entry that fits a question best; None if no question shares a word with it."""
        if (equal := self._equal.get(plain(question))) is not None:
            return Match(equal, 1.0)
        found = self._search(question)
        if not found:
            return None
        confidence = 0.0
        if self.calibration:
            confidence = self.calibration.confidence(self._features(question, found))
        return Match(self.entries[found[0][0]], confidence)

    def calibrate(self, held_out: Sequence[HeldOut], precision: float, made: bool = False) -> None:
        """Learn from questions that are not among those of `fit` how sure a match is. Each question
        that has an entry is asked a second time with that entry hidden, so that the matcher also
        sees questions without an answer. `made` ones are easier than real ones.

        Raises `XinyeError` for too few questions.
        """
        examples = []
        for group, (question, entry) in enumerate(held_out):
            hidden: tuple[int, ...] = () if entry is None else (entry,)
            for without in dict.fromkeys(((), hidden)):
                found = self._search(question, without)
                right = bool(found) and self.entries[found[0][0]] == entry
                score = found[0][1] if found else 0.0
                examples.append(Example(self._features(question, found), right, score, group))
        self.calibration = Calibration.fit(examples, precision, made)

    def threshold(self, precision: float) -> float | None:
        """The confidence from which on matches have this precision; None if no matches but those of
        equal questions do."""
        reached = self.calibration.reached(precision) if self.calibration else None
        return reached.confidence if reached else None

    def saved(self) -> dict[str, Any] | None:
        """The calibration for a file."""
        return self.calibration.model_dump() if self.calibration else None

    def restore(self, saved: Any) -> None:
        """Take a calibration that was saved. Raises `XinyeError` if it is damaged."""
        try:
            self.calibration = Calibration.model_validate(saved) if saved else None
        except ValidationError:
            raise XinyeError("the calibration of the FAQ is damaged") from None

    # -- searching ---------------------------------------------------------------------------------

    def _search(self, question: str, hidden: Collection[int] = ()) -> list[tuple[int, float]]:
        """The numbers and BM25 scores of the questions that match best, one of each entry."""
        if self._index is None:
            return []
        scores = self._index.scores(rarity_of(question, [self._index]))
        found: dict[int, tuple[int, float]] = {}
        for number in np.argsort(-scores, kind="stable").tolist():
            if scores[number] <= 0 or len(found) == DEPTH:
                break
            entry = self.entries[number]
            if entry not in hidden:
                found.setdefault(entry, (number, float(scores[number])))
        return [*found.values()]

    def _features(self, question: str, found: Sequence[tuple[int, float]]) -> Any:
        passages = [
            Found(self.questions[number], score, "", "", "", None, 0) for number, score in found
        ]
        return features(question, passages, self._rarity)

    def _rarity(self, term: str) -> float:
        index = self._index
        if index is None:
            return 1.0
        return inverse_frequency(index.size, index.count(term)) / inverse_frequency(index.size, 0)


def enough(held_out: Sequence[HeldOut]) -> bool:
    """True if enough of the questions have an entry to calibrate on them."""
    return sum(entry is not None for _, entry in held_out) >= 2 * FEWEST


def made_questions(questions: Sequence[str], entries: Sequence[int]) -> list[HeldOut]:
    """Questions made of known ones, with some pieces left out and others replaced, as if someone
    asked in other words."""
    rng = random.Random(0)
    numbers = rng.sample(range(len(questions)), min(MADE, len(questions)))
    strange = [piece for number in numbers for piece in _PIECE.findall(questions[number])]
    made: list[HeldOut] = []
    for number in numbers:
        pieces = []
        for piece in _PIECE.findall(questions[number]):
            luck = rng.random()
            if luck < KEPT:
                pieces.append(piece)
            elif luck < KEPT + REPLACED:
                pieces.append(rng.choice(strange))
        text = "".join(pieces).strip()
        if text and plain(text) != plain(questions[number]):
            made.append((text, entries[number]))
    return made
