"""How well translations fit the right ones: BLEU (Papineni et al. 2002) and chrF (Popović 2015),
both by sacrebleu (Post 2018, "A Call for Clarity in Reporting BLEU Scores")."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from xinye.evaluation.classification import Figures
from xinye.libraries import need

OTHER = {"en": "zh", "zh": "en"}  # the other language
TOKENIZERS = {"en": "13a", "zh": "zh"}  # of sacrebleu: by words for English, by Han characters
LONGEST = 4  # characters of the n-grams by which two texts are compared


class Pair(NamedTuple):
    """A text, and its translation into the language `to` (en or zh)."""

    source: str
    target: str
    to: str


# Makes a translator from texts with their translations into a language.
Maker = Callable[[Sequence[tuple[str, str]], str], Callable[[Sequence[str]], list[str]]]


def measure(written: Sequence[str], pairs: Sequence[Pair]) -> Figures:
    """The figures of the texts that were written for these pairs, from 0 to 100: for each direction
    that occurs `bleu_en_zh` and `chrf_en_zh` or `bleu_zh_en` and `chrf_zh_en`, and the mean over
    the directions as `bleu` and `chrf`."""
    figures: Figures = {}
    for to in _directions(pairs):
        both = [
            (text, pair.target) for text, pair in zip(written, pairs, strict=True) if pair.to == to
        ]
        for name, metric in _metrics(to).items():
            score = metric.corpus_score([text for text, _ in both], [[right for _, right in both]])
            figures[f"{name}_{OTHER[to]}_{to}"] = score.score
    for name in ("bleu", "chrf"):
        scores = [value for key, value in figures.items() if key.startswith(f"{name}_")]
        figures[name] = sum(scores) / len(scores)
    return figures


def signatures(pairs: Sequence[Pair]) -> dict[str, str]:
    """For each figure of `measure`, sacrebleu's description of how it is computed."""
    found = {}
    for to in _directions(pairs):
        for name, metric in _metrics(to).items():
            metric.corpus_score(
                [""], [[""]]
            )  # before that, it does not know the number of references
            found[f"{name}_{OTHER[to]}_{to}"] = str(metric.get_signature())
    return found


def translated(make: Maker, training: Sequence[Pair], pairs: Sequence[Pair]) -> list[str]:
    """What a translator writes for the sources of `pairs`, if it is made from `training`. Each
    direction has a translator of its own; it writes nothing if no pair shows how."""
    written = [""] * len(pairs)
    for to in _directions(pairs):
        known = [(pair.source, pair.target) for pair in training if pair.to == to]
        places = [place for place, pair in enumerate(pairs) if pair.to == to]
        if known:
            texts = make(known, to)([pairs[place].source for place in places])
            for place, text in zip(places, texts, strict=True):
                written[place] = text
    return written


def _directions(pairs: Sequence[Pair]) -> list[str]:
    return sorted({pair.to for pair in pairs}, reverse=True)


def _metrics(to: str) -> dict[str, Any]:
    """The metrics of translations into a language."""
    need("judging translations", "sacrebleu")
    from sacrebleu.metrics import BLEU, CHRF

    return {"bleu": BLEU(tokenize=TOKENIZERS[to]), "chrf": CHRF()}


def most_alike(texts: Sequence[str]) -> int:
    """The index of the text with the highest mean similarity to all texts; the first of several."""
    counts = Counter(texts)
    if len(counts) == 1:
        return 0
    scores = {
        one: sum(count * similarity(one, other) for other, count in counts.items() if other != one)
        + counts[one]
        for one in counts
    }
    return texts.index(max(counts, key=lambda text: scores[text]))


def similarity(one: str, other: str) -> float:
    """How similar two texts are, from 0 to 1: the mean F1 of their runs of one to four characters,
    without spaces.

    >>> similarity("我喝茶。", "我喝茶。"), round(similarity("我喝茶。", "他喝茶。"), 2)
    (1.0, 0.48)
    """
    shares = [
        2 * (mine & yours).total() / (mine.total() + yours.total())
        for mine, yours in zip(_grams(one), _grams(other), strict=True)
        if mine or yours
    ]
    return sum(shares) / len(shares) if shares else float(one == other)


@lru_cache(64)
def _grams(text: str) -> tuple[Counter[str], ...]:
    """How often each run of one character, of two and so on occurs."""
    letters = "".join(text.split())
    return tuple(
        Counter(letters[at : at + size] for at in range(len(letters) - size + 1))
        for size in range(1, LONGEST + 1)
    )
