"""Reads text logs of QQ, WeChat and WhatsApp, in which the time and the speaker's name are on a
line above each message, or before it.
"""

import re
from collections.abc import Sequence

from xinye.data.notes import Notes, place_of
from xinye.tasks.message_times import HALVES
from xinye.tasks.roles import Speech

_DATE = r"\d{4}[-/年.]\d{1,2}[-/月.]\d{1,2}日?|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}"
_HALF = rf"(?:{HALVES}|[AaPp][Mm])"
_CLOCK = (
    rf",?(?:\s*(?:星期|周)[一二三四五六日天])?(?:\s+|(?={HALVES}))"
    rf"(?:{_HALF}\s?)?\d{{1,2}}:\d\d(?::\d\d)?(?:\s?{_HALF})?[\])）]?"
)
_NAME = r"[^:：\s](?:[^:：]{0,38}[^:：\s])?"


def _forms(date: str) -> tuple[re.Pattern[str], ...]:
    """The patterns with which a message may begin, for this pattern of a date."""
    when = rf"[\[(（]?(?:{date}){_CLOCK}"
    return (
        re.compile(rf"\u200e?{when}(?: -)? (?P<name>{_NAME})[:：] ?(?P<text>.*)"),
        re.compile(rf"{when}\s+(?P<name>{_NAME})(?P<text>)"),
        re.compile(rf"(?P<name>{_NAME})\s+{when}(?P<text>)"),
    )


_FORMS = (*_forms(_DATE), *_forms(r"\d{1,2}月\d{1,2}日"))
_TIMED = re.compile(rf"\u200e?[\[(（]?(?:{_DATE}){_CLOCK}")


def timed_speeches(
    lines: Sequence[tuple[int, str]], path: str, notes: Notes
) -> list[Speech] | None:
    """The messages of such a log, which is a single conversation, or None for any other text."""
    forms = (form for form in _FORMS if sum(map(bool, map(form.fullmatch, _texts(lines)))) > 1)
    form = next(forms, None)
    if form is None:
        return None
    found: list[Speech] = []
    for number, line in lines:
        place = place_of(path, number)
        head = form.fullmatch(line.strip())
        if head:
            found.append(Speech(head["name"], number, [head["text"]]))
        elif _TIMED.match(line):
            notes.add(place, "a line with a time but no speaker is left out")
        elif found:
            found[-1].lines.append(line)
        elif line.strip():
            notes.add(place, "a line above the first message is left out")
    return [speech for speech in found if "".join(speech.lines).strip()]


def begins_with_time(line: str) -> bool:
    """True if the line begins like a message of such a log."""
    return bool(_TIMED.match(line)) or any(form.fullmatch(line.strip()) for form in _FORMS)


def _texts(lines: Sequence[tuple[int, str]]) -> list[str]:
    return [line.strip() for _, line in lines]
