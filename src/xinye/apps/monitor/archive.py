"""`Archive`: what the parts of a monitor share: the store, its secret, the limits, the clock."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from xinye.apps.monitor.limits import Limits
from xinye.apps.store import Store, Transaction
from xinye.errors import XinyeError

LONGEST_NAME = 200  # characters


@dataclass(frozen=True)
class Archive:
    """The parts that all share. `clock` gives seconds since 1970. `zone` is how many hours local
    time is ahead of UTC: where a day begins."""

    store: Store
    secret: bytes
    limits: Limits
    clock: Callable[[], float]
    zone: int = 0

    @contextmanager
    def writing(self) -> Iterator[tuple[Transaction, float]]:
        """A transaction and the time."""
        with self.store.writing() as transaction:
            yield transaction, self.clock()


def checked_name(name: str, what: str) -> str:
    """A name that somebody else gave, without spaces at its ends. Raises `XinyeError` for one that
    is empty, too long or not printable, since a line break would forge a line of the log."""
    name = name.strip()
    if not name:
        raise XinyeError(f"{what} is empty; write it")
    if len(name) > LONGEST_NAME:
        raise XinyeError(f"{what} has more than {LONGEST_NAME} characters; shorten it")
    if not name.isprintable():
        raise XinyeError(f"{what} has characters that cannot be printed; leave them out")
    return name
