"""Groups texts that say the same in nearly the same words, in linear time: candidates come from an
index of MinHash sketches (Broder 1997), and each of them is compared."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from math import fsum, log

from xinye.data.duplicates import digest
from xinye.data.scripts import HAN
from xinye.retrieval.terms import content, terms

NEAR = 0.8  # share of the terms, counted by rarity, that two near-equal texts have in common
MOST_COMPARED = 20  # candidates for each text, so that the time stays linear
COMPARED = 200  # texts of which the typical one is chosen
BANDS, ROWS = 16, 4  # two texts are candidates if a band of their sketches is equal
PERMUTATIONS = BANDS * ROWS
# Words that change what a text means, however short they are.
_TURNS = re.compile(
    r"\d+|不|没|无法|别|非|未|除了|\b(?:not|no|never|without|except|unless)\b|n't\b", re.IGNORECASE
)
_POLITE = re.compile(
    r"请问(?:一下|下)?|麻烦(?:问)?(?:一下)?|您好|你好|谢谢"
    r"|(?<![呀啊呢吧哦嘛])[呀啊呢吧哦嘛]++(?=\W*$)"
    r"|\b(?:please|thanks|thank you|hello|hi)\b",
    re.IGNORECASE,
)
_NO_NEGATION = re.compile(
    r"(.)[不没]\1|没有?(?=\W*$)|[区特级分]别|别[的家人]|不好意思|非常|未来|\bwhy not\b",
    re.IGNORECASE,
)
_SPACE = re.compile(rf"[\W_]+|(?<=[{HAN}])的(?=[{HAN}])")


def plain(text: str) -> str:
    """A text without punctuation, case, width and polite words: what equal questions share.

    >>> plain("请问，怎么退货呀？") == plain("怎么退货")
    True
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = _SPACE.sub(" ", _POLITE.sub(" ", folded)).strip()
    return words or folded


def near_groups(texts: Sequence[str]) -> list[int]:
    """The number of the group of each text, from 0, in order of their first texts.

    A text joins the group whose first text it nearly equals; so groups do not chain. Numbers and
    negations must be the same in both.
    """
    if len(texts) < 2:
        return [0] * len(texts)
    from datasketch import MinHash, MinHashLSH

    numbers = dict[str, int]()  # of each different plain text
    of_text = [numbers.setdefault(plain(text), len(numbers)) for text in texts]
    different = [*numbers]
    bags = [frozenset(terms(content(text))) for text in different]
    counts = Counter(term for bag in bags for term in bag)
    rarity = {term: log(1 + len(bags) / count) for term, count in counts.items()}
    turns = [sorted(_TURNS.findall(text)) for text in different]
    empty = MinHash(PERMUTATIONS, hashfunc=int)
    index = MinHashLSH(num_perm=PERMUTATIONS, params=(BANDS, ROWS))
    groups: list[int] = []
    firsts: list[int] = []  # the number of the first text of each group
    for number, bag in enumerate(bags):
        sketch = empty.copy()
        hashes = [int.from_bytes(digest(term, 4), "little") for term in sorted(bag)]
        if hashes:
            sketch.update_batch(hashes)
        near = -1
        for group in sorted(index.query(sketch))[:MOST_COMPARED] if bag else ():
            other = firsts[group]
            if turns[other] == turns[number] and _similarity(bag, bags[other], rarity) >= NEAR:
                near = group
                break
        if near < 0:
            near = len(firsts)
            firsts.append(number)
            index.insert(near, sketch, check_duplication=False)
        groups.append(near)
    return [groups[number] for number in of_text]


def _similarity(one: frozenset[str], other: frozenset[str], rarity: dict[str, float]) -> float:
    """The weight of the terms that two texts share, of all that one of them has (Jaccard)."""
    shared = fsum(rarity[term] for term in one & other)
    either = fsum(rarity[term] for term in one | other)
    return shared / either if either else 1.0


def negates(text: str) -> bool:
    """True if a text has a negation or exception, and not only "能不能" or the like.

    >>> negates("没开封能放多久"), negates("能不能放三天")
    (True, False)
    """
    said = _NO_NEGATION.sub("", text.replace("’", "'"))
    return any(not each.isdigit() for each in _TURNS.findall(said))


def typical(texts: Sequence[str]) -> str:
    """The text that is most like the others: that has the greatest share of pieces in common with
    them (Dice's coefficient); the shortest of these."""
    pieces = [_pieces(plain(text)) for text in texts[:COMPARED]]

    def likeness(own: set[str]) -> float:
        return sum(len(own & other) / (len(own) + len(other)) for other in pieces)

    best = min(range(len(pieces)), key=lambda at: (-likeness(pieces[at]), len(texts[at])))
    return texts[best]


def _pieces(text: str) -> set[str]:
    """Pairs of neighbouring characters."""
    return {one + two for one, two in pairwise(text)} or {text}
