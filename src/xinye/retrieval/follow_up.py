"""Questions that need the one before them: "and how much is it?"."""

import re
from collections.abc import Iterable
from difflib import SequenceMatcher

from xinye.data.scripts import HAN, has_han
from xinye.retrieval.numbers import with_measures
from xinye.retrieval.terms import content, terms, trimmed

LONGEST = 200  # characters of a question that are compared
SHORTEST = 2  # characters of a thing
# Words for something known: not 其他, 应该, 吉他, 这个月, "this week", "is it possible to …".
_POINTS = (
    r"(?<![其吉])[它他她]们?|[这那](?:[两几]?[个款种些件双本台只条套张瓶盒](?!月|店|周末|星期|季)|样)"
    r"|(?<![应不尤极与])[该其](?=[店款课品价费餐]|商品|产品|酒店|景点|公司|活动|服务|型号|套餐|地址|电话|评分|营业"
    r"|周边|附近|门票|人均|位置|重量|尺寸|规格|材质|产地|功能|特点)"
    r"|\bit\b(?! (?:is |be )?(?:possible|okay|ok|allowed|safe|necessary|take|cost) to\b)"
    r"|\bthis\b(?! (?:week|month|year|season|morning|afternoon|evening|weekend|shop|store)\b)"
    r"|\b(?:its|they|them|their|he|him|his|she|her|that|those|these)\b"
    r"|\bthere(?=\W*$| (?:today|now)\b)"
)
_BEGINS = re.compile(r"^(?:那(?!么[多大])么?|还有(?!没)|然后|and |what about|how about)", re.I)
_FOLLOWS = re.compile(rf"{_BEGINS.pattern}|呢[？?]?$|{_POINTS}", re.IGNORECASE)
# what links a question to the one before, in place of the thing
_LINK = re.compile(rf"(?:{_POINTS})的?|{_BEGINS.pattern}[,，]?\s*", re.IGNORECASE)

# A question that only names a thing: "那新疆呢？", "And in Ireland?"
_NAMES = re.compile(
    r"(?:那么?|还有|然后|要是|如果是?|换成)*[,，]?\s*(?:[寄送发](?:[到往去给]))?(?P<zh>[^,，。？?]{1,12}?)的?呢[？?]?"
    r"|那么?(?:[寄送发](?:[到往去给]))?(?P<asked>[^,，。？?]{1,12}?)的?[？?]"
    r"|(?:and )?(?:what about |how about )?(?:(?:for|to|in|on|with|by|from|at) )?"
    r"(?:(?:the|an?|your|my|our|some) )?(?P<en>[^\s,?]+(?: [^\s,?]+){0,3}?)(?: one| ones)?\s*[?.]*",
    re.IGNORECASE,
)
_BEGINS_EN = re.compile(r"(?:and|what about|how about)\b", re.IGNORECASE)
# Words of a question that says more, or of nothing that an earlier message names.
_SAYS_MORE = re.compile(
    rf"^(?:你们?|您|我们?|咱们?|人|人家|这|那|现在|之后|后来|其他|别的|还有|然后|接着|[两几]?[个款种些件双])$|{_POINTS}"
    r"|[吗吧了么啊呀没]$|[是啥咋]|多[少久钱]|(.)[不没]\1|应该"
    r"|\b(?:what|which|who|when|where|why|how|if|do|does|did|is|are|was|were|am|be|can|could"
    r"|may|will|would|should|has|have|had|i|me|you|we|and|so|then|now|else|others?|please|thanks?"
    r"|not?)\b",
    re.IGNORECASE,
)
# Words between which things stand: they stay if a thing is replaced, and name nothing.
_BETWEEN = (
    r"为什么|什么|怎么[样办]?|怎样|如何|多[少久长大高远]|会(?!员)|用(?!卡)"
    r"|[吗呢么吧啊呀啥咋谁哪几能可以要想是有没不的了在到去把给从和我你您们这那该]"
    r"|\b(?:what|which|who|where|when|why|how|long|much|many|often|do|does|did|is|are|was|were|be"
    r"|can|could|may|will|would|should|has|have|had|if|i|me|you|we|us|it|they|my|your|our|their|this"
    r"|that|these|those|there|the|an?|any|some|of|in|on|at|to|into|for|from|with|by|and|or|not)\b"
    r"|[^\w\s]+"
)
_STAYS = re.compile(_BETWEEN, re.IGNORECASE)
_NAMES_NOTHING = re.compile(
    rf"(?<![成首])都|[也还]|操作|流程|(?<=[你您们])家|(?<=[咋么])[弄整搞]|一[下点]?(?!周|年)|{_BETWEEN}"
    r"|\b(?:want|need|please|about|also|just)\b",
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
    if found["en"] and (has_han(spoken) or not _BEGINS_EN.match(spoken)):
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
    said = terms(_NAMES_NOTHING.sub(" ", with_measures(text)))
    return {term for term in said if len(term) == 1 or not has_han(term)}


def names(text: str, named: str) -> bool:
    """True if a text has all words of a thing's name, and Chinese ones in their order.

    >>> names("2公斤89元，5公斤199元", "五公斤"), names("鸡肉猫粮", "牛肉")
    (True, False)
    """
    return {*terms(with_measures(named))} <= {*terms(with_measures(text))}


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
