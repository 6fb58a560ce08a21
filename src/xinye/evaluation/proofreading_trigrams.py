"""The baseline for proofreading: a trigram model with confusion sets, the usual system of the
shared tasks before neural networks (as in Liu et al. 2011, ACM TALIP 10(2)).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from xinye.data.scripts import is_han
from xinye.evaluation.edits import Unit, change, units_of
from xinye.evaluation.proofreading import Candidate
from xinye.evaluation.trigrams import BEGIN, END, Trigrams

GAPS = 5  # units that are tried where one may be missing
UNITS = 3_000_000  # that are counted, at most
SAMPLED = 500  # texts, for the mean log-probability


class TrigramProofreader:
    """A trigram model of the units of correct texts."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.model = Trigrams(_first(texts))
        self.between: dict[tuple[str, str], Counter[str]] = {}  # what stands between two units
        for (first, second, unit), count in self.model.triples.grams.items():
            if second not in (BEGIN, END):
                self.between.setdefault((first, unit), Counter())[second] += count
        self.units = [unit for (unit,) in self.model.singles.grams if unit != END]
        sample = [self.framed(units_of(text)) for text in texts[:SAMPLED]]
        # what a unit more or less costs
        self.mean = sum(map(self.sum, sample)) / max(1, sum(map(len, sample)) - 2 * len(sample))

    @staticmethod
    def framed(units: Sequence[Unit]) -> list[str]:
        """The units with two signs for the beginning and two for the end."""
        return [BEGIN, BEGIN, *(unit.text for unit in units), END, END]

    def sum(self, units: Sequence[str]) -> float:
        """The log-probability of all units but the first two."""
        return sum(
            self.model.log_probability(*units[at - 2 : at + 1]) for at in range(2, len(units))
        )

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
        before, seen = self.sum(own), self.model.pairs.grams
        for other in alike(own[2]):
            # A unit that was never seen beside its neighbours does not become the better one.
            if (own[1], other) in seen or (other, own[3]) in seen:
                yield self.sum([*own[:2], other, *own[3:]]) - before, "replace", other

    def _filled(self, around: Sequence[str]) -> Iterator[tuple[float, str, str]]:
        """What may be missing in the middle of four units."""
        before = self.sum(around)
        for new, _ in self.between.get((around[1], around[2]), Counter()).most_common(GAPS):
            filled = [*around[:2], new, *around[2:]]
            yield self.sum(filled) - self.mean - before, "insert", new


def _first(texts: Sequence[str]) -> Iterator[list[str]]:
    """The units of the texts until there are `UNITS`. A second sign for the end follows."""
    read = 0
    for text in texts:
        units = [unit.text for unit in units_of(text)]
        yield [*units, END]
        read += len(units) + 4
        if read > UNITS:
            return
