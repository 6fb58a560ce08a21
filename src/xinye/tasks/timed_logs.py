"""Logs as QQ, WeChat and WhatsApp export them as text: the time and the name of who speaks stand
above each message, or before it."""

import re
from collections.abc import Sequence

from xinye.data.notes import Notes, place_of
from xinye.tasks.roles import Speech

_WHEN = (
    r"[\[(（]?(?:\d{4}[-/年.]\d{1,2}[-/月.]\d{1,2}日?|\d{1,2}[/.]\d{1,2}[/.]\d{2,4}),?\s+"
    r"\d{1,2}:\d\d(?::\d\d)?(?:\s?[AaPp][Mm])?[\])）]?"
)
_NAME = r"[^:：\s](?:[^:：]{0,38}[^:：\s])?"
_FORMS = (
    re.compile(rf"\u200e?{_WHEN}(?: -)? (?P<name>{_NAME})[:：] ?(?P<text>.*)"),
    re.compile(rf"{_WHEN}\s+(?P<name>{_NAME})(?P<text>)"),
    re.compile(rf"(?P<name>{_NAME})\s+{_WHEN}(?P<text>)"),
)
_TIMED = re.compile(rf"\u200e?{_WHEN}")


def timed_speeches(
    lines: Sequence[tuple[int, str]], path: str, notes: Notes
) -> list[Speech] | None:
    """What is said in the lines of such a log, which is one conversation; None of another text."""
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
    return bool(_TIMED.match(line) or _FORMS[-1].fullmatch(line.strip()))


def _texts(lines: Sequence[tuple[int, str]]) -> list[str]:
    return [line.strip() for _, line in lines]
