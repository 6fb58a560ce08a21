"""Masks personal data: with marks that are the same for the same value, or with asterisks."""

import hashlib
import hmac
import re
import secrets
from collections import Counter
from collections.abc import Mapping

from xinye.data.personal import KINDS, Personal, Tagger, find_personal, plain_value, replaced
from xinye.errors import XinyeError

_HAN = re.compile("[\u3400-\u9fff]")
_DIGEST = 16  # bytes; enough to tell the values of a conversation apart


class Masker:
    """Replaces personal data with marks such as `[phone 1]`, or `[电话1]` in a Chinese text. Within
    a conversation, which is what one masker sees, the same value always gets the same mark.

    `key` is a secret that the caller keeps. `state` can be saved as JSON and given back later: it
    holds a keyed hash (HMAC-SHA-256) of each value instead of the value. Without the key nobody can
    try out all phone numbers to find the one that was masked.

    >>> masker = Masker(b"a secret of 32 bytes, for example")
    >>> masker.mask("我的手机是13812345678，不是13987654321")
    '我的手机是[电话1]，不是[电话2]'
    >>> masker.mask("+86 138-1234-5678")
    '[电话1]'
    """

    def __init__(
        self,
        key: bytes | None = None,
        state: Mapping[str, Mapping[str, str]] | None = None,
        tagger: Tagger | None = None,
    ) -> None:
        """Without a `key`, one is made that nobody else knows; give one if `state` is to be used
        again. `tagger` finds names and addresses. Raises `XinyeError` if `state` is not one.
        """
        self.key = key or secrets.token_bytes(32)
        self.tagger = tagger
        self.counts: Counter[str] = Counter()  # what was masked, by kind
        self._marks: dict[str, dict[str, str]] = {}  # word of the marks: digest: mark
        for word, marks in (state or {}).items():
            if not isinstance(marks, Mapping) or not all(
                isinstance(text, str) for pair in marks.items() for text in pair
            ):
                raise XinyeError("the state of the masks is damaged; begin a new conversation")
            self._marks[word] = dict(marks)

    @property
    def state(self) -> dict[str, dict[str, str]]:
        """The marks that were given so far, to save as JSON. It holds no personal data."""
        return {word: dict(marks) for word, marks in self._marks.items()}

    def mask(self, text: str, context: str = "", only_known: bool = False) -> str:
        """The text with a mark for each value. Everything else stays as it is.

        `context` is what stands before the text elsewhere, such as the name of its column: below
        "order number" no number is a phone number. With `only_known`, values without a mark so far
        stay: in an employee's reply they are the company's own, such as its hotline.
        """
        found = in_context(text, context, self.tagger)
        if only_known:
            known = {digest for marks in self._marks.values() for digest in marks}
            found = [span for span in found if self._digest(text, span) in known]
        if not found:
            return text
        chinese = self._is_chinese(context + replaced(text, [(span, "") for span in found]))
        self.counts.update(span.kind for span in found)
        return replaced(text, [(span, self._mark(text, span, chinese)) for span in found])

    def _is_chinese(self, text: str) -> bool:
        """The language of the marks: that of the text, or that of the marks so far."""
        if _HAN.search(text) or re.search("[A-Za-z]", text):
            return bool(_HAN.search(text))
        return any(_HAN.search(mark) for marks in self._marks.values() for mark in marks.values())

    def _mark(self, text: str, span: Personal, chinese: bool) -> str:
        kind = KINDS[span.kind]
        marks = self._marks.setdefault(kind.english, {})
        number = len(marks) + 1
        new = f"[{kind.chinese}{number}]" if chinese else f"[{kind.english} {number}]"
        return marks.setdefault(self._digest(text, span), new)

    def _digest(self, text: str, span: Personal) -> str:
        value = plain_value(text[span.start : span.end], span.kind)
        message = f"{KINDS[span.kind].english}\n{value}".encode("utf-8", "surrogatepass")
        return hmac.new(self.key, message, hashlib.sha256).digest()[:_DIGEST].hex()


def in_context(text: str, context: str, tagger: Tagger | None = None) -> list[Personal]:
    """What `find_personal` finds in a text that has this before it."""
    if not context:
        return find_personal(text, tagger)
    before = f"{context}: "
    found = find_personal(before + text, tagger)
    moved = (Personal(a - len(before), b - len(before), kind) for a, b, kind in found)
    return [span for span in moved if span.start >= 0]


def starred(text: str) -> str:
    """The text with asterisks in the middle of each value, for reports."""
    return replaced(
        text, [(span, stars(text[span.start : span.end])) for span in find_personal(text)]
    )


def stars(value: str) -> str:
    """A value with its first and last characters, and asterisks between them.

    >>> stars("13812345678"), stars("li.lei@example.com")
    ('138******78', 'l***@e***.com')
    """
    local, at, domain = value.replace("＠", "@").rpartition("@")
    if at:
        return f"{local[:1]}***@{domain[:1]}***.{domain.rpartition('.')[2]}"
    if re.fullmatch(r"[^\s/@:]+:\D.*", value):  # a user name and a password
        return "***"
    return value[:3] + re.sub(r"\w", "*", value[3:-2]) + value[-2:]
