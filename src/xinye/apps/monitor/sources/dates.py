"""Reads dates as feeds and files write them."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from email.utils import parsedate_to_datetime

from xinye.apps.monitor.documents import EARLIEST

LONGEST = 100  # characters of a date
_DATE = re.compile(
    r"(\d{4})\s?[-/.年]\s?(\d{1,2})\s?[-/.月]\s?(\d{1,2})\s?日?"
    r"(?:(?:[T\s]\s{0,4}|(?<=日))(\d{1,2})\s?[:：时點点]\s?(\d{1,2})?(?:\s?[:：分]\s?(\d{1,2})?)?(?:[.,]\d{1,9})?秒?)?"
    r"\s{0,4}(Z|[A-Z]{3,4}|[+-]\d{2}(?::?\d{2})?)?"
)
_JAVA = re.compile(r"(\w{3}) (\w{3}) (\d{1,2}) ([\d:]{8}) ([A-Z]{3,4}) (\d{4})")
_DIGITS = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}
_UNITS = {9: 1, 10: 1, 13: 1000, 16: 1_000_000, 19: 1_000_000_000}  # by the number of digits


@dataclass(frozen=True, slots=True)
class Date:
    """A date: `at` in seconds since 1970, None if it cannot be read. `zoned` is false if the zone
    had to be assumed, and `timed` if it is a day without a time."""

    at: float | None
    zoned: bool = True
    timed: bool = True


def read_date(value: object, zone: tzinfo = UTC) -> Date:
    """A date in any usual form: ISO 8601, RFC 822, 2024年5月1日 8:00, 2024/5/1, 20240501, and
    seconds or milliseconds since 1970. `zone` is that of dates that name none; a short name such as
    CST means this zone if it is called so."""
    if isinstance(value, bool) or value is None:
        return Date(None)
    if isinstance(value, int | float):
        value = f"{value:.0f}" if abs(value) < 1e19 else ""  # not infinite, not a NaN
    text = " ".join(str(value)[: LONGEST + 1].split())
    if len(text) > LONGEST:
        return Date(None)
    try:
        date = _read(text, zone)
    except (ValueError, OverflowError, TypeError, IndexError):
        return Date(None)
    too_early = date.at is not None and date.at < EARLIEST
    return Date(None) if too_early else date


def _read(text: str, zone: tzinfo) -> Date:
    number, _, fraction = text.partition(".")
    if number.isascii() and number.isdigit() and (fraction.isdigit() or not fraction):
        return _from_digits(number, fraction, zone)
    if found := _DATE.fullmatch(text):
        numbers = [int(each or 0) for each in found.groups()[:6]]
        return _at(datetime(*numbers), found[7] or "", zone, timed=found[4] is not None)  # type: ignore[arg-type]
    if found := _JAVA.fullmatch(text):
        week, month, day, time, name, year = found.groups()
        text = f"{week}, {day} {month} {year} {time} {name}"
    date = parsedate_to_datetime(text)
    name = text.rpartition(" ")[2]
    if text.endswith("-0000"):  # UTC, of which the zone is not known (RFC 5322)
        return Date(date.replace(tzinfo=UTC).timestamp())
    if date.tzinfo is None or _is_called(zone, date, name):
        return _at(date.replace(tzinfo=None), name if name.isalpha() else "", zone)
    return Date(date.timestamp())


def _from_digits(number: str, fraction: str, zone: tzinfo) -> Date:
    form = _DIGITS.get(len(number))
    if form and number.startswith(("19", "20")):
        return _at(datetime.strptime(number, form), "", zone, timed=len(number) > 8)
    unit = _UNITS.get(len(number))
    return Date(float(f"{number}.{fraction}") / unit if unit else None)


def _at(date: datetime, name: str, zone: tzinfo, timed: bool = True) -> Date:
    """The date, in the zone of this name: "+08:00", "Z", a short name, or "" if there is none."""
    if name[:1] in ("+", "-"):
        hours, minutes = int(name[1:3]), int(name[3:].lstrip(":") or 0)
        offset = timedelta(hours=hours, minutes=minutes) * (-1 if name[0] == "-" else 1)
        return Date(date.replace(tzinfo=timezone(offset)).timestamp(), timed=timed)
    if name in ("Z", "UTC", "GMT", "UT"):
        return Date(date.replace(tzinfo=UTC).timestamp(), timed=timed)
    here = date.replace(tzinfo=zone)
    return Date(here.timestamp(), zoned=_is_called(zone, date, name), timed=timed)


def _is_called(zone: tzinfo, date: datetime, name: str) -> bool:
    return bool(name) and date.replace(tzinfo=zone).tzname() == name
