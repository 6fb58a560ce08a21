"""Dates in the forms that feeds and files have."""

from datetime import UTC
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xinye.apps.monitor.sources.dates import read_date

CHINA = ZoneInfo("Asia/Shanghai")
NOW = 1_714_550_400.0  # 2024-05-01 08:00 UTC


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-01T08:00:00Z",
        "2024-05-01T16:00:00+08:00",
        "2024-05-01T16:00:00.123+0800",
        "2024-05-01 02:30:00 -05:30",
        "Wed, 01 May 2024 08:00:00 GMT",
        "Wed, 01 May 2024 08:00:00 -0000",
        "01 May 2024 16:00 +0800",
        "1714550400",
        "1714550400000",
        1_714_550_400,
        1_714_550_400.5,
    ],
)
def test_dates_with_a_zone(text: object) -> None:
    date = read_date(text, CHINA)
    assert date.at is not None and int(date.at) == NOW and date.zoned and date.timed


@pytest.mark.parametrize(
    "text",
    [
        "2024-05-01 16:00:00",
        "2024/5/1 16:00",
        "2024年5月1日 16:00",
        "2024年05月01日16时00分00秒",
        "2024.05.01 16:00:00",
        "20240501160000",
        "Wed, 01 May 2024 16:00:00",
    ],
)
def test_dates_without_a_zone(text: str) -> None:
    assert read_date(text, CHINA).at == NOW and not read_date(text, CHINA).zoned
    assert read_date(text, UTC).at == NOW + 8 * 3600


@pytest.mark.parametrize(
    "text",
    ["Wed May 01 16:00:00 CST 2024", "Wed, 01 May 2024 16:00:00 CST", "2024-05-01 16:00 CST"],
)
def test_the_short_name_of_the_own_zone_is_that_zone(text: str) -> None:
    assert read_date(text, CHINA).at == NOW and read_date(text, CHINA).zoned


def test_a_day_has_no_time() -> None:
    for text in ("2024-05-01", "2024年5月1日", "20240501"):
        date = read_date(text, CHINA)
        assert date.at == NOW - 16 * 3600 and not date.timed


@pytest.mark.parametrize(
    "value",
    [None, "", "soon", "2024-13-01", "2024-02-30 08:00", "0", "0001-01-01T00:00:00Z", "1970-01-01",
     True, float("nan"), float("inf"), 10**400, [2024], "9" * 5000, "昨天 08:00", "05-01 08:00"],
)  # fmt: skip
def test_what_is_no_date(value: object) -> None:
    assert read_date(value).at is None


@settings(max_examples=50)
@given(st.text() | st.integers() | st.floats())
def test_nothing_raises(value: object) -> None:
    read_date(value, CHINA)
