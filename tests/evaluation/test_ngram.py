"""The 5-gram model is Chen and Goodman's, written out with dictionaries; and its probabilities are
proper."""

import math
from collections import Counter, defaultdict

import numpy as np
import pytest

from xinye.evaluation.ngram import NGram

V, BOS = 7, 1
RANDOM = np.random.default_rng(3)


def text(length: int) -> list[int]:
    """Tokens 2 … 6; the next one is often the last plus one, so that histories matter."""
    tokens = [2]
    while len(tokens) < length:
        tokens.append(
            int(RANDOM.integers(2, V)) if RANDOM.random() < 0.4 else 2 + (tokens[-1] - 1) % 5
        )
    return tokens


def corpus(documents: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    ends = np.cumsum([len(document) for document in documents])
    tokens = np.concatenate(documents).astype(np.uint16)
    return tokens, np.stack((np.concatenate(([0], ends[:-1])), ends), axis=1)


TRAINING = [text(400), text(150), text(1), text(60)]
MODEL = NGram(*corpus(TRAINING), V, BOS)


class Literal:
    """The same from the definition, one n-gram at a time."""

    def __init__(self, documents: list[list[int]]) -> None:
        grams = Counter(
            tuple(([BOS] * 4 + document)[i : i + 5])
            for document in documents
            for i in range(len(document))
        )
        self.counts = {5: grams}
        for order in range(4, 0, -1):
            self.counts[order] = Counter(gram[1:] for gram in self.counts[order + 1])
        self.behind: dict = defaultdict(dict)
        for counts in self.counts.values():
            for gram, count in counts.items():
                self.behind[gram[:-1]][gram[-1]] = count

    def discount(self, order: int, count: int) -> float:
        have = Counter(self.counts[order].values())
        n1, n2, n3, n4 = (have[i] for i in (1, 2, 3, 4))
        if not (n1 and n2 and n3 and n4):
            return (0.5, 1, 1.5)[min(count, 3) - 1]
        y = n1 / (n1 + 2 * n2)
        found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
        return (found if min(found) > 0 else (0.5, 1, 1.5))[min(count, 3) - 1]

    def probability(self, history: tuple[int, ...], token: int) -> float:
        shorter = self.probability(history[1:], token) if history else 1 / V
        behind = self.behind.get(history)
        if not behind:
            return shorter
        order, total = len(history) + 1, sum(behind.values())
        own = behind[token] - self.discount(order, behind[token]) if token in behind else 0
        taken = sum(self.discount(order, count) for count in behind.values())
        return (own + taken * shorter) / total


def test_it_is_the_literal_definition() -> None:
    literal = Literal(TRAINING)
    documents = [text(80), [6, 2, 2, 6, 4, 4, 4, 3], TRAINING[1][:30]]
    expected = [
        math.log(literal.probability(tuple(([BOS] * 4 + document)[i : i + 4]), document[i]))
        for document in documents
        for i in range(len(document))
    ]
    assert MODEL.log_probabilities(*corpus(documents)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    "history", [[], [2], [2, 3, 4, 5], [6, 6, 6, 6], [1, 2, 0, 2], [4, 3, 2, 3]]
)
def test_probabilities_of_all_tokens_sum_to_one(history: list[int]) -> None:
    """After histories that occurred, that did not, and at the beginning."""
    log_probabilities = MODEL.log_probabilities(*corpus([[*history, token] for token in range(V)]))
    last = log_probabilities.reshape(V, -1)[:, -1]
    assert np.exp(last).sum() == pytest.approx(1, abs=1e-12)
    assert (last > -math.inf).all()


def test_a_text_too_small_for_the_discounts_still_gives_probabilities() -> None:
    model = NGram(*corpus([[2, 3, 4]]), V, BOS)
    total = sum(
        math.exp(model.log_probabilities(*corpus([[2, 3, token]]))[-1]) for token in range(V)
    )
    assert total == pytest.approx(1, abs=1e-12)


def test_documents_see_nothing_of_each_other() -> None:
    one, other = text(20), text(20)
    together = MODEL.log_probabilities(*corpus([one, other]))
    assert together[:20] == pytest.approx(MODEL.log_probabilities(*corpus([one])), rel=1e-12)
    assert together[20:] == pytest.approx(MODEL.log_probabilities(*corpus([other])), rel=1e-12)
