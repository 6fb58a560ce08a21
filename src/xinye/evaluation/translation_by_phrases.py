"""A translator that counts: a phrase table and a trigram model, both made from pairs of texts."""

from collections.abc import Callable, Sequence
from math import ceil

from xinye.evaluation.translation import OTHER
from xinye.evaluation.translation_decoder import Search, Weights
from xinye.evaluation.translation_phrases import LONGEST, phrase_table
from xinye.evaluation.translation_words import joined, usual_forms, words
from xinye.evaluation.trigrams import Trigrams

WINDOW = 40  # words that are learned from a text, and that are translated at a time
CELLS = 5_000_000  # pairs of words to align; of more, evenly chosen texts are used
# chosen by hand, and tried on 200 validation pairs of Tatoeba
WEIGHTS = {"zh": Weights(word=1.0), "en": Weights()}


def phrases(pairs: Sequence[tuple[str, str]], to: str) -> Callable[[Sequence[str]], list[str]]:
    """A function that translates texts into the language `to` by short runs of words."""
    source, weights = OTHER[to], WEIGHTS[to]
    learned = [(words(one, source)[:WINDOW], words(other, to)[:WINDOW]) for one, other in pairs]
    cells = sum(len(one) * len(other) for one, other in learned)
    learned = [pair for pair in learned if all(pair)][:: ceil(max(1, cells) / CELLS)]
    table = phrase_table(learned, (LONGEST[source], LONGEST[to]), weights.table)
    model = Trigrams((other for _, other in learned), kneser_ney=True)
    forms = usual_forms(other for _, other in pairs) if to == "en" else {}

    def translate(text: str) -> str:
        found = words(text, source)
        written: list[str] = []
        for begin in range(0, len(found), WINDOW):
            window = found[begin : begin + WINDOW]
            written += Search(window, table, model, weights, LONGEST[source]).translation()
        return joined([forms.get(word, word) for word in written], to)

    return lambda texts: [translate(text) for text in texts]
