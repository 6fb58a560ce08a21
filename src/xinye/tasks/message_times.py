"""Reads the times of messages. They are compared only if all times of a file have the same form."""

import re
from collections.abc import Sequence
from datetime import datetime

DAYS = ("date", "day", "日期")  # the column of the date, next to one of clock times
HALVES = "(?:上午|下午|凌晨|早上|中午|晚上)"  # words for a part of the day, before a clock time
_NUMBER = re.compile(r"(\d{1,18})(?:\.0+)?")
_EPOCH = re.compile(r"\d{10}\.\d+")  # seconds since 1970
_MOMENT = re.compile(
    r"(\d{4})(?:[-/.](\d{1,2})[-/.](\d{1,2})|年(\d{1,2})月(\d{1,2})日)"
    r"(?:(?:T|\s*(上午|下午|AM|PM)\s*|\s+)(\d{1,2}:\d\d(?::\d\d(?:\.\d{1,6})?)?)\d*\s*"
    r"(?:(AM|PM)|(Z|UTC|[-+]\d\d(?::?\d\d)?))?)?",
    re.ASCII | re.IGNORECASE,
)

Time = int | float | datetime


def comparable(texts: Sequence[str], days: Sequence[str]) -> list[Time] | str:
    """The times, if all can be compared, or the first text that cannot be compared with those
    before it. A clock time takes its date from `days`.
    """
    times: list[Time] = []
    shapes = set()
    for text, day in zip(texts, days, strict=True):
        found = read_time(text) or read_time(f"{day.removesuffix(' 00:00:00')} {text}")
        if found is None:
            return text
        times.append(found[0])
        shapes.add(found[1])
        if len(shapes) > 1:
            return text
    return times


def read_time(text: str) -> tuple[Time, str] | None:
    """A time and the name of its form, or None if it is ambiguous."""
    if number := _NUMBER.fullmatch(text):
        digits = len(number[1])
        # 9 and 10 are numbers of turns and can be compared; seconds, milliseconds and 20260501
        # cannot.
        return int(number[1]), "number" if digits < 8 else f"number-{digits}"
    if _EPOCH.fullmatch(text):
        return float(text), "number-10"
    moment = _MOMENT.fullmatch(text)
    if not moment:
        return None
    year, *parts, before, clock, behind, zone = moment.groups()
    month, day = (part.zfill(2) for part in parts if part)
    written = f"{year}-{month}-{day}"
    if clock:
        hour, _, rest = clock.partition(":")
        if half := before or behind:
            hour = _of_24(int(hour), half)
        written += f"T{hour.zfill(2)}:{rest}" + ("+00:00" if zone in ("Z", "UTC") else zone or "")
    try:
        time = datetime.fromisoformat(written)
    except ValueError:  # such as month 13
        return None
    return time, f"clock: {bool(clock)}, half: {bool(before or behind)}, zone: {bool(zone)}"


def _of_24(hour: int, half: str) -> str:
    """An hour of a 12-hour clock on the 24-hour clock. An hour above 12 stays as it is."""
    late = half.upper() in ("下午", "PM")
    return str(hour if hour > 12 else hour % 12 + 12 * late)
