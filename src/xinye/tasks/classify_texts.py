"""Texts and pairs of texts, as a classifier reads them: at most so many tokens of each."""

from collections.abc import Sequence
from typing import Any

from tokenizers import Encoding

from xinye.data.sentences import sentence_ends
from xinye.tasks.classify_records import LabelledText
from xinye.tasks.records import Example, sentence_borders


def pairs_of(records: Sequence[LabelledText]) -> list[tuple[str, str]]:
    """The texts of records as pairs; the second of a single text is ""."""
    return [(record.text, record.pair) for record in records]


def joined(text: str, pair: str) -> str:
    """A text, or both texts of a pair on separate lines."""
    return f"{text}\n{pair}" if pair else text


def as_pairs(inputs: Sequence[Any]) -> list[tuple[str, str]]:
    """Texts and pairs of texts, all as pairs; the second of a single text is ""."""
    return [(text, "") if isinstance(text, str) else (text[0], text[1]) for text in inputs]


def cut(encoding: Encoding, text: str, context: int, bos_id: int) -> Example:
    """An example of at most `context` tokens, without a target."""
    ids, parts = encoding.ids, encoding.sequence_ids
    places = kept(parts, context)
    over = len(ids) - len(places)
    if 1 in parts:
        return Example([ids[at] for at in places], 0, over)
    own = [at for at in places if parts[at] is not None]
    if not own:
        return Example(ids or [bos_id], 0)
    offsets = encoding.offsets  # the library builds this list anew on each access
    own_offsets = [offsets[at] for at in own]
    borders = sentence_borders(sentence_ends(text), own_offsets, places.index(own[0]))
    return Example([ids[at] for at in places], 0, over, borders)


def kept(parts: Sequence[int | None], context: int) -> list[int]:
    """The indices of at most `context` tokens of a text or a pair. A long text loses its middle,
    keeping a quarter at the beginning and three quarters at the end (Sun et al. 2019,
    arXiv:1905.05583). A pair loses the end of its longer text.
    """
    over = max(0, len(parts) - context)
    if 1 in parts:
        left_out = _ends(parts, over)
        return [at for at in range(len(parts)) if at not in left_out]
    head = context // 4 if over else len(parts)
    return [*range(head), *range(head + over, len(parts))]


def _ends(parts: Sequence[int | None], over: int) -> set[int]:
    """The indices of `over` tokens at the ends of both texts, taken from the longer one each
    time.
    """
    places = [[at for at, part in enumerate(parts) if part == number] for number in (0, 1)]
    left_out = set()
    for _ in range(over):
        longer = places[len(places[1]) > len(places[0])]
        left_out.add(longer.pop())
    return left_out
