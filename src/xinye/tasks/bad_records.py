"""What becomes of records that cannot be learned from: the first one is an error, or all are left
out with a note."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from xinye.data.notes import Notes
from xinye.data.records import CUT_OFF
from xinye.errors import XinyeError, plural
from xinye.tasks.records import OnBad, refuse

# Whether bad records are left out. It is no argument because all that read records must agree.
_skipping: ContextVar[bool] = ContextVar("skipping", default=False)


@contextmanager
def bad_records(what: str) -> Iterator[None]:
    """Until the end records that cannot be read are left out, where `what` is "skip"."""
    token = _skipping.set(what == "skip" or _skipping.get())
    try:
        yield
    finally:
        _skipping.reset(token)


def are_skipped() -> bool:
    return _skipping.get()


class BadRecords(XinyeError):
    """What is wrong with several records."""

    def __init__(self, message: str, count: int) -> None:
        super().__init__(message)
        self.count = count


def _names_flag(error: XinyeError, path: Path) -> bool:
    """Whether an error names a flag with which the record may be read rightly."""
    return re.search(r"(?<!\S)--[a-z]", str(error).replace(str(path), "")) is not None


@dataclass
class Refused:
    """The bad records of a file: each is given to `on_bad`, or left out where they are skipped."""

    path: Path
    on_bad: OnBad
    errors: list[XinyeError] = field(default_factory=list)

    def add(self, error: XinyeError) -> None:
        cut_off = CUT_OFF in str(error)  # more is missing than one record
        self.errors.append(error)
        if _skipping.get() and not cut_off:
            return
        names_flag = cut_off or _names_flag(error, self.path)  # which may read it rightly
        if self.on_bad is refuse and not names_flag:
            error = XinyeError(f"{error}. To leave out such records: --bad-records skip")
        self.on_bad(error)

    def check(self, found: int, notes: Notes) -> None:
        """Note what was skipped of a file in which so many records were found. Raises `XinyeError`
        where that is more than half."""
        if not self.errors or not _skipping.get():
            return
        count = sum(getattr(error, "count", 1) for error in self.errors)
        first = str(self.errors[0]).removeprefix(f"{self.path}, ")
        if count > found:
            raise XinyeError(
                f"{self.path}: {count:,} of {count + found:,} records are bad. That is "
                "more than half, so --bad-records skip does not skip them. The first is "
                f"{first}"
            )
        more = " …" if count > 1 else ""
        notes.add(str(self.path), f"{plural(count, 'bad record')} left out: {first}{more}")
