"""The times of messages. They are compared only where all of a file surely have one shape."""

import re
from collections.abc import Sequence
from datetime import datetime

DAYS = ("date", "day", "日期")  # beside a column of clock times
_NUMBER = re.compile(r"(\d{1,18})(?:\.0+)?")
_EPOCH = re.compile(r"\d{10}\.\d+")  # seconds since 1970
_MOMENT = re.compile(
    r"(\d{4})(?:[-/.](\d{1,2})[-/.](\d{1,2})|年(\d{1,2})月(\d{1,2})日)"
    r"(?:(?:T|\s+)(\d{1,2}:\d\d(?::\d\d(?:\.\d{1,6})?)?)\d*\s*(Z|UTC|[-+]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)

Time = int | float | datetime


def comparable(texts: Sequence[str], days: Sequence[str]) -> list[Time] | str:
    """The times, which can be compared; or the first text that cannot be compared with those before
    it. A clock time needs its day from `days`."""
    times: list[Time] = []
    shapes = set()
    for text, day in zip(texts, days, strict=True):
        found = _read(text) or _read(f"{day.removesuffix(' 00:00:00')} {text}")
        if found is None:
            return text
        times.append(found[0])
        shapes.add(found[1])
        if len(shapes) > 1:
            return text
    return times


def _read(text: str) -> tuple[Time, str] | None:
    """A time, and the name of its shape; None where it cannot be told for sure."""
    if number := _NUMBER.fullmatch(text):
        digits = len(number[1])
        # 9 and 10 are numbers of turns; seconds and milliseconds, or 20260501, are not compared
        return int(number[1]), "number" if digits < 8 else f"number-{digits}"
    if _EPOCH.fullmatch(text):
        return float(text), "number-10"
    moment = _MOMENT.fullmatch(text)
    if not moment:
        return None
    year, *parts, clock, zone = moment.groups()
    month, day = (part.zfill(2) for part in parts if part)
    written = f"{year}-{month}-{day}"
    if clock:
        hour, _, rest = clock.partition(":")
        written += f"T{hour.zfill(2)}:{rest}" + ("+00:00" if zone in ("Z", "UTC") else zone or "")
    try:
        time = datetime.fromisoformat(written)
    except ValueError:  # such as the 13th month
        return None
    return time, f"clock: {bool(clock)}, zone: {bool(zone)}"
