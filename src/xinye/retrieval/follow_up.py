"""Questions that need the one before them: "and how much is it?"."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

from xinye.data.scripts import has_han
from xinye.retrieval.terms import trimmed

LONGEST = 200  # characters of a question that are compared
SHORTEST = 2  # characters of a thing
# It begins like one, or has a word for something known.
_FOLLOWS = re.compile(
    "^(?:那|还有|然后|and |what about|how about)|[它他她其该]|这个|那个|这种|那种|呢[？?]?$"
    r"|\b(?:it|its|they|them|their|he|him|his|she|her|this|that|those|these|there)\b",
    re.IGNORECASE,
)

# what links a question to the one before, in place of the thing
_LINK = re.compile(
    r"^(?:那么?|还有|然后|and |what about|how about)[,，]?\s*"
    r"|^(?:它们?|他们?|她们?|这个|那个|这种|那种)的?"
    r"|\b(?:it|its|they|them|their|this|that|those|these)\b",
    re.IGNORECASE,
)


def in_context(question: str, before: str) -> str:
    """A question that can be understood alone: with the one before it, if it needs that.

    >>> in_context("那运费谁出？", "怎么退货？")
    '怎么退货？ 那运费谁出？'
    >>> in_context("怎么开发票？", "怎么退货？")
    '怎么开发票？'
    """
    return f"{before} {question}" if before and follows(question) else question


def follows(question: str) -> bool:
    """True for a question that needs the one before it."""
    return bool(_FOLLOWS.search(question.strip()))


def about(question: str, before: str, known: Iterable[str]) -> str:
    """A question with the thing that the one before it is about: what that has in common with one
    of the known questions that are most like this one. "" if they have nothing in common.

    >>> about("那运费谁出？", "怎么退货？", ["寄送运费谁出", "退货运费谁出"])
    '退货运费谁出？'
    """
    thing = max((_shared(before, each) for each in known), key=len, default="")
    rest = _LINK.sub("", question.strip())
    if len(thing) < SHORTEST or thing in rest:
        return ""
    between = "" if has_han(thing) and has_han(rest[:1]) else " "
    return f"{thing}{between}{rest}"


def _shared(one: str, other: str) -> str:
    """The longest stretch that two texts share."""
    one, other = one[:LONGEST].casefold(), other[:LONGEST].casefold()
    match = SequenceMatcher(None, one, other, autojunk=False).find_longest_match()
    return trimmed(one[match.a : match.a + match.size])
