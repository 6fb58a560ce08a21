"""Parses and formats numbers and times: `5M`, `1h30min`, `2/5`."""

import re

from xinye.errors import XinyeError

_UNITS = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "m": 60,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
    "d": 86400,
    "day": 86400,
}


LONGEST = 1000 * 86400  # seconds


def parse_count(text: str) -> int:
    """The number for `5M`: 5,000,000. `5m`, `5000k`, `1.5B` and `2T` work, too. Raises
    `XinyeError`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([kKmMbBgGtT]?)", text.strip())
    count = (
        float(match[1])
        * {"": 1, "k": 1e3, "m": 1e6, "b": 1e9, "g": 1e9, "t": 1e12}[match[2].lower()]
        if match
        else 0
    )
    if count < 1:
        raise XinyeError(f"{text!r} is not a number such as 5M, 1.3B or 350000")
    return round(count)


def parse_bytes(text: str) -> int:
    """The number of bytes for `10GB`: 10,000,000,000. `500MB`, `1.5TB` and `2g` work, too. Raises
    `XinyeError`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT])B?", text.strip().upper())
    if not match or not float(match[1]):
        raise XinyeError(f"{text!r} is not a size such as 500MB or 10GB")
    return round(float(match[1]) * 1000 ** (1 + "KMGT".index(match[2])))


def parse_time(text: str) -> float:
    """The seconds for `10min`: 600. `90s`, `1.5h` and `1h30min` work, too. Raises `XinyeError`."""
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]+)", text.strip().lower())
    known = all((unit.rstrip("s") or "s") in _UNITS for _, unit in parts)
    seconds = (
        sum(float(number) * _UNITS[unit.rstrip("s") or "s"] for number, unit in parts)
        if known
        else 0
    )
    if not 0 < seconds <= LONGEST or not re.fullmatch(
        r"(\s*\d+(\.\d+)?\s*[a-z]+)+\s*", text.lower()
    ):
        raise XinyeError(f"{text!r} is not a duration such as 90s, 10min or 1h30min, at most 1000d")
    return seconds


def parse_seconds(text: str) -> float:
    """As `parse_time`, but "0" and "0s" are no time."""
    return 0.0 if text.strip() in ("0", "0s") else parse_time(text)


def duration(seconds: float) -> str:
    """A time in seconds in readable form: `9 min 25 s`."""
    seconds = max(0, round(seconds))
    if seconds < 60:
        return f"{seconds} s"
    return (
        f"{seconds // 60} min {seconds % 60:02d} s" if seconds < 3600 else f"{seconds / 3600:.1f} h"
    )


def parse_fold(text: str) -> tuple[int, int]:
    """The part and the number of parts for `2/5`: (2, 5). Raises `XinyeError`."""
    match = re.fullmatch(r"(\d+)/(\d+)", text)
    part, parts = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 2 <= parts <= 20 or not 1 <= part <= parts:
        raise XinyeError(f"{text!r} is not one part of 2 to 20, such as 2/5")
    return part, parts
