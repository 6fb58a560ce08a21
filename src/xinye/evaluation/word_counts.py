"""A linear classifier of word counts: TF-IDF with a linear support vector machine and naive Bayes,
the baseline of a text classifier, which can also be mixed with it.

It is tuned as a practitioner would: sequences of characters for Chinese, words and pieces of words
otherwise; the strength of the regularization, what scales the machine's scores to log-odds, and the
share of naive Bayes are chosen on a part of the training texts. Both are linear, and so is their
sum (of a discriminative and a generative model, as in Wang and Manning 2012).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from itertools import product, starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from xinye.data.files import written_beside
from xinye.errors import XinyeError
from xinye.evaluation.logits import Bools, Numbers, log_loss, log_softmax
from xinye.evaluation.tokenizers import language
from xinye.libraries import need
from xinye.ranking.tensor_files import DAMAGE, read_arrays

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Labels = Sequence[tuple[str, ...]]  # the labels of each text: one, or any number

NAME = "TF-IDF + linear SVM + naive Bayes"
LIBRARY = "sklearn"
CHARACTERS = {"analyzer": "char", "ngram_range": (1, 3)}
WORDS = {"analyzer": "word", "ngram_range": (1, 2), "token_pattern": r"\b\w+\b"}
PIECES = {"analyzer": "char_wb", "ngram_range": (2, 5)}
_KINDS: dict[Any, dict[str, Any]] = {kind["analyzer"]: kind for kind in (CHARACTERS, WORDS, PIECES)}
COSTS = (0.1, 0.3, 1.0, 3.0)  # C of scikit-learn, the inverse of the regularization
SCALES = (1.0, 2.0, 3.0, 4.0, 6.0, 8.0)  # of the machine's scores
SHARES = (0.0, 0.1, 0.2, 0.4, 0.6)  # of naive Bayes
SMOOTHING = 0.1  # added to the count of each term in naive Bayes
MANY = 5000  # texts, from which on a term must be in two of them
MOST_TERMS = 250_000  # of each kind, the most frequent
MOST_WEIGHTS = 20_000_000  # of each kind, so that many labels need no more than 160 MB a table
MOST_TUNED = 5000  # texts on which the tuning is chosen; fewer with more than `FEW_LABELS`
FEW_LABELS = 10
FEWEST_TUNED = 1000
TUNED_ON = 0.2  # share of these that judge each choice
FAINT = 0.05  # of the strength of the word that counts most; others decide nothing
UNLIKELY = -20.0  # the logit of a label that no text had


@dataclass(frozen=True)
class Block:
    """Terms of one kind, each with its inverse document frequency. `options` are those of
    scikit-learn's `TfidfVectorizer`."""

    options: dict[str, Any]
    terms: list[str]
    rarity: Numbers

    @cached_property
    def words(self) -> list[str]:
        """The terms, with "" in place of those that mean nothing to a reader: pieces of words,
        single characters, and what has punctuation."""
        if self.options == PIECES:
            return [""] * len(self.terms)
        return [
            term if len(term) > 1 and term.replace(" ", "").isalnum() else "" for term in self.terms
        ]

    @cached_property
    def vectorizer(self) -> Any:
        """The vectorizer of scikit-learn with these terms."""
        vectorizer = _vectorizer(self.options, vocabulary=self.terms)
        vectorizer.idf_ = self.rarity
        return vectorizer

    def counts(self, texts: Sequence[str]) -> "csr_matrix":
        """The TF-IDF of the terms in texts, (texts, terms)."""
        return self.vectorizer.transform(texts)


@dataclass(frozen=True)
class Tuning:
    """C of the support vector machine, by how much its scores are multiplied, and the share of
    naive Bayes in the logits."""

    cost: float
    scale: float
    naive_bayes: float


USUAL = Tuning(1.0, 3.0, 0.1)


@dataclass(frozen=True)
class WordCounts:
    """A linear model of labels. `weights` (terms, columns) and `bias` have a column for each label,
    or a single one for the second of two labels that exclude each other."""

    labels: tuple[str, ...]
    several: bool
    blocks: tuple[Block, ...]
    weights: Numbers
    bias: Numbers
    tuning: Tuning = USUAL

    @classmethod
    def learn(
        cls,
        texts: Sequence[str],
        right: Labels,
        labels: Sequence[str],
        several: bool,
        tuning: Tuning | None = None,
    ) -> Self:
        """Learn from texts with their labels, and choose the tuning if none is given. Labels that
        no text has are impossible later. Raises `XinyeError` without scikit-learn, and if the texts
        contain no words or only one label."""
        need("the TF-IDF baseline", LIBRARY)
        known = {label for some in right for label in some}
        names = [label for label in labels if label in known]
        if len(names) < 2 - several:
            raise XinyeError("TF-IDF: at least two labels are needed")
        has = np.array([[label in some for label in names] for some in right])
        try:
            vocabulary = _Vocabulary.of(texts, has.shape[1])
            tuning = tuning or _tuned(texts, has, several, vocabulary)
            blocks = vocabulary.blocks(texts)
            counts = _counts(blocks, texts)
            machine = _machine(counts, has, several, tuning.cost)
            pairs = zip(machine, _bayes(counts, has, several), strict=True)
            weights, bias = (_together(*pair, tuning) for pair in pairs)
        except ValueError as error:  # no words at all
            raise XinyeError(f"TF-IDF: {error}") from None
        return cls(tuple(names), several, blocks, weights, bias, tuning)

    def logits(self, texts: Sequence[str], labels: Sequence[str]) -> Numbers:
        """For each text, the log-probability of each label, in this order; with several labels its
        log-odds. (texts, labels)"""
        found = np.full((len(texts), len(labels)), UNLIKELY)
        own = _logits(_scores(_counts(self.blocks, texts), self.weights, self.bias), self.several)
        places = [labels.index(label) for label in self.labels]
        found[:, places] = np.maximum(own, UNLIKELY)
        return found

    def chosen(self, texts: Sequence[str]) -> list[tuple[str, ...]]:
        """The labels of each text: the likeliest, or with several labels all that are likelier than
        not."""
        logits = self.logits(texts, self.labels)
        if self.several:
            return [tuple(np.array(self.labels)[row > 0].tolist()) for row in logits]
        return [(self.labels[at],) for at in logits.argmax(1)]

    def deciding(self, text: str, label: str, other: str, most: int = 5) -> list[str]:
        """The words of a text that speak most for a label against another, the strongest first: of
        Chinese two or three characters. None is inside of another."""
        counts = _counts(self.blocks, [text]).tocsr()
        weights = self._toward(label, counts.indices) - self._toward(other, counts.indices)
        strength = counts.data * weights
        terms = [term for block in self.blocks for term in block.words]
        found: list[str] = []
        least = FAINT * strength.max(initial=0.0)
        for at in np.argsort(-strength):
            word = terms[counts.indices[at]]
            if strength[at] <= least or len(found) == most:
                break
            if word and not any(word in named or named in word for named in found):
                found.append(word)
        return found

    def _toward(self, label: str, terms: NDArray[np.int32]) -> Numbers:
        """The weights of terms for a label."""
        if label not in self.labels:
            return np.zeros(len(terms))
        at = self.labels.index(label)
        if self.weights.shape[1] == len(self.labels):
            return self.weights[terms, at]
        return self.weights[terms, 0] * (at - 0.5)

    # -- files -------------------------------------------------------------------------------------

    def save(self, path: Path) -> None:
        """Write the model to a file of safetensors, with labels and terms beside the numbers."""
        about = {
            "labels": self.labels,
            "several": self.several,
            **asdict(self.tuning),
            "blocks": [block.options | {"terms": block.terms} for block in self.blocks],
        }
        tensors: dict[str, Any] = {
            "about": np.frombuffer(json.dumps(about).encode(), np.uint8),
            "weights": self.weights.astype(np.float32),
            "bias": self.bias.astype(np.float32),
            "rarity": np.concatenate([block.rarity for block in self.blocks]).astype(np.float32),
        }
        with written_beside(path) as beside:
            beside.write_bytes(save(tensors))

    @classmethod
    def load(cls, path: Path) -> Self:
        """What a file holds. Raises `XinyeError` if it is damaged."""
        need("a classifier that is mixed with word counts", LIBRARY)
        found = read_arrays(path)
        try:
            about = json.loads(found["about"].tobytes())
            weights, bias = found["weights"].astype(float), found["bias"].astype(float)
            blocks = tuple(_read_blocks(about["blocks"], found["rarity"].astype(float)))
            labels, several = tuple(map(str, about["labels"])), bool(about["several"])
            columns = 1 if len(labels) == 2 and not several else len(labels)
            terms = sum(len(block.terms) for block in blocks)
            unique = len({*labels}) == len(labels) >= 2 - several
            shapes = (weights.shape, bias.shape) == ((terms, columns), (columns,))
            if not (terms and unique and shapes and found["rarity"].ndim == 1):
                raise ValueError("inconsistent")
            tuning = Tuning(*(float(about.get(each.name, 0)) for each in fields(Tuning)))
            for block in blocks:
                _ = block.vectorizer  # imports scikit-learn now, not at a server's first request
            return cls(labels, several, blocks, weights, bias, tuning)
        except DAMAGE as error:
            raise XinyeError(f"{path}: damaged file ({error}); train the run again") from None


def _read_blocks(saved: Sequence[dict[str, Any]], rarity: Numbers) -> Iterator[Block]:
    """The blocks of a file; only known options are taken from it."""
    at = 0
    for block in saved:
        kind = _KINDS[block["analyzer"]]
        terms = [str(term) for term in block["terms"]]
        if not terms or len(set(terms)) < len(terms):
            raise ValueError("inconsistent")
        yield Block(kind, terms, rarity[at : at + len(terms)])
        at += len(terms)
    if at != len(rarity) or (rarity < 0).any():
        raise ValueError("inconsistent")


def _vectorizer(options: dict[str, Any], **others: Any) -> Any:
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(sublinear_tf=True, **options, **others)


@dataclass(frozen=True)
class _Vocabulary:
    """Which terms are counted: their kinds, in how many texts each must be at least, and how many
    of each kind there may be."""

    kinds: tuple[dict[str, Any], ...]
    fewest: int
    most: int

    @classmethod
    def of(cls, texts: Sequence[str], labels: int) -> Self:
        """The usual one for texts in their language."""
        some = texts[:: max(1, len(texts) // 1000)]
        chinese = language("".join(some)) == "chinese"
        return cls(
            kinds=(CHARACTERS,) if chinese else (WORDS, PIECES),
            fewest=2 if len(texts) >= MANY else 1,
            most=min(MOST_TERMS, MOST_WEIGHTS // labels),
        )

    def blocks(self, texts: Sequence[str]) -> tuple[Block, ...]:
        """The terms in texts."""
        found = []
        for options in self.kinds:
            vectorizer = _vectorizer(options, min_df=self.fewest, max_features=self.most)
            vectorizer.fit(texts)
            terms = vectorizer.get_feature_names_out().tolist()
            found.append(Block(options, terms, np.asarray(vectorizer.idf_)))
        return tuple(found)


def _counts(blocks: Sequence[Block], texts: Sequence[str]) -> "csr_matrix":
    """The TF-IDF of all terms in texts."""
    from scipy.sparse import hstack

    return hstack([block.counts(texts) for block in blocks], format="csr")


def _tuned(texts: Sequence[str], has: Bools, several: bool, vocabulary: _Vocabulary) -> Tuning:
    """The tuning with the lowest log loss on texts that are held out of training. The log loss is
    less often misled by chance than the accuracy, and the probabilities count in a mix. Of equal
    texts one is used, so that none is on both sides."""
    most = MOST_TUNED * FEW_LABELS // max(FEW_LABELS, has.shape[1])
    firsts = np.sort(np.unique(np.array(texts, object), return_index=True)[1])
    order = np.random.default_rng(0).permutation(firsts)[: max(FEWEST_TUNED, most)]
    held_out, rest = np.split(order, [round(TUNED_ON * len(order))])
    if not len(held_out) or not _can_be_learned(has[rest], several):
        return USUAL
    blocks = vocabulary.blocks([texts[at] for at in rest])
    known, asked = (_counts(blocks, [texts[at] for at in part]) for part in (rest, held_out))
    learned = has[rest].any(0)
    truth = has[held_out][:, learned]
    bayes = _scores(asked, *_bayes(known, has[rest][:, learned], several))
    best, lowest = USUAL, np.inf
    for cost in COSTS:
        machine = _scores(asked, *_machine(known, has[rest][:, learned], several, cost))
        losses = {}
        for tuning in starmap(Tuning, product((cost,), SCALES, SHARES)):
            logits = _logits(_together(machine, bayes, tuning), several)
            losses[tuning] = log_loss(logits, truth, several)
        tuning = min(losses, key=losses.__getitem__)
        if losses[tuning] > lowest:
            break
        best, lowest = tuning, losses[tuning]
    return best


def _can_be_learned(has: Bools, several: bool) -> bool:
    """Whether the texts differ in their labels."""
    seen = has.any(0)
    return bool((seen & ~has.all(0)).any() if several else seen.sum() > 1)


def _together(machine: Numbers, bayes: Numbers, tuning: Tuning) -> Numbers:
    """Weights, biases or scores of both."""
    share = tuning.naive_bayes
    return (1 - share) * tuning.scale * machine + share * bayes


def _machine(
    counts: "csr_matrix", has: Bools, several: bool, cost: float
) -> tuple[Numbers, Numbers]:
    """The weights and the bias of a linear support vector machine: of each label against all
    others, or of the second of two labels."""
    import warnings

    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    def learned(right: NDArray[Any]) -> tuple[Numbers, Numbers]:
        model = LinearSVC(C=cost, random_state=0).fit(counts, right)
        return model.coef_.T, model.intercept_

    with warnings.catch_warnings():  # how well it has learned is measured
        warnings.simplefilter("ignore", ConvergenceWarning)
        if not several:
            return learned(has.argmax(1))
        columns, biases = [], []
        for column in has.T:
            if column.all() or not column.any():  # nothing to tell apart
                columns.append(np.zeros((counts.shape[1], 1)))
                biases.append(np.array([-UNLIKELY if column.all() else UNLIKELY]))
                continue
            weights, bias = learned(column)
            columns.append(weights)
            biases.append(bias)
    return np.hstack(columns), np.concatenate(biases)


def _bayes(counts: "csr_matrix", has: Bools, several: bool) -> tuple[Numbers, Numbers]:
    """The weights and the bias of multinomial naive Bayes: how likely each term is in texts of a
    label; where columns are log-odds, how much likelier than in all others."""
    with_label = _log_shares(counts, has)
    share = np.log(has.mean(0).clip(1e-9))
    if not several and has.shape[1] > 2:
        return with_label, share
    weights = with_label - _log_shares(counts, ~has)
    bias = share - np.log((~has).mean(0).clip(1e-9))
    return (weights, bias) if several else (weights[:, 1:], bias[1:])


def _log_shares(counts: "csr_matrix", has: Bools) -> Numbers:
    """The logarithm of the share of each term in the texts of each label, (terms, labels)."""
    inside = np.asarray(counts.T @ has.astype(float)) + SMOOTHING
    return np.asarray(np.log(inside / inside.sum(0)))


def _scores(counts: "csr_matrix", weights: Numbers, bias: Numbers) -> Numbers:
    return np.asarray(counts @ weights + bias)


def _logits(scores: Numbers, several: bool) -> Numbers:
    """Log-probabilities, or with several labels log-odds."""
    if several:
        return scores
    if scores.shape[1] == 1:  # two labels: the log-odds of the second
        scores = np.hstack([np.zeros_like(scores), scores])
    return log_softmax(scores)
