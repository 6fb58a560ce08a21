"""How sure a knowledge base is that the first passage found answers a question.

`features` measures what question and passages have in common. `Calibration`, a logistic model,
turns these numbers into a confidence, and knows from which confidence on answers have a wanted
precision.
"""

import re
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from math import exp, fsum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from xinye.data.files import write_json
from xinye.data.sentences import sentences
from xinye.errors import XinyeError
from xinye.retrieval.format import Format, Strict
from xinye.retrieval.index import inverse_frequency
from xinye.retrieval.manifest import CALIBRATION
from xinye.retrieval.results import Found
from xinye.retrieval.search import indexed_text
from xinye.retrieval.terms import content, terms

if TYPE_CHECKING:
    from xinye.retrieval.knowledge import KnowledgeBase

KIND, VERSION = "xinye calibration", 1
DEPTH = 5  # passages that are compared
RAREST = 3  # shared terms that `rare` looks at
FEWEST = 20  # questions to calibrate on
FOLDS = 5
OPTIONAL = ("similarity", "reader")
AGAIN = "calibrate again: xinye knowledge calibrate {folder} QUESTIONS"
FORMAT = Format(KIND, VERSION, "this is not a calibration of Xinye", AGAIN)
PRECISIONS = [number / 200 for number in range(100, 200)]  # that thresholds are sought for
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff]")


@dataclass(frozen=True)
class Features:
    """What a question has in common with the passages found for it. Terms count by their rarity in
    the base; words that ask, such as "how many", do not count. The last two may be unknown."""

    shared: float  # overlap with the two neighbouring sentences of the first that fit best, 0 to 1
    ahead: float  # overlap with the first passage, minus that with the best other one
    rare: float  # mean rarity of the rarest terms that question and first passage share, 0 to 1
    missing: float  # rarity of the rarest word or number that the first passage lacks, 0 to 1
    similarity: float | None = None  # cosine of the vectors of question and first passage
    reader: float | None = None  # margin of a model that looked for the answer in the passages


@dataclass(frozen=True)
class Example:
    """A question whose answer is known: whether the first passage found has it, and that passage's
    BM25 score. Examples of one `group` are one question, asked with and without its passage."""

    features: Features
    right: bool
    score: float
    group: int


Share = Annotated[float, Field(ge=0, le=1)]
Precision = Annotated[float, Field(gt=0, le=1)]


class Threshold(Strict):
    """From this confidence on, answers have this precision, and this share of the questions is
    answered. `score` is the BM25 score that has the same precision, None if none has, and
    `by_score` the share that it would answer."""

    precision: Precision
    confidence: Share
    answered: Share
    score: float | None
    by_score: Share


class Calibration(Strict):
    """What was learned from questions. `made` ones were made of the passages themselves."""

    kind: str
    version: int
    questions: int = Field(ge=0)
    made: bool
    precision: Precision  # the one wanted
    weights: dict[str, float]
    bias: float
    thresholds: list[Threshold]
    passages: int = Field(default=0, ge=0)  # of the base, when it was calibrated
    asked: list[str] = Field(default_factory=list)  # hashes of the questions

    @field_validator("weights")
    @classmethod
    def _of_features(cls, weights: dict[str, float]) -> dict[str, float]:
        """Every feature that is always known has a weight, and nothing else but the others."""
        names = {each.name for each in fields(Features)}
        if not names.difference(OPTIONAL) <= weights.keys() <= names:
            raise ValueError(f"there must be weights of {', '.join(sorted(names))}")
        return weights

    @classmethod
    def fit(cls, examples: Sequence[Example], precision: float, made: bool = False) -> Self:
        """Learn from questions. The thresholds come from confidences of questions that the model
        did not learn from (cross-validation). Raises `XinyeError` if the questions are too few, or
        nearly all or none of them are answered."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import GroupKFold, cross_val_predict
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        groups = np.array([each.group for each in examples])
        right = np.array([each.right for each in examples])
        questions = len(set(groups.tolist()))
        if questions < FEWEST:
            raise XinyeError(f"{questions} questions are too few to calibrate on; use {FEWEST}")
        if min(len(set(groups[right])), len(set(groups[~right]))) < FOLDS:
            raise XinyeError(
                f"the first passage answers {int(right.sum())} of {len(right)} questions; to "
                "calibrate, some must be answered, and some must not"
            )
        rows = [_known(each.features) for each in examples]
        # A made question is more like its passage than a real one, above all to a model.
        names = [name for name in rows[0] if all(name in row for row in rows)]
        if made:
            names = [name for name in names if name not in OPTIONAL]
        table = np.array([[row[name] for name in names] for row in rows])
        model = make_pipeline(StandardScaler(), LogisticRegression())
        held_out = cross_val_predict(
            model, table, right, groups=groups, cv=GroupKFold(FOLDS), method="predict_proba"
        )[:, 1]
        scaler, logistic = [step for _, step in model.fit(table, right).steps]
        weights = logistic.coef_[0] / scaler.scale_
        scores = np.array([each.score for each in examples])
        return cls(
            kind=KIND, version=VERSION, questions=questions, made=made, precision=precision,
            weights=dict(zip(names, weights.tolist(), strict=True)),
            bias=float(logistic.intercept_[0] - weights @ scaler.mean_),
            thresholds=thresholds(held_out, scores, right),
        )  # fmt: skip

    def confidence(self, features: Features) -> float:
        """The probability that the first passage answers. Raises `XinyeError` if a feature that was
        learned from is unknown."""
        known = _known(features)
        if lacking := [name for name in self.weights if name not in known]:
            raise XinyeError(f"the calibration needs {', '.join(lacking)}; calibrate again")
        total = self.bias + sum(weight * known[name] for name, weight in self.weights.items())
        return 1 / (1 + exp(-max(-500.0, total)))

    def reached(self, precision: float) -> Threshold | None:
        """The threshold for a precision; None if the questions do not reach it."""
        return reached(self.thresholds, precision, self.made)

    def threshold(self, precision: float | None = None) -> Threshold:
        """The threshold for a precision, by default the one that was wanted. Raises `XinyeError` if
        the questions do not reach it."""
        wanted = self.precision if precision is None else precision
        if found := self.reached(wanted):
            return found
        most = max((each.precision for each in self.thresholds), default=0.0)
        most = max(0.0, 1 - 2 * (1 - most)) if self.made else most
        raise XinyeError(
            f"no confidence gives answers a precision of {wanted:.0%} on the {self.questions:,} "
            f"questions of the calibration; the highest is {most:.0%}; calibrate on more questions"
        )

    def save(self, folder: Path) -> None:
        """Write `calibration.json` in a folder."""
        write_json(folder / CALIBRATION, self.model_dump())

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """The calibration in a folder; None if there is none. Raises `XinyeError` for one that is
        damaged or of another version."""
        path = folder / CALIBRATION
        return FORMAT.read(path, cls) if path.is_file() else None


def _known(features: Features) -> dict[str, float]:
    return {name: value for name, value in asdict(features).items() if value is not None}


def reached(found: Sequence[Threshold], precision: float, made: bool = False) -> Threshold | None:
    """The threshold for a precision; None if none has it. Made questions are easier than real ones:
    half as many errors are allowed on them."""
    errors = (1 - precision) / (2 if made else 1) + 1e-9
    return next((each for each in found if 1 - each.precision <= errors), None)


def thresholds(
    confidences: NDArray[Any], scores: NDArray[Any], right: NDArray[np.bool_]
) -> list[Threshold]:
    """The thresholds of confidences and scores for each precision that these answers reach."""
    # What differs less is one value, so that no error of rounding decides.
    confidences, scores = (np.floor(values * 1e6) / 1e6 for values in (confidences, scores))
    found = []
    for precision in PRECISIONS:
        at = lowest(confidences, right, precision)
        if at is not None:
            score = lowest(scores, right, precision)
            found.append(
                Threshold(
                    precision=precision, confidence=at, answered=float(np.mean(confidences >= at)),
                    score=score, by_score=0.0 if score is None else float(np.mean(scores >= score)),
                )
            )  # fmt: skip
    return found


def lowest(values: NDArray[Any], right: NDArray[np.bool_], precision: float) -> float | None:
    """The lowest value from which on the wanted share is right, with one wrong answer added, since
    a few right ones prove little (as in conformal risk control, Angelopoulos et al. 2022). None if
    there is none."""
    order = np.argsort(-values, kind="stable")
    precisions = np.cumsum(right[order]) / (np.arange(len(order)) + 2)
    ends = np.append(values[order][1:] < values[order][:-1], True)  # behind equal values
    reached = np.flatnonzero(ends & (precisions >= precision))
    return float(values[order][reached[-1]]) if len(reached) else None


# -- measuring -------------------------------------------------------------------------------------


def rarity_in(base: "KnowledgeBase") -> Callable[[str], float]:
    """How rare a term is in a base: 1 if no passage has it, near 0 if all have it."""
    indexes = base.contents.indexes
    passages = sum(index.size for index in indexes)
    rarest = inverse_frequency(passages, 0)

    def rarity(term: str) -> float:
        having = sum(index.count(term) for index in indexes)
        return inverse_frequency(passages, having) / rarest

    return rarity


def features(question: str, found: Sequence[Found], rarity: Callable[[str], float]) -> Features:
    """The features of a question and the passages found for it, the best first."""
    if not found:
        return Features(shared=0, ahead=0, rare=0, missing=1)
    weights = {term: rarity(term) for term in terms(content(question))}
    first, *others = [
        frozenset(terms(indexed_text(each.title, each.section, each.text)))
        for each in found[:DEPTH]
    ]
    parts = [frozenset(terms(found[0].text[begin:end])) for begin, end in sentences(found[0].text)]
    pairs = [one | two for one, two in pairwise(parts)] or parts or [first]
    best = max(pairs, key=lambda pair: _mass(weights, pair))
    smaller = _smaller(weights, first, rarity)
    shared = sorted((weights[term] for term in weights if term in first), reverse=True)
    lacking = [weights[term] for term in weights if term not in first and not _HAN.match(term)]
    most = max((_mass(weights, other) for other in others), default=0.0)
    return Features(
        shared=_mass(weights, best) / _smaller(weights, best, rarity),
        ahead=(_mass(weights, first) - most) / smaller,
        rare=sum(shared[:RAREST]) / RAREST,
        missing=max(lacking, default=0.0),
        similarity=found[0].similarity,
    )


def _mass(weights: Mapping[str, float], text: Set[str]) -> float:
    return sum(weight for term, weight in weights.items() if term in text)


def _smaller(weights: Mapping[str, float], text: Set[str], rarity: Callable[[str], float]) -> float:
    """The rarity of all terms of a question or of a text, whichever is less: what both could share
    at most (the overlap coefficient of Szymkiewicz and Simpson)."""
    return min(fsum(weights.values()), fsum(map(rarity, text))) or 1.0
