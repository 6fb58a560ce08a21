"""Questions of the FAQ that a customer chooses from: "1. …" and how to choose one."""

import re
from collections.abc import Sequence

from xinye.apps.support.small_talk import without_opening
from xinye.data.scripts import has_han
from xinye.retrieval.search import LONGEST_QUESTION
from xinye.retrieval.terms import trimmed

SHORT = 20  # characters of a message that may be a number
_NUMBER = re.compile(
    r"(?:第|选|number |no\.? ?|#)?([1-9一二三])(?:个|条|号|项)?(?:吧|谢谢)?", re.IGNORECASE
)
_OFFERED = re.compile(r"^([1-9])\. (.+)$", re.MULTILINE)
_CHINESE_NUMBERS = {"一": "1", "二": "2", "三": "3"}

# What stands around a question and says nothing about it.
_BEFORE = re.compile(
    r"(?:请问(?:一下|下)?|我?想?(?:问|咨询|请教|了解)一?下|我?想知道|麻烦(?:问)?(?:一下)?|不好意思|打扰(?:一下|了)?"
    r"|(?:quick question|just wondering|excuse me|sorry to bother you|one question|question|please)"
    r"(?=\W))[\s,，:：.。!！~～]*",
    re.IGNORECASE,
)
_BEHIND = re.compile(
    r"(?:[\s,，.。!！?？~～]|谢谢|多谢|急(?=[\s,，.。!！?？~～]*$)|[啊呀哦哈]"
    r"|\b(?:thanks?(?: you)?|thx|please|pls|cheers)\b)+$",
    re.IGNORECASE,
)
_ASKS = re.compile(
    r"[吗呢么嘛咋谁哪几啥]|怎|如何|多[少久长大]|能不能|可不可以|是否|是不是|有没有|会不会"
    r"|^(?:what|which|who|when|where|why|how|do|does|did|is|are|was|were|can|could|may|will)\b",
    re.IGNORECASE,
)


_YES = re.compile(
    r"(?:是|对|嗯|没错|就是)(?:的|这个|对|吧|啊|呀|嗯)*+|yes(?: please)?|yeah|yep|right|correct",
    re.IGNORECASE,
)


def offer(questions: Sequence[str]) -> str:
    """The lines that a customer chooses from by their number."""
    return "\n".join(f"{number}. {text}" for number, text in enumerate(questions, 1))


def chosen(text: str, reply: str) -> str:
    """The question of a reply that a customer has chosen by its number, or by "yes" if it is the
    only one; "" if none was."""
    offered = dict(_OFFERED.findall(reply))
    if len(offered) == 1 and _YES.fullmatch(trimmed(text[:SHORT])):
        return next(iter(offered.values()))
    if not (found := _NUMBER.fullmatch(trimmed(text[:SHORT]))):
        return ""
    number = _CHINESE_NUMBERS.get(found[1], found[1])
    return offered.get(number, "")


def shown(question: str) -> str:
    """A customer's question as others read it: without greeting, thanks and polite words.

    >>> shown("想问下可以货到付款吗呀，谢谢"), shown("excuse me, where is my bill thx")
    ('可以货到付款吗？', 'Where is my bill?')
    """
    rest = without_opening(" ".join(question[:LONGEST_QUESTION].split()))
    while (found := _BEFORE.match(rest)) and re.search(r"\w", rest[found.end() :]):
        rest = rest[found.end() :]
    ending = _BEHIND.search(rest)
    rest = _BEHIND.sub("", rest) or rest
    asks = _ASKS.search(rest) or (ending and re.search("[?？]", ending[0]))
    mark = ("？" if has_han(rest) else "?") if asks else ""
    name = rest[1:2].isupper()  # iPhone
    return f"{rest if name else rest[:1].upper() + rest[1:]}{mark}"
