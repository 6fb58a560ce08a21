"""What a message about an alarm says, in Chinese and English."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any

from xinye.apps.monitor.documents import HOUR
from xinye.apps.monitor.web_addresses import link
from xinye.apps.store import Transaction
from xinye.errors import NotFound, one_line
from xinye.runs.words import Both

VERSION = 1  # of the JSON that is sent
MOST_TEXTS = 5
LONGEST_TITLE = 120  # characters
LONGEST_TEXT = 300
LONGEST_SUMMARY = 300
LONGEST_URL = 800

TITLE = Both(
    "Alarm: {count:,} documents on “{subject}” in {length} h, {expected} expected",
    "预警：{length} 小时内有 {count:,} 篇文档提到“{subject}”，预计 {expected} 篇",
)
HOURS = Both(
    "{day}, {begin} to {end} ({zone}): {count:,} documents; {expected} were expected.",
    "{day} {begin} 至 {end}（{zone}）共 {count:,} 篇，预计 {expected} 篇。",
)
FEW = Both("less than 0.1", "不到 0.1")
SUMMARY = Both("In short: {summary}", "摘要：{summary}")
TYPICAL = Both("The most typical documents:", "最有代表性的文档：")
BOARD = Both("Board", "看板")


@dataclass(frozen=True)
class Wording:
    """How a message is written: "zh" or "en", the address of the board ("" without one), and the
    time zone of its hours."""

    language: str = "en"
    board_url: str = ""
    zone: tzinfo = UTC

    def of(self, text: Both) -> str:
        """The text in this language."""
        return text.zh if self.language == "zh" else text.en


@dataclass(frozen=True)
class Typical:
    """A document that caused an alarm. Its `url` is "" unless it can be followed safely."""

    title: str
    text: str
    url: str


@dataclass(frozen=True)
class Notice:
    """The contents of a message about an alarm: there were `observed` documents from the hour
    `since` to the hour `hour`, both included. What comes from documents is cut to length, and has
    no control characters."""

    alert: int
    kind: str
    subject: str
    since: int
    hour: int
    observed: int
    expected: float
    summary: str
    documents: tuple[Typical, ...]

    def body(self, wording: Wording) -> str:
        """The message as JSON: its sentences for people, and the figures for programs."""
        begin = datetime.fromtimestamp(self.since * HOUR, UTC)
        length = self.hour + 1 - self.since
        expected = f"{self.expected:,.1f}" if self.expected >= 0.1 else wording.of(FEW)
        gaps = {
            "count": self.observed,
            "subject": self.subject,
            "expected": expected,
            "length": length,
        }
        local = begin.astimezone(wording.zone)
        hours = wording.of(HOURS).format(
            day=f"{local:%Y-%m-%d}",
            begin=f"{local:%H:%M}",
            end=f"{local + timedelta(hours=length):%H:%M}",
            zone=timezone(
                local.utcoffset() or timedelta()
            ),  # CST would be that of China or America
            **gaps,
        )
        values = {
            "version": VERSION,
            "language": wording.language,
            "title": wording.of(TITLE).format(**gaps),
            "hours": hours,
            "alert": self.alert,
            "kind": self.kind,
            "subject": self.subject,
            "begin": begin.isoformat(),
            "length": length,
            "observed": self.observed,
            "expected": round(self.expected, 3),
            "summary": self.summary,
            "documents": [vars(each) for each in self.documents],
            "board": wording.board_url,
        }
        return json.dumps(values, ensure_ascii=False)


def read_notice(transaction: Transaction, alert: int) -> Notice:
    """The contents of a message about this alert, from the tables. Raises `NotFound`."""
    row = transaction.select_one("SELECT * FROM alerts WHERE number = ?", alert)
    if row is None:
        raise NotFound(f"there is no alert {alert}")
    documents = transaction.select(
        "SELECT title, text, url FROM alert_documents JOIN documents ON number = document "
        "WHERE alert = ? ORDER BY place LIMIT ?",
        alert, MOST_TEXTS,
    )  # fmt: skip
    return Notice(
        alert,
        row["kind"],
        cut(row["subject"], LONGEST_TITLE),
        row["since"],
        row["hour"],
        row["observed"],
        row["expected"],
        cut(row["summary"], LONGEST_SUMMARY),
        tuple(_typical(each["title"], each["text"], each["url"]) for each in documents),
    )


def as_text(values: dict[str, Any]) -> str:
    """The message of a body as plain text."""
    wording = Wording(values["language"])
    lines = [values["hours"]]
    if values["summary"]:
        lines += ["", wording.of(SUMMARY).format(summary=values["summary"])]
    if values["documents"]:
        lines += ["", wording.of(TYPICAL)]
    for number, document in enumerate(values["documents"], 1):
        headline, text = quoted_lines(document)
        lines += ["", f"{number}. {headline}"]
        lines += [f"   {each}" for each in (text, document["url"]) if each]
    if values["board"]:
        colon = wording.of(Both(": ", "："))
        lines += ["", f"{wording.of(BOARD)}{colon}{values['board']}"]
    return "\n".join(lines) + "\n"


def quoted_lines(document: dict[str, str]) -> tuple[str, str]:
    """The headline of a document in a body, and what else to quote of it: many posts have no title,
    or begin with it."""
    title, text = document["title"], document["text"]
    if text.startswith(title.removesuffix("…")):
        return text or "—", ""
    return title, text


def cut(text: str, longest: int) -> str:
    """The text in one line of at most so many characters, safe to print."""
    line = " ".join(one_line(text[: 4 * longest]).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def _typical(title: str, text: str, url: str) -> Typical:
    address = link(url)
    return Typical(
        cut(title, LONGEST_TITLE),
        cut(text, LONGEST_TEXT),
        address if len(address) <= LONGEST_URL else "",
    )
