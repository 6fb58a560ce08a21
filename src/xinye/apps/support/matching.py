"""Finds the entry of a FAQ that a question asks for, and how sure that is."""

import random
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from math import exp
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import Field, field_validator

from xinye.apps.support.classes import Classes
from xinye.apps.support.desk_settings import AGAIN
from xinye.apps.support.groups import plain
from xinye.apps.support.likeness import FEATURES, OTHERS, Candidate, Likeness, Numbers
from xinye.apps.support.wordings import Pairs, Wordings
from xinye.data.files import write_json
from xinye.errors import XinyeError
from xinye.retrieval.confidence import FEWEST, FOLDS, Threshold, reached, thresholds
from xinye.retrieval.format import Format, Strict

FILE, WORDINGS = "matching.json", "wordings.safetensors"
MADE = 400  # questions that are made of the FAQ's own
KEPT, REPLACED = 0.8, 0.15  # shares of their pieces
ADDED = 6  # pieces of other questions before and behind them, at most
DECAY, LITTLE = 1e-3, 1e-9
MOST = 4000  # held-out questions to learn from, so that it takes a minute
_PIECE = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]{1,2}|[^\W_\u3400-\u4dbf\u4e00-\u9fff]+ ?")
_FORMAT = Format("xinye FAQ matcher", 1, "this is not a FAQ matcher of Xinye", AGAIN)

HeldOut = tuple[str, int | None]  # a question, and its entry; None if no entry answers it


@dataclass(frozen=True)
class Match:
    """The entry that fits a question best, and the probability that it answers."""

    entry: int
    confidence: float


class MatchCalibration(Strict):
    """Two logistic models: `ranking` says which candidate is first, and `weights` with `bias`
    whether the first answers; and from which confidence on matches have which precision."""

    questions: int = Field(ge=0)
    made: bool
    precision: float = Field(gt=0, le=1)  # the one wanted
    ranking: dict[str, float]
    weights: dict[str, float]
    bias: float
    thresholds: list[Threshold]

    @field_validator("ranking", "weights")
    @classmethod
    def _of_features(cls, weights: dict[str, float]) -> dict[str, float]:
        if tuple(weights) != FEATURES:
            raise ValueError("the weights are those of another version")
        return weights

    def ranked(self, found: Sequence[Candidate]) -> list[Match]:
        """The candidates, the best first, each with the probability that it answers."""
        return [
            Match(each.entry, self._probability(each))
            for each in sorted(found, key=lambda each: -_weighted(self.ranking, each))
        ]

    def best(self, found: Sequence[Candidate]) -> Match:
        """The best of some candidates."""
        first = max(found, key=lambda each: _weighted(self.ranking, each))
        return Match(first.entry, self._probability(first))

    def _probability(self, candidate: Candidate) -> float:
        total = self.bias + _weighted(self.weights, candidate)
        return 1 / (1 + exp(-min(500.0, max(-500.0, total))))

    def reached(self, precision: float) -> Threshold | None:
        """The threshold for a precision; None if the questions do not reach it."""
        return reached(self.thresholds, precision, self.made)


class _Saved(Strict):
    kind: str = _FORMAT.kind
    version: int = _FORMAT.version
    calibration: MatchCalibration | None


class FAQMatcher:
    """Matches questions with the entries of a FAQ: `learn`, if there are old questions to learn
    from, then `fit`, `calibrate` and `match`.

    A question that equals a known one is matched with confidence 1. Without a calibration all
    others have the confidence 0.
    """

    def __init__(self) -> None:
        self.questions: list[str] = []
        self.entries: list[int] = []
        self.answers: dict[int, str] = {}
        self.wordings = Wordings()
        self.calibration: MatchCalibration | None = None
        self._equal: dict[str, int] = {}
        self._likeness: Likeness | None = None

    def learn(self, pairs: Pairs) -> None:
        """Learn which words of customers stand for which words of the FAQ, from questions and the
        FAQ's wordings of them. Calibrate afterwards, on other questions. Later calls replace what
        was learned before."""
        self.wordings = Wordings.learn(pairs)
        self.fit(self.questions, self.entries, self.answers)

    def fit(
        self,
        questions: Sequence[str],
        entries: Sequence[int],
        answers: Mapping[int, str] | None = None,
    ) -> None:
        """Take the questions of a FAQ; `entries` has the number of the entry of each, and `answers`
        the answers of entries, which help to find them. What was learned and the calibration
        stay."""
        self.questions, self.entries, self.answers = [*questions], [*entries], dict(answers or {})
        self._equal = dict(zip(map(plain, questions), entries, strict=True))
        self._likeness = (
            Likeness(questions, entries, self.wordings, self.answers) if questions else None
        )

    def match(self, question: str) -> Match | None:
        """The entry that fits a question best; None if no question of the FAQ shares a word with
        it."""
        if (equal := self._equal.get(plain(question))) is not None:
            return Match(equal, 1.0)
        return self.best(self._candidates(question))

    def best(self, found: Sequence[Candidate]) -> Match | None:
        """The best of some candidates; None if there are none."""
        if not found:
            return None
        return self.calibration.best(found) if self.calibration else Match(found[0].entry, 0.0)

    def matches(self, question: str, count: int) -> list[Match]:
        """The entries that fit a question best, the best first, at most `count`."""
        found = self._candidates(question)
        if not self.calibration:
            return [Match(each.entry, 0.0) for each in found[:count]]
        return self.calibration.ranked(found)[:count]

    def calibrate(self, held_out: Sequence[HeldOut], precision: float, made: bool = False) -> None:
        """Learn from questions that are not among those of `fit` and `learn` which candidate
        answers, and how sure that is. Each question that has an entry is asked a second time with
        that entry hidden, so that the matcher also sees questions without an answer. `made` ones
        are easier than real ones. Of more than 4,000 questions a sample is taken.

        Raises `XinyeError` for too few questions.
        """
        if len(held_out) > MOST:
            held_out = random.Random(0).sample(held_out, MOST)
        self.calibrate_on(self.asked(held_out), precision, made)

    def asked(self, held_out: Sequence[HeldOut], first_group: int = 0) -> "list[Asked]":
        """What is found for questions, as `calibrate` asks them. `first_group` is the number of the
        first, so that the questions of several calls can be told apart."""
        asked: list[Asked] = []
        parts = self._likeness.classes_without() if self._likeness else {}
        for group, (question, entry) in enumerate(held_out, first_group):
            asked.append(Asked(self._candidates(question), entry, group))
            if entry is not None:
                hidden, classes = parts.get(entry, ((entry,), None))
                found = self._candidates(question, hidden, classes)
                asked.append(Asked(found, entry, group))
        return asked

    def calibrate_on(self, asked: "Sequence[Asked]", precision: float, made: bool = False) -> None:
        """As `calibrate`, from what was found for the questions, perhaps by matchers that know
        other parts of the FAQ."""
        self.calibration = _calibrated(asked, precision, made)

    def threshold(self, precision: float) -> float | None:
        """The confidence from which on matches have this precision; None if none has."""
        reached = self.calibration.reached(precision) if self.calibration else None
        return reached.confidence if reached else None

    def _candidates(
        self, question: str, hidden: Collection[int] = (), classes: Classes | None = None
    ) -> list[Candidate]:
        return self._likeness.candidates(question, hidden, classes) if self._likeness else []

    # -- files -------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Write what was learned to a folder: `matching.json` and `wordings.safetensors`."""
        self.wordings.save(folder / WORDINGS)
        write_json(folder / FILE, _Saved(calibration=self.calibration).model_dump())

    @classmethod
    def load(
        cls,
        folder: Path,
        questions: Sequence[str],
        entries: Sequence[int],
        answers: Mapping[int, str] | None = None,
    ) -> Self:
        """The matcher that was saved in a folder, for the questions of a FAQ. Raises `XinyeError`
        if a file is damaged."""
        matcher = cls()
        matcher.wordings = Wordings.load(folder / WORDINGS)
        matcher.calibration = _FORMAT.read(folder / FILE, _Saved).calibration
        matcher.fit(questions, entries, answers)
        matcher.match("?")  # learns what is learned on first use, so that no customer waits for it
        return matcher


# -- calibrating -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """What was found for a question with a known entry; those of one `group` are one question."""

    found: list[Candidate]
    entry: int | None
    group: int

    @property
    def right(self) -> list[bool]:
        return [each.entry == self.entry for each in self.found]


def _weighted(weights: Mapping[str, float], candidate: Candidate) -> float:
    values = zip(weights.values(), candidate.features, strict=True)
    return sum(weight * value for weight, value in values)


def _calibrated(asked: Sequence[Asked], precision: float, made: bool) -> MatchCalibration:
    """The models of these questions. The thresholds come from confidences of questions that the
    models did not learn from (cross-validation). Raises `XinyeError` for too few questions."""
    groups = np.array([each.group for each in asked])
    count = len(set(groups.tolist()))
    answered = len({each.group for each in asked if any(each.right)})
    if count < FEWEST or answered < FOLDS:
        raise XinyeError(
            f"{count} questions, of which {answered} find their entry, are too few to calibrate "
            f"on; use {FEWEST}"
        )
    confidences = np.zeros(len(asked))
    right = np.zeros(len(asked), bool)
    order = np.random.default_rng(0).permutation(int(groups.max()) + 1)
    for fold in range(FOLDS):
        held = order[groups] % FOLDS == fold
        model = _fitted([each for each, own in zip(asked, held, strict=True) if not own])
        for at in np.flatnonzero(held).tolist():
            if asked[at].found:
                match = model.best(asked[at].found)
                confidences[at] = match.confidence
                right[at] = match.entry == asked[at].entry
    update = {
        "questions": count,
        "made": made,
        "precision": precision,
        "thresholds": thresholds(confidences, confidences, right),
    }
    return _fitted(asked).model_copy(update=update)


def _fitted(asked: Sequence[Asked]) -> MatchCalibration:
    """The models of these questions, without thresholds. A question whose entry is not there says
    nothing about the order of the others, so the ranking does not learn from it."""
    weights, bias = _logistic(asked)
    ranking = _ranking([each for each in asked if any(each.right)])
    return MatchCalibration(
        questions=len(asked),
        made=False,
        precision=1,
        ranking=ranking,
        weights=weights,
        bias=bias,
        thresholds=[],
    )


def _logistic(asked: Sequence[Asked]) -> tuple[dict[str, float], float]:
    """The weights and the bias of a logistic model of whether a candidate answers."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    table = np.array([each.features for one in asked for each in one.found])
    right = np.array([each for one in asked for each in one.right])
    if right.all() or not right.any():
        raise XinyeError("to calibrate, some entries must answer a question, and some must not")
    scaler = StandardScaler().fit(table)
    model = LogisticRegression(max_iter=500).fit(scaler.transform(table), right)
    weights = model.coef_[0] / scaler.scale_
    bias = float(model.intercept_[0] - weights @ scaler.mean_)
    return dict(zip(FEATURES, weights.tolist(), strict=True)), bias


def _ranking(asked: Sequence[Asked]) -> dict[str, float]:
    """The weights by which the entry of each question is likeliest to come first, a conditional
    logit (McFadden, 1974). A better fit may not count against a candidate: on made questions,
    weights without this bound also learn how these were made."""
    from scipy.optimize import minimize

    counts = [len(one.found) for one in asked]
    begins = np.cumsum([0, *counts[:-1]])
    table = np.array([each.features for one in asked for each in one.found])
    right = np.array([each for one in asked for each in one.right], float)
    spread = table.std(0)
    spread[spread < LITTLE] = 1.0
    table /= spread

    def loss(weights: Numbers) -> tuple[float, Numbers]:
        scores = table @ weights
        shares = np.exp(scores - np.repeat(np.maximum.reduceat(scores, begins), counts))
        shares /= np.repeat(np.add.reduceat(shares, begins), counts)
        wrong = -float(right @ np.log(shares + LITTLE)) / len(asked)
        slope = table.T @ (shares - right) / len(asked)
        return wrong + DECAY * float(weights @ weights), slope + 2 * DECAY * weights

    bounds = [(0.0, 0.0) if name in OTHERS and name != "run" else (0.0, None) for name in FEATURES]
    found = minimize(loss, np.zeros(len(FEATURES)), jac=True, bounds=bounds, method="L-BFGS-B")
    return dict(zip(FEATURES, (found.x / spread).tolist(), strict=True))


def enough(held_out: Sequence[HeldOut]) -> bool:
    """True if enough of the questions have an entry to calibrate on them."""
    return sum(entry is not None for _, entry in held_out) >= 2 * FEWEST


def made_questions(questions: Sequence[str], entries: Sequence[int]) -> list[HeldOut]:
    """Questions made of known ones, with some pieces left out, replaced and added, as if someone
    asked in other words."""
    rng = random.Random(0)
    numbers = rng.sample(range(len(questions)), min(MADE, len(questions)))
    strange = [piece for number in numbers for piece in _PIECE.findall(questions[number])]
    made: list[HeldOut] = []
    for number in numbers:
        pieces = rng.choices(strange, k=rng.randint(0, ADDED // 2))
        for piece in _PIECE.findall(questions[number]):
            luck = rng.random()
            if luck < KEPT:
                pieces.append(piece)
            elif luck < KEPT + REPLACED:
                pieces.append(rng.choice(strange))
        pieces += rng.choices(strange, k=rng.randint(0, ADDED // 2))
        text = "".join(pieces).strip()
        if text and plain(text) != plain(questions[number]):
            made.append((text, entries[number]))
    return made
