"""How well summaries fit the right ones: ROUGE-1, ROUGE-2 and ROUGE-L (Lin 2004, "ROUGE: A Package
for Automatic Evaluation of Summaries").

A Han character is a token of its own, and so is a run of other letters and digits in small letters:
a word, a name, a number. Punctuation is no token. English words are not stemmed, and no word is
left out; so English figures equal those of the package `rouge-score` without its stemmer.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from xinye.data.scripts import HAN
from xinye.evaluation.classification import Figures

_TOKEN = re.compile(f"[{HAN}]|[^\\W_{HAN}]+")
LONGEST = 10_000  # tokens of a text that ROUGE-L compares; the rest is not looked at


def tokens(text: str) -> list[str]:
    """The tokens of a text, in one form for each letter and digit.

    >>> tokens("新品Ａ3：约 1.5 Cups")
    ['新', '品', 'a3', '约', '1', '5', 'cups']
    """
    return _TOKEN.findall(unicodedata.normalize("NFKC", text).lower())


def rouge(written: str, right: str) -> dict[str, float]:
    """`rouge1`, `rouge2` and `rougeL`: the F1 of the tokens, of the pairs of neighbouring tokens,
    and of the longest common subsequence of tokens, from 0 to 1."""
    one, other = tokens(written), tokens(right)
    return {
        "rouge1": _f1(_shared(one, other), len(one), len(other)),
        "rouge2": _f1(_shared([*pairwise(one)], [*pairwise(other)]), len(one) - 1, len(other) - 1),
        "rougeL": rouge_l(one, other),
    }


def rouge_l(one: Sequence[str], other: Sequence[str]) -> float:
    """The F1 of the longest common subsequence of two lists of tokens, of which it compares the
    first `LONGEST`."""
    one, other = one[:LONGEST], other[:LONGEST]
    return _f1(common(one, other), len(one), len(other))


def common(one: Sequence[str], other: Sequence[str]) -> int:
    """The length of the longest common subsequence.

    A row of the usual table is one number, with a bit for each place where the row does not grow; a
    few operations on it give the next row (Hyyrö 2004, "Bit-parallel LCS-length computation
    revisited").
    """
    places: dict[str, int] = {}
    for at, token in enumerate(one):
        places[token] = places.get(token, 0) | 1 << at
    every = (1 << len(one)) - 1
    row = every
    for token in other:
        matches = row & places.get(token, 0)
        row = (row + matches | row - matches) & every
    return len(one) - row.bit_count()


def measure(written: Sequence[str], right: Sequence[str]) -> Figures:
    """The means of `rouge1`, `rouge2` and `rougeL` over all pairs of a written and a right text."""
    found = [rouge(*pair) for pair in zip(written, right, strict=True)]
    names = ("rouge1", "rouge2", "rougeL")
    return {name: sum(each[name] for each in found) / max(1, len(found)) for name in names}


def copied(summary: str, source: str) -> float:
    """The share of the pairs of neighbouring tokens in a summary that stand in its source, too; for
    a single token, 1 if it does. 0 for a summary without tokens."""
    one, other = tokens(summary), tokens(source)
    if len(one) < 2:
        return float(bool(one) and one[0] in other)
    there = set(pairwise(other))
    return sum(pair in there for pair in pairwise(one)) / (len(one) - 1)


def _shared(one: Sequence[object], other: Sequence[object]) -> int:
    return (Counter(one) & Counter(other)).total()


def _f1(shared: int, one: int, other: int) -> float:
    """2PR / (P + R), where P = shared / one and R = shared / other."""
    return 2 * shared / (one + other) if shared else 0.0
