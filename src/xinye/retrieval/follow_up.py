"""Questions that need the one before them: "and how much is it?"."""

import re
import unicodedata
from collections.abc import Iterable
from difflib import SequenceMatcher

from xinye.data.scripts import HAN, has_han
from xinye.retrieval.numbers import numbers
from xinye.retrieval.terms import content, terms, trimmed

LONGEST = 200  # characters of a question that are compared
SHORTEST = 2  # characters of a thing
# It begins like one, or has a word for something known.
_FOLLOWS = re.compile(
    r"^(?:那|还有|然后|and |what about|how about)|(?<!其)[它他她]|[这那][个种款些]|呢[？?]?$"
    # not "其他", "其实", "尤其", "应该", "该怎么"
    r"|(?<![尤极与])其(?![他它实余次])|(?<![应不])该(?![不怎如去用选填找放写买换]|什么|多)"
    r"|\b(?:it|its|they|them|their|he|him|his|she|her|this|that|those|these)\b"
    # not "is there a discount", "there is no order"
    r"|(?<!\bis )(?<!\bare )(?<!\bwas )(?<!\bwere )\bthere\b(?!['’]s| is\b| are\b| was\b| were\b)",
    re.IGNORECASE,
)

# what links a question to the one before, in place of the thing
_LINK = re.compile(
    r"^(?:那么?|还有|然后|and |what about|how about)[,，]?\s*"
    r"|^(?:它们?|他们?|她们?|这个|那个|这种|那种)的?"
    r"|\b(?:it|its|they|them|their|this|that|those|these)\b",
    re.IGNORECASE,
)

# A question that only names a thing: "那新疆呢？", "And in Ireland?"
_NAMES = re.compile(
    r"(?:那么?|还有|然后|要是|如果是?|换成)*[,，]?\s*(?:[寄送发](?:[到往去给]))?(?P<zh>[^,，。？?]{1,12}?)的?呢[？?]?"
    r"|那么?(?:[寄送发](?:[到往去给]))?(?P<asked>[^,，。？?]{1,12}?)的?[？?]"
    r"|(?:and )?(?:what about |how about )?(?:(?:for|to|in|on|with|by|from|at) )?"
    r"(?:(?:the|an?|your|my|our|some) )?(?P<en>[^\s,?]+(?: [^\s,?]+){0,3}?)(?: one| ones)?\s*[?.]*",
    re.IGNORECASE,
)
_BEGINS = re.compile(r"(?:and|what about|how about)\b", re.IGNORECASE)
# Words of a question that says more, or of nothing that an earlier message names.
_SAYS_MORE = re.compile(
    r"^(?:你们?|您|我们?|咱们?|它们?|他们?|她们?|人|人家|这|那|这个|那个|这种|那种|这样|那样|现在|之后|后来|其他|别的|还有|然后|接着)$"
    r"|[吗吧了么啊呀没]$|[是啥咋]|多[少久钱]|(.)[不没]\1|应该|\b(?:what|which|who|when|where|why|how|if|do|does|did|is|are|was|were|am|be|can|could"
    r"|may|will|would|should|has|have|had|it|its|they|them|their|this|that|these|those|there|i|me"
    r"|you|we|he|she|his|her|and|so|then|now|else|others?|please|thanks?|not?)\b",
    re.IGNORECASE,
)
# Words between which things stand: they stay if a thing is replaced.
_STAYS = re.compile(
    r"为什么|什么|怎么样?|怎样|如何|多[少久长大高远]|[吗呢么吧啊呀啥咋谁哪几能可以会要想是有没不的了在到去把给用从和也都我你您们这那该]"
    r"|\b(?:what|which|who|when|where|why|how|long|much|many|often|do|does|did|is|are|was|were|be"
    r"|can|could|may|will|would|should|has|have|had|if|i|me|you|we|us|it|they|my|your|our|their|this"
    r"|that|these|those|there|the|an?|any|some|of|in|on|at|to|into|for|from|with|by|and|or|not)\b"
    r"|[^\w\s]+",
    re.IGNORECASE,
)
_PIECE = re.compile(rf"[{HAN}]|[^\s{HAN}]+")
PIECES, REPLACED = 12, 4  # Han characters and words of a question; those in place of a thing


def in_context(question: str, before: str) -> str:
    """A question that can be understood alone: with the one before it, if it needs that.

    >>> in_context("那运费谁出？", "怎么退货？")
    '怎么退货？ 那运费谁出？'
    >>> in_context("怎么开发票？", "怎么退货？")
    '怎么开发票？'
    """
    return f"{before} {question}" if before and follows(question) else question


def follows(question: str) -> bool:
    """True for a question that refers to the one before it by a word, such as "那" or "it". One
    that only names no thing ("地址在哪？") does not: asked of a shop it is clear, and with another
    question before it, it would be found no more. When questions are learned from a log, these are
    left out, too: see `unclear_alone` in apps/support/context.py.

    >>> follows("那地址在哪？"), follows("地址在哪？")
    (True, False)
    """
    return bool(_FOLLOWS.search(question.strip()))


def about(question: str, before: str, known: Iterable[str]) -> str:
    """A question with the thing that the one before it is about: what that has in common with one
    of the known questions that are most like this one. "" if they have nothing in common.

    >>> about("那运费谁出？", "怎么退货？", ["寄送运费谁出", "退货运费谁出"])
    '退货运费谁出？'
    """
    shared = max((_shared(before, each) for each in known), key=len, default="")
    rest = _LINK.sub("", question.strip())
    return "" if len(shared) < SHORTEST or shared in rest else _joined(shared, rest)


def thing(question: str) -> str:
    """What a question names that otherwise asks what the one before it asked; "" if it says more.

    >>> thing("那新疆呢？"), thing("And to Ireland?"), thing("那运费谁出呢？")
    ('新疆', 'Ireland', '')
    """
    spoken = question.strip()
    if not (found := _NAMES.fullmatch(spoken)):
        return ""
    if found["en"] and (has_han(spoken) or not _BEGINS.match(spoken)):
        return ""
    named = trimmed(found["zh"] or found["asked"] or found["en"])
    asks = not found["en"] and content(named) != named
    return "" if asks or _SAYS_MORE.search(named) else named


def with_thing(before: str, named: str) -> list[str]:
    """The question before with this thing in place of each stretch of its words that may be the old
    one, and behind it.

    >>> with_thing("Do you ship to Wales?", "Ireland")
    ['Do you Ireland to Wales?', 'Do you ship to Ireland?', 'Do you ship to Wales Ireland']
    """
    stays = {at for found in _STAYS.finditer(before) for at in range(*found.span())}
    pieces = [found.span() for found in _PIECE.finditer(_STAYS.sub(_blank, before))][-PIECES:]
    found = []
    for at, (begin, _) in enumerate(pieces):
        for _, end in pieces[at : at + REPLACED]:
            head, tail = before[:begin], before[end:]
            if stays.isdisjoint(range(begin, end)) and terms(head + tail):
                found.append(_joined(_joined(head.strip(), named), tail.strip()))
    return [*found, _joined(trimmed(before), named)]


def said_things(text: str) -> set[str]:
    """The Han characters, words and numbers of a text that may name something.

    >>> sorted(said_things("How much are the cups?")), "猫" in said_things("猫粮有吗")
    (['cup'], True)
    """
    said = terms(_STAYS.sub(" ", _measured(text)))
    return {term for term in said if len(term) == 1 or not has_han(term)}


def names(text: str, named: str) -> bool:
    """True if a text has all words of a thing's name, and Chinese ones in their order.

    >>> names("2公斤89元，5公斤199元", "五公斤"), names("鸡肉猫粮", "牛肉")
    (True, False)
    """
    return {*terms(_measured(named))} <= {*terms(_measured(text))}


def _measured(text: str) -> str:
    """A text with each number and its unit as one word: 五公斤 and "5 kg" are "5kilogram"."""
    text, rest = "", unicodedata.normalize("NFKC", text)
    for each in numbers(rest):
        before, _, rest = rest.partition(each.text)
        text += f"{before} {each.value}{each.unit} "
    return text + rest


def _blank(found: re.Match[str]) -> str:
    return " " * len(found[0])


def _joined(one: str, other: str) -> str:
    glued = has_han(one[-1:]) or has_han(other[:1]) or not one or not other[:1].isalnum()
    between = "" if glued else " "
    return f"{one}{between}{other}"


def _shared(one: str, other: str) -> str:
    """The longest stretch that two texts share."""
    one, other = one[:LONGEST].casefold(), other[:LONGEST].casefold()
    match = SequenceMatcher(None, one, other, autojunk=False).find_longest_match()
    return trimmed(one[match.a : match.a + match.size])
