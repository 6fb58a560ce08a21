"""What becomes of records that cannot be learned from: the first one is an error, or all are left
out with a note."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from xinye.data.notes import Notes
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


class BadRecords(XinyeError):
    """What is wrong with several records."""

    def __init__(self, message: str, count: int) -> None:
        super().__init__(message)
        self.count = count


@dataclass
class Refused:
    """The bad records of a file: each is given to `on_bad`, or left out where they are skipped."""

    path: Path
    on_bad: OnBad
    errors: list[XinyeError] = field(default_factory=list)

    def add(self, error: XinyeError) -> None:
        self.errors.append(error)
        if _skipping.get():
            return
        if self.on_bad is refuse and "--" not in str(error):  # another flag may read it rightly
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
                f"{self.path}: {count:,} of {count + found:,} records are bad. That is more than "
                f"half, so --bad-records skip does not leave them out; first {first}"
            )
        more = " …" if count > 1 else ""
        notes.add(str(self.path), f"{plural(count, 'bad record')} left out: {first}{more}")
