"""A store, and a clock that a test moves."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from apps.monitor.web import HERE
from xinye.apps.monitor.documents import Incoming
from xinye.apps.monitor.schema import MIGRATIONS
from xinye.apps.monitor.sources.feeds import Feeds, FeedSettings
from xinye.apps.monitor.sources.fetching import FetchLimits
from xinye.apps.store import Store

NOW = 1_714_550_400.0  # 2024-05-01 08:00 UTC
SETTINGS = FeedSettings(allow=(HERE,), limits=FetchLimits(size=200_000, seconds=5.0, gap=0.0))


class Clock:
    """A clock that a test moves. `slept` are the seconds that were slept."""

    def __init__(self) -> None:
        self.now = NOW
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@dataclass
class Reader:
    """Makes `Feeds` on one store, which may fetch from `HERE`, and keeps what they warn of."""

    store: Store
    clock: Clock
    warned: list[str] = field(default_factory=list)
    settings: FeedSettings = SETTINGS

    def feeds(self, *urls: str, **settings: Any) -> Feeds:
        return Feeds(
            self.store, dict.fromkeys(urls, ""), replace(self.settings, **settings), self.clock, self.clock.sleep,
            self.warned.append,
        )  # fmt: skip

    def read(self, *urls: str, **settings: Any) -> list[Incoming]:
        return [each for batch in self.feeds(*urls, **settings).due() for each in batch]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reader(tmp_path: Path, clock: Clock) -> Iterator[Reader]:
    store = Store(tmp_path / "monitor.db", "monitor", MIGRATIONS)
    yield Reader(store, clock)
    store.close()
