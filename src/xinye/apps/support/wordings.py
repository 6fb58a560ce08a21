"""Learns which words of customers stand for which words of a FAQ: the first model of Brown et al.
(1993, "The Mathematics of Statistical Machine Translation"), used as Berger and Lafferty (1999,
"Information Retrieval as Statistical Translation") do to find documents."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from xinye.apps.support.desk_settings import AGAIN
from xinye.retrieval.format import damaged
from xinye.retrieval.terms import index_terms

ROUNDS = 5  # of expectation and maximization
SMOOTHING = 0.5  # counts that no word gets, so that a word seen once promises little
LEAST = 0.01  # probabilities below are not kept
OFTEN, SEEN = 3, 2  # times that a customer's term and one of the FAQ must occur
LONGEST = 200  # terms of a question and of a FAQ's wording that are learned from

Pairs = Sequence[tuple[str, str]]  # a customer's question, and the FAQ's wording of it
DAMAGED = (OSError, SafetensorError, LookupError, ValueError, TypeError)


class Wordings:
    """The probabilities of a FAQ's terms for each term of a customer, and how many of the `pairs`
    that they were learned from have each term of the FAQ."""

    def __init__(
        self,
        table: Mapping[str, Mapping[str, float]] | None = None,
        counts: Mapping[str, int] | None = None,
        pairs: int = 0,
    ) -> None:
        self.table = dict(table or {})
        self.counts = dict(counts or {})
        self.pairs = pairs

    @classmethod
    def learn(cls, pairs: Pairs) -> "Wordings":
        """Learn from questions and the wordings that they stand for. Time and memory grow with the
        product of the lengths of question and wording, of which the first `LONGEST` terms count."""
        asked = [distinct_terms(question)[:LONGEST] for question, _ in pairs]
        known = [distinct_terms(wording)[:LONGEST] for _, wording in pairs]
        counts = Counter(term for terms in known for term in terms)
        often = Counter(term for terms in asked for term in terms)
        # Number 0 is no term: whatever stands in most wordings needs no reason.
        given = {term: at for at, term in enumerate(_least(often, OFTEN), 1)}
        told = {term: at for at, term in enumerate(_least(counts, SEEN))}
        if not told:
            return cls({}, counts, len(pairs))
        columns = [[0, *(given[term] for term in terms if term in given)] for terms in asked]
        rows = [[told[term] for term in terms if term in told] for terms in known]
        kinds, probabilities = _translations(columns, rows, len(told))
        givens, tolds = [*given], [*told]
        table: dict[str, dict[str, float]] = {}
        for kind, probability in zip(kinds.tolist(), probabilities.tolist(), strict=True):
            one, other = divmod(kind, len(told))
            if one and probability >= LEAST:
                table.setdefault(givens[one - 1], {})[tolds[other]] = probability
        return cls(table, counts, len(pairs))

    def meant(self, terms: Sequence[str]) -> dict[str, float]:
        """How often each term of the FAQ is expected in the wording that a question with these
        terms stands for."""
        found: dict[str, float] = {}
        for term in terms:
            for other, probability in self.table.get(term, {}).items():
                found[other] = found.get(other, 0.0) + probability
        return found

    def save(self, path: Path) -> None:
        """Write the probabilities to a file of safetensors, with the terms beside the numbers."""
        terms = [*dict.fromkeys([*self.table, *self.counts])]
        numbers = {term: at for at, term in enumerate(terms)}
        links = [
            (numbers[one], numbers[other], probability)
            for one, others in self.table.items()
            for other, probability in others.items()
        ]
        path.write_bytes(
            save(
                {
                    "given": np.array([link[0] for link in links], np.int32),
                    "meant": np.array([link[1] for link in links], np.int32),
                    "probability": np.array([link[2] for link in links], np.float32),
                    "counts": np.array([self.counts.get(term, 0) for term in terms], np.int32),
                    "pairs": np.array([self.pairs], np.int64),
                    "terms": np.frombuffer(json.dumps(terms).encode(), np.uint8),
                }
            )
        )

    @classmethod
    def load(cls, path: Path) -> "Wordings":
        """What a file holds. Raises `XinyeError` if it is damaged."""
        try:
            found = load_file(path)
            terms = json.loads(found["terms"].tobytes())
            table: dict[str, dict[str, float]] = {}
            links = (found[name].tolist() for name in ("given", "meant", "probability"))
            for one, other, probability in zip(*links, strict=True):
                if min(one, other) < 0 or not 0 <= probability <= 1.001:
                    raise ValueError("inconsistent")
                table.setdefault(terms[one], {})[terms[other]] = probability
            often = zip(terms, found["counts"].tolist(), strict=True)
            counts = {term: count for term, count in often if count}
            return cls(table, counts, int(found["pairs"][0]))
        except DAMAGED as error:
            raise damaged(path, error, AGAIN) from None


def distinct_terms(text: str) -> list[str]:
    """The different terms of a text, in their order."""
    return [*dict.fromkeys(index_terms(text))]


def _least(counts: Counter[str], least: int) -> list[str]:
    return [term for term, count in counts.items() if count >= least]


def _translations(
    columns: Sequence[Sequence[int]], rows: Sequence[Sequence[int]], told: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each pair of terms that occur together, as a number `given * told + told term`, the
    probability of the second if the first is there."""
    cells, tokens, token = [], [], 0
    for column, row in zip(columns, rows, strict=True):
        cells.append((np.array(column, np.int64) * told + np.array([row], np.int64).T).ravel())
        tokens.append(np.repeat(np.arange(token, token + len(row)), len(column)))
        token += len(row)
    kinds, kind = np.unique(np.concatenate(cells), return_inverse=True)
    of_token = np.concatenate(tokens)
    given = kinds // told
    probability = np.ones(len(kinds))
    for _ in range(ROUNDS):
        weight = probability[kind]
        weight /= np.bincount(of_token, weight, minlength=token)[of_token]
        counts = np.bincount(kind, weight)
        probability = counts / (np.bincount(given, counts) + SMOOTHING)[given]
    return kinds, probability
