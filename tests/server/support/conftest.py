"""One server for all tests that only ask."""

from collections.abc import Iterator

import pytest

from server.support.desk_server import Desk, make_desk, serving
from xinye.server import streams
from xinye.server.support import bots


@pytest.fixture(scope="session", autouse=True)
def hurried() -> Iterator[None]:
    """Pauses are short, so that the tests are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bots, "LOOK", 0.2)
        patch.setattr(streams, "BETWEEN", 0.1)
        yield


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("support")
    origin = "https://shop.example"
    with serving(
        make_desk(folder / "desk"), folder / "support.db", allow_origin=(origin,)
    ) as running:
        yield running
