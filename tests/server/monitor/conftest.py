"""One server for all tests that only ask."""

from collections.abc import Iterator

import pytest

from server.monitor.board_server import Client, serving
from xinye.server import streams
from xinye.server.monitor import loop


@pytest.fixture(scope="session", autouse=True)
def hurried() -> Iterator[None]:
    """Pauses are short, so that the tests are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "LOOK", 0.1)
        patch.setattr(streams, "BETWEEN", 0.05)
        yield


@pytest.fixture
def board(tmp_path) -> Iterator[Client]:
    with serving(tmp_path / "monitor.db") as running:
        yield running
