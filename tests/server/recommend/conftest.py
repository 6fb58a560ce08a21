"""A server of the bookshop for each test that changes something, and one for all others."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from server.recommend.shop_server import Client, serving


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Client]:
    with serving(tmp_path) as running:
        yield running


@pytest.fixture(scope="package")
def quiet_shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with serving(tmp_path_factory.mktemp("shop")) as running:
        yield running
