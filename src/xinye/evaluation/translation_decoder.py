"""A statistical translator: the phrases of a table in the order that a trigram model likes best,
found by a beam search over what is translated already (Koehn et al. 2003)."""

from collections.abc import Iterator, Sequence
from heapq import nlargest
from typing import Any, NamedTuple

from xinye.evaluation.translation_phrases import Option, Phrase, Table
from xinye.evaluation.trigrams import BEGIN, END, Trigrams

BEAM = 10  # hypotheses that are continued, for each number of translated words
FARTHEST = 4  # words that may be skipped and translated later
UNKNOWN = -8.0  # the score of a word that stays as it is


class Weights(NamedTuple):
    """How much the parts of a translation's score count."""

    # the logarithms of the four probabilities of a phrase table
    table: tuple[float, float, float, float] = (0.3, 0.2, 0.2, 0.2)
    trigrams: float = 0.5  # the logarithm of the trigram model's probability
    word: float = 0.5  # each written word
    phrase: float = -0.3  # each phrase
    skipped: float = -0.15  # each word between the end of a phrase and the begin of the next


class _Span(NamedTuple):
    """A phrase of the source: where it ends, a bit for each of its words, and its translations with
    their scores, the best first."""

    end: int
    bits: int
    options: list[tuple[Phrase, float]]


class _Hypothesis(NamedTuple):
    """A translation of a part of the source."""

    score: float
    estimate: float  # the score, and the most that the rest may add to it
    done: int  # a bit for each translated word
    end: int  # behind the phrase that was translated last
    first: str
    second: str  # the last two words
    before: Any  # the hypothesis that this one continues; None for the first
    phrase: Phrase


class Search:
    """The search for the best translation of some words."""

    def __init__(
        self, source: Sequence[str], table: Table, model: Trigrams, weights: Weights, longest: int
    ) -> None:
        self.size, self.model, self.weights = len(source), model, weights
        places = range(self.size)
        self.spans = [list(self._spans(source, begin, table, longest)) for begin in places]
        self.most = self._most()
        self.rests: dict[int, float] = {}

    def translation(self) -> list[str]:
        """The words of the best translation that is found."""
        # By the number of translated words: of the hypotheses that go on alike, the best one.
        stacks: list[dict[Any, _Hypothesis]] = [{} for _ in range(self.size + 1)]
        stacks[0][None] = _Hypothesis(0.0, 0.0, 0, 0, BEGIN, BEGIN, None, ())
        for stack in stacks[:-1]:
            for old in nlargest(BEAM, stack.values(), key=lambda each: each.estimate):
                for new in self._continued(old):
                    key = (new.done, new.end, new.first, new.second)
                    there = stacks[new.done.bit_count()]
                    if key not in there or there[key].score < new.score:
                        there[key] = new
        last = max(stacks[-1].values(), key=lambda each: each.score)
        phrases = []
        while last.before:
            phrases.append(last.phrase)
            last = last.before
        return [word for phrase in reversed(phrases) for word in phrase]

    def _continued(self, old: _Hypothesis) -> Iterator[_Hypothesis]:
        """The hypotheses with one more phrase."""
        gap = (~old.done & (old.done + 1)).bit_length() - 1  # the first word that is left
        for begin in range(gap, min(self.size, gap + FARTHEST + 1)):
            if old.done >> begin & 1:
                continue
            base = old.score + self.weights.skipped * abs(begin - old.end)
            for span in self.spans[begin]:
                if old.done & span.bits:
                    break
                done = old.done | span.bits
                rest = self._rest(done)
                for phrase, own in span.options:
                    first, second, logs = self._read(old.first, old.second, phrase)
                    if done.bit_count() == self.size:
                        logs += self.model.log_probability(first, second, END)
                    score = base + own + self.weights.trigrams * logs
                    yield _Hypothesis(
                        score, score + rest, done, span.end, first, second, old, phrase
                    )

    def _read(self, first: str, second: str, phrase: Phrase) -> tuple[str, str, float]:
        """The last two words behind a phrase after two words, and the logarithm of its
        probability."""
        logs = 0.0
        for word in phrase:
            logs += self.model.log_probability(first, second, word)
            first, second = second, word
        return first, second, logs

    def _spans(
        self, source: Sequence[str], begin: int, table: Table, longest: int
    ) -> Iterator[_Span]:
        """The phrases that begin at a place, the shortest first."""
        for end in range(begin + 1, min(self.size, begin + longest) + 1):
            options = table.get(tuple(source[begin:end]), [])
            if not options and end == begin + 1:
                options = [Option((source[begin],), UNKNOWN)]
            scored = [
                (phrase, score + self.weights.phrase + self.weights.word * len(phrase))
                for phrase, score in options
            ]
            if scored:
                yield _Span(end, (1 << end) - (1 << begin), scored)

    def _most(self) -> dict[tuple[int, int], float]:
        """The most that each run of words can add to the score, if it does not matter what stands
        before it. No run is longer than what a text is cut into."""
        most: dict[tuple[int, int], float] = {}
        for begin, spans in enumerate(self.spans):
            for span in spans:
                most[begin, span.end] = max(
                    score + self.weights.trigrams * self._read("", "", phrase)[2]
                    for phrase, score in span.options
                )
        for length in range(2, self.size + 1):
            for begin in range(self.size - length + 1):
                end = begin + length
                parted = max(most[begin, at] + most[at, end] for at in range(begin + 1, end))
                most[begin, end] = max(parted, most.get((begin, end), parted))
        return most

    def _rest(self, done: int) -> float:
        """The most that the words that are left can add to the score."""
        if done not in self.rests:
            total, begin = 0.0, 0
            for end in range(self.size + 1):
                if end == self.size or done >> end & 1:
                    total += self.most[begin, end] if begin < end else 0.0
                    begin = end + 1
            self.rests[done] = total
        return self.rests[done]
