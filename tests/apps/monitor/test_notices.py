"""What a message about an alarm says."""

import json
from collections.abc import Iterator
from datetime import timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from apps.monitor.office import Office
from xinye.apps.monitor.notices import Wording, as_text, read_notice
from xinye.errors import NotFound


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    office = Office(tmp_path / "monitor.db")
    yield office
    office.store.close()


def said(office: Office, alert: int, wording: Wording) -> dict[str, Any]:
    with office.store.reading() as transaction:
        values: dict[str, Any] = json.loads(read_notice(transaction, alert).body(wording))
    return values


def test_a_message_in_english(office: Office) -> None:
    alert = office.alert(
        "returns",
        [
            ("Returns take weeks", "I sent it back in May.", "https://example.com/1"),
            ("", "Again.", ""),
            ("So slow", "So slow, really", ""),
        ],
        summary="Returns are slow.",
        expected=0.04,
        observed=1234,
    )
    values = said(office, alert, Wording("en", "https://monitor.example.com/"))
    assert values["title"] == ("Alarm: 1,234 documents on “returns” in 1 h, less than 0.1 expected")
    assert as_text(values).splitlines() == [
        "2023-11-14, 22:00 to 23:00 (UTC): 1,234 documents; less than 0.1 were expected.",
        "",
        "In short: Returns are slow.",
        "",
        "The most typical documents:",
        "",
        "1. Returns take weeks",
        "   I sent it back in May.",
        "   https://example.com/1",
        "",
        "2. Again.",
        "",
        "3. So slow, really",
        "",
        "Board: https://monitor.example.com/",
    ]


def test_hours_in_a_time_zone(office: Office) -> None:
    wording = Wording("zh", zone=timezone(timedelta(hours=8)))
    values = said(office, office.alert(), wording)
    assert values["hours"] == "2023-11-15 06:00 至 07:00（UTC+08:00）共 23 篇，预计 4.1 篇。"
    assert values["begin"] == "2023-11-14T22:00:00+00:00"


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "https://",
        "https://a b.com/",
        "https://a:b@a.com/",
        "https://[",
        "x" * 801,
    ],
)
def test_a_link_that_cannot_be_followed_is_left_out(office: Office, url: str) -> None:
    values = said(office, office.alert(documents=[("t", "t", url)]), Wording())
    assert values["documents"][0]["url"] == ""


def test_texts_are_data(office: Office) -> None:
    """They are cut, keep their braces, and control neither a terminal nor the lines of a mail."""
    text = "{0} {summary}\r\n.\r\nBcc: x@y.com\x1b[31m\u202e" + "长" * 10_000
    alert = office.alert("{subject}\nBcc: x@y.com", [(text, text, "")] * 9, summary=text)
    values = said(office, alert, Wording("zh"))
    assert "“{subject} Bcc: x@y.com”" in values["title"]
    assert len(values["documents"]) == 5
    document = values["documents"][0]
    assert document["title"].startswith("{0} {summary} . Bcc: x@y.com␛[31m\ufffd长")
    assert [len(values["summary"]), len(document["title"]), len(document["text"])] == [
        300,
        120,
        300,
    ]
    assert document["text"].endswith("长…")


def test_an_alert_that_does_not_exist(office: Office) -> None:
    with pytest.raises(NotFound), office.store.reading() as transaction:
        read_notice(transaction, 99)
