"""A translation memory: the answer to a text is the known translation of the text most like it."""

from collections.abc import Callable, Sequence
from itertools import pairwise

from xinye.evaluation.translation import OTHER
from xinye.evaluation.translation_words import words
from xinye.libraries import need

CELLS = 5_000_000  # pairs of a text and a known one that are compared at a time


def memory(pairs: Sequence[tuple[str, str]], to: str) -> Callable[[Sequence[str]], list[str]]:
    """A function that translates texts into the language `to`: for each, the translation of the
    most similar text of `pairs`, by the cosine of TF-IDF vectors of words and of pairs of
    neighbouring words. A Han character is a word. Of equally similar texts the first counts."""
    need("the translation memory", "sklearn")
    from sklearn.feature_extraction.text import TfidfVectorizer

    def features(text: str) -> list[str]:
        found = words(text, OTHER[to])
        return [*found, *map(" ".join, pairwise(found))]

    vectors = TfidfVectorizer(analyzer=features, sublinear_tf=True)
    known = vectors.fit_transform([text for text, _ in pairs]).T.tocsr()

    def translate(texts: Sequence[str]) -> list[str]:
        written: list[str] = []
        size = max(1, CELLS // len(pairs))
        for begin in range(0, len(texts), size):
            similar = (vectors.transform(texts[begin : begin + size]) @ known).toarray()
            written += [pairs[place][1] for place in similar.argmax(axis=1).tolist()]
        return written

    return translate
