"""How well found answers fit the right ones: exact match and F1 of words, as SQuAD defines them
(Rajpurkar et al. 2016, arXiv:1606.05250). Each Han character is a word, as in MLQA (Lewis et al.
2020, arXiv:1910.07475)."""

import math
import re
from collections import Counter
from collections.abc import Sequence

from xinye.evaluation.classification import Figures

_WORD = re.compile(r"[\u3400-\u9fff\uf900-\ufaff]|[^\W_\u3400-\u9fff\uf900-\ufaff]+")
_ARTICLES = ("a", "an", "the")


def words(text: str) -> list[str]:
    """The words of an answer in lower case, without punctuation and English articles."""
    return [word for word in _WORD.findall(text.lower()) if word not in _ARTICLES]


def exact_match(found: str, right: Sequence[str]) -> float:
    """1.0 if the answer has the words of one of the right answers in their order."""
    return float(any(words(found) == words(each) for each in right or ("",)))


def f1(found: str, right: Sequence[str]) -> float:
    """The largest F1 of the answer's words with those of a right answer. Without right answers, 1.0
    for none found."""
    return max(_f1(words(found), words(each)) for each in right or ("",))


def _f1(found: list[str], right: list[str]) -> float:
    if not found or not right:
        return float(found == right)
    shared = sum((Counter(found) & Counter(right)).values())
    return 2 * shared / (len(found) + len(right))


def measure(found: Sequence[str], right: Sequence[Sequence[str]]) -> Figures:
    """The means of `f1` and `exact_match` over all questions; "" stands for no answer. If some
    questions have no right answer, also `answered`: the share of the questions that were answered,
    and `refused_rightly`: the share of those without an answer that were not."""
    pairs = list(zip(found, right, strict=True))
    figures: Figures = {
        "f1": _mean([f1(*pair) for pair in pairs]),
        "exact_match": _mean([exact_match(*pair) for pair in pairs]),
    }
    without = [answer for answer, known in pairs if not known]
    if without:
        figures["answered"] = _mean([float(bool(answer)) for answer in found])
        figures["refused_rightly"] = _mean([float(not answer) for answer in without])
    return figures


def best_threshold(
    evidence: Sequence[float], answered: Sequence[float], refused: Sequence[float]
) -> float:
    """The threshold above which to answer, so that the sum of F1 is highest, as SQuAD 2.0's
    official evaluation finds it (Rajpurkar et al. 2018, arXiv:1806.03822). Each question has the
    evidence for its answer, and the F1 of answering and of refusing. Of equally good thresholds
    this is the lowest; -inf if it is best to answer every question."""
    ordered = sorted(zip(evidence, answered, refused, strict=True), reverse=True)
    ordered = [each for each in ordered if each[0] > -math.inf]
    best, total, threshold = 0.0, 0.0, ordered[0][0] if ordered else -math.inf
    for number, (least, yes, no) in enumerate(ordered, 1):
        total += yes - no
        below = ordered[number][0] if number < len(ordered) else -math.inf
        if below < least and total >= best:
            best, threshold = total, (least + below) / 2
    return threshold


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))
