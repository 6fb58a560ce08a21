"""When documents count."""

from xinye.apps.monitor.documents import dated

NOW = 1_714_550_400.0  # 2024-05-01 08:00 UTC


def test_missing_and_future_dates_count_as_now() -> None:
    assert dated(None, NOW) == (NOW, "missing")
    assert dated(NOW + 3600, NOW) == (NOW, "future")
    assert dated(NOW + 60, NOW) == (NOW, "given")  # another machine's clock
    assert dated(NOW - 3600, NOW) == (NOW - 3600, "given")
