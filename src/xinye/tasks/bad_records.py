"""Decides what happens to records that cannot be used for training: the first one is an error, or
all are skipped with a note.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from xinye.data.notes import Notes
from xinye.data.records import CUT_OFF
from xinye.errors import XinyeError
from xinye.tasks.records import OnBad, refuse

# Whether bad records are skipped. A context variable and not an argument, because all readers must
# agree.
_skipping: ContextVar[bool] = ContextVar("skipping", default=False)


@contextmanager
def bad_records(what: str) -> Iterator[None]:
    """Within this context, records that cannot be read are skipped if `what` is "skip"."""
    token = _skipping.set(what == "skip" or _skipping.get())
    try:
        yield
    finally:
        _skipping.reset(token)


def are_skipped() -> bool:
    """True within a context that skips bad records."""
    return _skipping.get()


def with_skip(error: XinyeError) -> XinyeError:
    """An error about a record, with how to leave out such ones."""
    if str(error).endswith("?"):
        return XinyeError(f"{error} To leave out such records: --bad-records skip")
    return XinyeError(f"{error}. To leave out such records: --bad-records skip")


def too_many(problem: str, first: str) -> XinyeError:
    """An error if more than half of the records are bad, with the first of them."""
    return XinyeError(
        f"{problem}. That is more than half, so --bad-records skip does not skip them. The first "
        f"is {first}"
    )


class BadRecords(XinyeError):
    """An error about several records; `count` is their number."""

    def __init__(self, message: str, count: int) -> None:
        super().__init__(message)
        self.count = count


def _names_flag(error: XinyeError, path: Path) -> bool:
    """True if the error suggests a flag that may make the record readable."""
    return re.search(r"(?<!\S)--[a-z]", str(error).replace(str(path), "")) is not None


@dataclass
class Refused:
    """The bad records of one file: each is passed to `on_bad`, or skipped."""

    path: Path
    on_bad: OnBad
    errors: list[XinyeError] = field(default_factory=list)

    def add(self, error: XinyeError) -> None:
        """Pass the error to `on_bad`, or remember it if bad records are skipped."""
        cut_off = CUT_OFF in str(error)  # more than one record is missing
        self.errors.append(error)
        if _skipping.get() and not cut_off:
            return
        # such a flag may make the record readable
        names_flag = cut_off or _names_flag(error, self.path)
        if self.on_bad is refuse and not names_flag:
            error = with_skip(error)
        self.on_bad(error)

    def check(self, found: int, notes: Notes) -> None:
        """Add a note on the skipped records of a file, in which `found` records are good. Raises
        `XinyeError` if more than half of all records are bad.
        """
        if not self.errors or not _skipping.get():
            return
        count = sum(getattr(error, "count", 1) for error in self.errors)
        first = str(self.errors[0]).removeprefix(f"{self.path}, ")
        if count > found:
            raise too_many(f"{self.path}: {count:,} of {count + found:,} records are bad", first)
        said = f"1 bad record left out: {first}"
        if count > 1:
            said = f"{count:,} bad records left out, first {first}"
        notes.add(str(self.path), said)
