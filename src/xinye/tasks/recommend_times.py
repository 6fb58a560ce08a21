"""Reads the times of events as seconds since 1970. All times of a file must have one format."""

import re
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np

from xinye.data.notes import RecordNumber, place_of
from xinye.errors import XinyeError
from xinye.tasks.message_times import read_time

ORDER = "plain numbers"  # which say the order of the events, but not their time
DATES, WITHOUT_ZONE = "dates", "times without a zone"
DAY = "days such as 20260305"
ADVICE = "write 2026-03-05, 2026-03-05 09:13:20 or seconds since 1970"
# For each number of digits: the name of the format, and how many of its units are a second.
UNITS = {
    (9, 10): ("seconds since 1970", 1.0),
    (12, 13): ("milliseconds since 1970", 1e3),
    (15, 16): ("microseconds since 1970", 1e6),
    (18, 19): ("nanoseconds since 1970", 1e9),
}
_BY_DIGITS = {digits: unit for pair, unit in UNITS.items() for digits in pair}
_BY_DIGITS |= dict.fromkeys(range(1, 8), (ORDER, 1.0))
_NUMBER = re.compile(r"(\d{1,19})(\.\d{1,9})?", re.ASCII)


class TwoFormats(XinyeError):
    """The times of a file have two formats, so nobody knows which events were first."""


@lru_cache(maxsize=1 << 16)
def seconds_of(text: str) -> tuple[float, str] | None:
    """A time as seconds since 1970, and the name of its format; None if it is not understood. A
    time without a zone counts as UTC.

    >>> seconds_of("1260759144"), seconds_of("2026年3月5日")
    ((1260759144.0, 'seconds since 1970'), (1772668800.0, 'dates'))
    """
    text = text.strip()
    if number := _NUMBER.fullmatch(text):
        return _of_number(text, len(number[1]), bool(number[2]))
    found = read_time(text)
    if found is None or not isinstance(found[0], datetime):
        return None
    moment, form = found[0], found[1]
    if "clock: False" in form:
        return _since_1970(moment), DATES
    return _since_1970(moment), "times with a zone" if moment.tzinfo else WITHOUT_ZONE


def _of_number(text: str, digits: int, fraction: bool) -> tuple[float, str] | None:
    if digits in (8, 14) and not fraction:
        try:
            moment = datetime.strptime(text, "%Y%m%d" if digits == 8 else "%Y%m%d%H%M%S")
        except ValueError:  # such as month 13
            return None
        return _since_1970(moment), DAY if digits == 8 else "times such as 20260305091320"
    if digits not in _BY_DIGITS:
        return None
    name, units = _BY_DIGITS[digits]
    return float(text) / units, name


def _since_1970(moment: datetime) -> float:
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def of_integers(numbers: np.ndarray) -> tuple[np.ndarray, str] | None:
    """Whole numbers, (E,), as seconds since 1970 and the name of their format. None if they have
    two formats, or one that has to be read digit by digit."""
    if not len(numbers) or numbers.min() < 0:
        return None
    shortest, longest = (len(str(int(end))) for end in (numbers.min(), numbers.max()))
    if shortest not in _BY_DIGITS or _BY_DIGITS.get(longest) != _BY_DIGITS[shortest]:
        return None
    name, units = _BY_DIGITS[longest]
    return numbers / units, name


class Times:
    """Reads the times of one file, row by row, and remembers the first one's format."""

    def __init__(self, path: object, column: str) -> None:
        self.path = str(path)
        self.column = column
        self.form = ""
        self.first: tuple[int, str] = (0, "")  # the line and the text of the first time

    def seconds(self, text: str, line: int) -> float:
        """A time as seconds since 1970. Raises `TwoFormats` if earlier times have another format,
        and `XinyeError` if it is not understood."""
        place = place_of(self.path, line)
        if not text.strip():
            raise XinyeError(
                f"{place}: the time in {self.column!r} is empty; fill it in or delete the record"
            )
        found = seconds_of(text)
        if found is None:
            raise XinyeError(
                f"{place}: the time {text[:40]!r} in {self.column!r} is not understood; {ADVICE}"
            )
        seconds, form = found
        if not self.form:
            self.form = form
            self.first = (line, text.strip())
        elif {form, self.form} == {DATES, WITHOUT_ZONE}:
            self.form = WITHOUT_ZONE  # a date is midnight, which spreadsheets write so
        elif form != self.form:
            first, earlier = self.first
            other = f"{'record' if isinstance(line, RecordNumber) else 'line'} {line}"
            raise TwoFormats(
                f"{place_of(self.path, first)} and {other}: the times have two formats: "
                f"{earlier[:40]!r} ({self.form}) and {text.strip()[:40]!r} ({form}). Write all "
                "in one format"
            )
        return seconds
