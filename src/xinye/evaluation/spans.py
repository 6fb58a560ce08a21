"""Metrics of found spans, counted as in CoNLL-2003: a span is right if both borders and its type
are right.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from xinye.evaluation.classification import Figures, class_table, rounded


class Span(NamedTuple):
    """The characters `start` to `end - 1` of a text, and their type."""

    start: int
    end: int
    type: str


def measure(right: Sequence[Iterable[Span]], found: Sequence[Iterable[Span]]) -> Figures:
    """The metrics of the spans found in each text: `span_f1` (micro), `macro_f1`, and the `table`
    with precision, recall, F1 and support of each type and their averages.
    """
    pairs = list(zip(map(set, right), map(set, found), strict=True))
    table = class_table(pairs, lambda span: span.type)
    return {
        "span_f1": table["micro avg"]["f1-score"],
        "macro_f1": table["macro avg"]["f1-score"],
        "table": rounded(table),
    }


def f1(right: Sequence[Iterable[Span]], found: Sequence[Iterable[Span]]) -> float:
    """The `span_f1` of `measure` alone."""
    pairs = list(zip(map(set, right), map(set, found), strict=True))
    both = sum(len(one & other) for one, other in pairs)
    return 2 * both / max(1, sum(len(one) + len(other) for one, other in pairs))


class SurfaceForms:
    """The baseline for tagging: a string that was a span in the training texts is one again, with
    the type that it had most often.
    """

    def __init__(self, texts: Sequence[tuple[str, Sequence[Span]]]) -> None:
        forms = {text[span.start : span.end] for text, spans in texts for span in spans}
        # how often each form had each type, or None if it was not a span
        self.counts: dict[str, Counter[str | None]] = {form: Counter() for form in forms}
        self.longest = max(map(len, forms), default=0)
        self.begins = {form[0] for form in forms}
        for text, spans in texts:
            known = {(span.start, span.end): span.type for span in spans}
            for start, end in self._matches(text):
                self.counts[text[start:end]][known.get((start, end))] += 1

    def find(self, text: str) -> list[Span]:
        """The spans in a text, by the forms of the training texts."""
        counts = [(span, self.counts[text[slice(*span)]]) for span in self._matches(text)]
        found = [(span, count.most_common(1)[0][0]) for span, count in counts if count]
        return [Span(*span, kind) for span, kind in found if kind is not None]

    def _matches(self, text: str) -> Iterable[tuple[int, int]]:
        """The known forms in a text from left to right, the longest first. A form never matches
        inside a word of letters and digits.
        """
        at = 0
        while at < len(text):
            end = at
            if text[at] in self.begins and not _inside_word(text, at):
                ends = range(min(len(text), at + self.longest), at, -1)
                end = next(
                    (e for e in ends if text[at:e] in self.counts and not _inside_word(text, e)), at
                )
            if end > at:
                yield at, end
            at = max(end, at + 1)


def _inside_word(text: str, at: int) -> bool:
    return 0 < at < len(text) and re.fullmatch(r"[a-zA-Z0-9]{2}", text[at - 1 : at + 1]) is not None
