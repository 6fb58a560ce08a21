"""The spans of training texts, which are found again in other texts."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

LONG = 4  # tokens: longer spans are not told apart by their length
LONGEST = 100  # tokens: longer spans are not found again, so that the time is linear in the text's
COLUMNS = 5
Counts = Mapping[str, np.ndarray]  # how often each form was a span of each type
PieceSpan = tuple[int, int, int]  # of tokens: first, end, and the number of the type


def counted(texts: Iterable[tuple[Sequence[str], Sequence[PieceSpan]]], types: int) -> Counts:
    """How often each form is a span of each type, in texts as tokens with their spans."""
    counts: defaultdict[str, np.ndarray] = defaultdict(lambda: np.zeros(types, np.int32))
    for pieces, spans in texts:
        for start, end, kind in spans:
            counts[form_of(pieces[start:end])][kind] += 1
    return dict(counts)


def form_of(pieces: Sequence[str]) -> str:
    """Tokens as one string, in lower case. Their first may begin with a space."""
    return "".join(pieces).strip().lower()


@dataclass(frozen=True)
class Lexicon:
    """Forms of spans with their counts. A text is matched from left to right, the longest form
    first. `most` is the number of tokens in the longest form; up to `LONGEST` are looked for."""

    counts: Counts
    most: int
    beginnings: frozenset[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "beginnings", frozenset(form[:1] for form in self.counts))

    def features(self, pieces: Sequence[str], without: Counts | None = None) -> np.ndarray:
        """For each token a number for each of these, or 0 for none, (T, COLUMNS): its place in a
        form and the type of that; the same with the length; whether the type is ambiguous; the type
        of a form that ends before the token; that of one that begins after it.

        `without` has the counts of spans in this very text, which are subtracted: a tagger that
        learns from a text must not find the text's own spans, because it will not find those of
        other texts either.
        """
        found = np.zeros((len(pieces), COLUMNS), np.uint64)
        for start, end, counts in self._matches(pieces, without or {}):
            kind = int(counts.argmax()) + 1
            size = min(end - start, LONG)
            for at in range(start, end):
                place = 1 + (at > start) + (at > start and at == end - 1)  # first, inside, last
                found[at, 0] = 4 * kind + place
                found[at, 1] = (4 * kind + place) * (LONG + 1) + size
                found[at, 2] = place if (counts > 0).sum() > 1 else 0
            if end < len(pieces):
                found[end, 3] = kind
            if start:
                found[start - 1, 4] = kind
        return found

    def _matches(
        self, pieces: Sequence[str], without: Counts
    ) -> Iterator[tuple[int, int, np.ndarray]]:
        at = 0
        while at < len(pieces):
            after = at + 1
            if form_of(pieces[at])[:1] in self.beginnings:
                for end in range(min(len(pieces), at + min(self.most, LONGEST)), at, -1):
                    form = form_of(pieces[at:end])
                    if form not in self.counts:
                        continue
                    counts = self.counts[form]
                    if form in without:
                        counts = counts - without[form]
                    if counts.any():
                        yield at, end, counts
                        after = end
                        break
            at = after
