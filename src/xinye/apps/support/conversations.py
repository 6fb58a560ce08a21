"""`Conversations`: the store of a desk, with what each role can do."""

import time
from collections.abc import Callable
from pathlib import Path

from xinye.apps.keys import secret_of
from xinye.apps.store import TIMEOUT, Store
from xinye.apps.support.bot import Bot
from xinye.apps.support.customers import Customers
from xinye.apps.support.desk import Desk
from xinye.apps.support.feedback import Feedbacks
from xinye.apps.support.limits import Limits
from xinye.apps.support.log import Log
from xinye.apps.support.operators import Operators
from xinye.apps.support.retention import Retention
from xinye.apps.support.schema import MIGRATIONS
from xinye.data.personal import Tagger

KIND = "support"


class Conversations:
    """The conversations of a desk, in one file that several processes can use at the same time. All
    methods are safe to call from several threads, and take milliseconds: most wait for the disk.

    >>> desk = Conversations("support.db")  # doctest: +SKIP
    >>> begun = desk.customers.begin()  # doctest: +SKIP
    >>> desk.customers.message(*begun, "Where is my parcel?")  # doctest: +SKIP
    >>> pending = desk.bot.next()  # doctest: +SKIP
    >>> desk.bot.reply(pending, Reply("faq", "It arrives on Monday."))  # doctest: +SKIP

    `tagger` finds names and addresses to mask, and `clock` gives seconds since 1970."""

    def __init__(
        self,
        path: str | Path,
        limits: Limits | None = None,
        tagger: Tagger | None = None,
        create: bool = True,
        clock: Callable[[], float] = time.time,
        timeout: float = TIMEOUT,
    ) -> None:
        """Open the store, or make it. Raises `XinyeError` as `Store` does."""
        self.limits = limits or Limits()
        self.store = Store(path, KIND, MIGRATIONS, create, timeout)
        try:
            desk = Desk(self.store, secret_of(self.store), self.limits, clock, tagger)
        except BaseException:
            self.store.close()
            raise
        self.customers = Customers(desk)
        self.bot = Bot(desk)
        self.operators = Operators(desk)
        self.feedback = Feedbacks(desk)
        self.retention = Retention(desk)
        self.log = Log(self.store)

    def close(self) -> None:
        """Close the store's file."""
        self.store.close()
