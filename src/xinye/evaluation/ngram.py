"""A 5-gram model with interpolated modified Kneser-Ney smoothing (Chen & Goodman 1999), the
strongest baseline of word counts.

The model subtracts a discount from every count of a token after a history, depending on whether the
count is 1, 2 or more. It gives the subtracted probability to the model of the next shorter history;
below the first order, all tokens are equally probable. Orders below the highest count the different
contexts of an n-gram, not its occurrences.

An n-gram is a number: the index of the pair (its first token, the number of the rest) among all
sorted pairs that occur. So tables are arrays, and a whole text is looked up at once, order by
order.
"""

from dataclasses import dataclass

import numpy as np

ORDER = 5


@dataclass(frozen=True)
class Level:
    """One order: arrays over its n-grams, and over their histories (n-grams of one order less)."""

    # Sorted: first token × number of shorter n-grams + number of the rest.
    keys: np.ndarray
    discounted: np.ndarray  # count less discount
    total: np.ndarray  # for each history: the sum of all counts after it
    taken: np.ndarray  # for each history: the sum of all discounts after it


class NGram:
    """A 5-gram model of the tokens in `spans` (n, 2). Each document begins with `<bos>`, and no
    history reaches into another document.
    """

    def __init__(self, tokens: np.ndarray, spans: np.ndarray, vocab_size: int, bos_id: int) -> None:
        self.vocab_size, self.bos_id = vocab_size, bos_id
        stream, targets = self._stream(tokens, spans)
        numbers, keys = [stream], [np.arange(vocab_size)]  # by order; index 0 is the first order
        for order in range(2, ORDER + 1):
            unique, inverse = np.unique(
                self._keys(numbers[-1], stream, order, len(keys[-1])), return_inverse=True
            )
            keys.append(unique)
            numbers.append(inverse.astype(np.int32))
        counts = np.bincount(numbers[-1][targets], minlength=len(keys[-1]))
        levels = []
        for order in range(ORDER, 0, -1):
            history_of = np.zeros(len(counts), np.int64)
            if order > 1:
                history_of[numbers[order - 1][targets]] = numbers[order - 2][targets - 1]
            histories = len(keys[order - 2]) if order > 1 else 1
            discounts = _discounts(counts)[np.minimum(counts, 3)]
            total = np.bincount(history_of, counts, minlength=histories)
            taken = np.bincount(history_of, discounts, minlength=histories)
            levels.append(Level(keys[order - 1], counts - discounts, total, taken))
            if order > 1:  # count the contexts of each shorter n-gram
                shorter = (keys[order - 1] % histories)[counts > 0]
                counts = np.bincount(shorter, minlength=histories)
        self.levels = levels[::-1]

    def log_probabilities(self, tokens: np.ndarray, spans: np.ndarray) -> np.ndarray:
        """The natural logarithm of the probability of each token in the spans, (N,), in order."""
        stream, targets = self._stream(tokens, spans)
        numbers: np.ndarray = stream
        history = np.zeros(len(targets), np.int64)
        probability = np.full(len(targets), 1 / self.vocab_size)
        for order, level in enumerate(self.levels, start=1):
            if order > 1:
                history = numbers[targets - 1]
                keys = self._keys(numbers, stream, order, len(self.levels[order - 2].keys))
                found = np.minimum(np.searchsorted(level.keys, keys), len(level.keys) - 1)
                # -1 for n-grams that never occurred
                numbers = np.where((numbers >= 0) & (level.keys[found] == keys), found, -1)
            total = np.where(history >= 0, level.total[history], 0)
            number = numbers[targets]
            discounted = np.where(number >= 0, level.discounted[number], 0)
            interpolated = (discounted + level.taken[history] * probability) / np.maximum(total, 1)
            probability = np.where(total > 0, interpolated, probability)
        return np.log(probability)

    def _stream(self, tokens: np.ndarray, spans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """All spans in one array, each after four `<bos>`, and the indices of their own tokens."""
        spans = spans[spans[:, 0] < spans[:, 1]]
        lengths = spans[:, 1] - spans[:, 0]
        targets = np.arange(lengths.sum()) + (ORDER - 1) * np.repeat(
            np.arange(1, len(spans) + 1), lengths
        )
        stream = np.full(lengths.sum() + (ORDER - 1) * len(spans), self.bos_id, np.int32)
        stream[targets] = np.concatenate([tokens[start:end] for start, end in spans])
        return stream, targets

    @staticmethod
    def _keys(numbers: np.ndarray, stream: np.ndarray, order: int, shorter: int) -> np.ndarray:
        """The key of the n-gram that ends at each place, from the n-gram of one order less and the
        token before it.
        """
        return np.roll(stream, order - 1).astype(np.int64) * shorter + numbers


def _discounts(counts: np.ndarray) -> np.ndarray:
    """The discounts for counts of 0, 1, 2 and more, estimated from how many n-grams have the counts
    1 to 4.
    """
    one, two, three, four = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].tolist()
    if min(one, two, three, four) > 0:
        share = one / (one + 2 * two)
        discounts = np.array(
            [
                0,
                1 - 2 * share * two / one,
                2 - 3 * share * three / two,
                3 - 4 * share * four / three,
            ]
        )
        if (discounts[1:] > 0).all():
            return discounts
    return np.array([0, 0.5, 1, 1.5])  # the text is too small or too unusual for the estimate
