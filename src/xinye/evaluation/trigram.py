"""The baseline for proofreading: a trigram model with confusion sets, the usual system of the
shared tasks before neural networks (as in Liu et al. 2011, ACM TALIP 10(2)).
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from xinye.data.scripts import is_han
from xinye.evaluation.edits import Unit, change, units_of
from xinye.evaluation.proofreading import Candidate

BEGIN, END = "<begin>", "<end>"
DISCOUNT = 0.75
GAPS = 5  # units that are tried where one may be missing
UNITS = 3_000_000  # that are counted, at most
SAMPLED = 500  # texts, for the mean log-probability


class Trigrams:
    """An interpolated trigram model of units with absolute discounting (Ney et al. 1994), learned
    from correct texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.counts: Counter[tuple[str, ...]] = Counter()  # n-grams of one to three units
        self.after: Counter[tuple[str, ...]] = Counter()  # occurrences of a history
        self.kinds: Counter[tuple[str, ...]] = Counter()  # different units after a history
        self.between: dict[tuple[str, str], Counter[str]] = {}  # what stands between two units
        read = 0
        for text in texts:
            units = self.framed(units_of(text))
            read += len(units)
            for at in range(2, len(units)):
                self._count(units[at - 2], units[at - 1], units[at])
            if read > UNITS:
                break
        self.size = 1 + self.kinds[()]
        self.units = [*(gram[0] for gram in self.counts if len(gram) == 1 and gram[0] != END)]
        sample = [self.framed(units_of(text)) for text in texts[:SAMPLED]]
        # what a unit more or less costs
        self.mean = sum(map(self.sum, sample)) / max(1, sum(map(len, sample)) - 2 * len(sample))

    @staticmethod
    def framed(units: Sequence[Unit]) -> list[str]:
        """The units with two signs for the beginning and two for the end."""
        return [BEGIN, BEGIN, *(unit.text for unit in units), END, END]

    def _count(self, first: str, second: str, unit: str) -> None:
        for before in ((first, second), (second,), ()):
            self.counts[*before, unit] += 1
            self.after[before] += 1
            self.kinds[before] += self.counts[*before, unit] == 1
        if second not in (BEGIN, END):
            self.between.setdefault((first, unit), Counter())[second] += 1

    def log(self, first: str, second: str, unit: str) -> float:
        """The log-probability of a unit after two others, in nats."""
        probability = 1 / self.size
        for before in ((), (second,), (first, second)):
            seen = self.after[before]
            if seen:
                left = DISCOUNT * self.kinds[before] / seen
                own = max(0.0, self.counts[*before, unit] - DISCOUNT) / seen
                probability = own + left * probability
        return math.log(probability)

    def sum(self, units: Sequence[str]) -> float:
        """The log-probability of all units but the first two."""
        return sum(self.log(*units[at - 2 : at + 1]) for at in range(2, len(units)))

    def candidates(self, text: str, alike: Callable[[str], Sequence[str]]) -> list[Candidate]:
        """The best edit at each unit of a text: the units that are `alike`, one unit less where it
        is doubled, or one more. The evidence is the gain in log-probability."""
        units = units_of(text)
        framed = self.framed(units)
        found = []
        for number in range(len(units) + 1):
            own = framed[number : number + 5]  # two before, the unit, two behind
            options: list[tuple[float, str, str]] = []
            if number < len(units):
                options += self._replaced(own, alike)
                if own[2] == own[1] and (is_han(own[2]) or own[2].isalpha()):
                    less = [*own[:2], *own[3:]]
                    options.append((self.sum(less) + self.mean - self.sum(own), "delete", ""))
            options += self._filled(framed[number : number + 4])
            if options:
                evidence, kind, new = max(options)
                end = number if kind == "insert" else number + 1
                found.append(Candidate(change(text, units, number, end, new), evidence))
        return sorted(found)

    def _replaced(
        self, own: Sequence[str], alike: Callable[[str], Sequence[str]]
    ) -> Iterator[tuple[float, str, str]]:
        before = self.sum(own)
        for other in alike(own[2]):
            # A unit that was never seen beside its neighbours does not become the better one.
            if self.counts[own[1], other] or self.counts[other, own[3]]:
                yield self.sum([*own[:2], other, *own[3:]]) - before, "replace", other

    def _filled(self, around: Sequence[str]) -> Iterator[tuple[float, str, str]]:
        """What may be missing in the middle of four units."""
        before = self.sum(around)
        for new, _ in self.between.get((around[1], around[2]), Counter()).most_common(GAPS):
            filled = [*around[:2], new, *around[2:]]
            yield self.sum(filled) - self.mean - before, "insert", new
