"""The header Retry-After, by which servers say when they want to be asked again."""

from email.utils import parsedate_to_datetime

LONGEST = 40  # characters


def retry_after(header: str, now: float) -> float | None:
    """The seconds to wait that a header gives, as a number or a date; None if it gives none.

    >>> retry_after("120", 0), retry_after("soon", 0)
    (120.0, None)
    """
    value = header.strip()[:LONGEST]
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
