"""Texts in parts that fit into the context of a model."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence

from xinye.data.sentences import sentence_ends

Fits = Callable[[str], bool]


def windows(text: str, fits: Fits) -> Iterator[tuple[str, str]]:
    """The text in parts that fit, each as long as possible and with the space before it. A part
    ends behind a sentence; only a sentence that does not fit itself is cut inside."""
    stripped = text.strip()
    if fits(stripped):
        yield "", stripped
        return
    ends = [*sentence_ends(text), len(text)]
    begin, space = 0, ""
    while begin < len(text):
        last = _last_fitting(ends, begin, text, fits)
        part = text[begin:last]
        if part.strip():
            left = part.lstrip()
            yield space + part[: len(part) - len(left)], left.rstrip()
            space = left[len(left.rstrip()) :]
        begin = last


def _last_fitting(ends: Sequence[int], begin: int, text: str, fits: Fits) -> int:
    """Where the longest part that fits ends: behind a sentence, or inside the first one."""
    length = _largest(len(text) - begin, lambda size: fits(text[begin : begin + size].strip()))
    last = ends[max(0, bisect_right(ends, begin + length) - 1)]
    return last if begin < last <= begin + length else begin + max(1, length)


def _largest(most: int, holds: Callable[[int], bool]) -> int:
    """The largest number up to `most` for which `holds` is true, as it is for all smaller ones; 0
    if there is none. Grows before it halves, so that it never tries a number far too large."""
    low, high = 0, 1
    while high <= most and holds(high):
        low, high = high, high * 2
    high = min(high, most + 1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
