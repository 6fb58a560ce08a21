"""`Watch`: opens an alert when a subject has too many documents, and closes it when it is quiet
again. All of it happens in the transaction that writes the documents."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from xinye.apps.monitor.alarms import WINDOWS, AlarmSettings, Judgement, Series, is_alarm, judge
from xinye.apps.monitor.alerts import ACKNOWLEDGED, CLOSED, OPEN
from xinye.apps.monitor.counts import count_subjects, of_hours
from xinye.apps.monitor.documents import HOUR, Document
from xinye.apps.monitor.limits import Limits
from xinye.apps.monitor.log import SYSTEM, Entry
from xinye.apps.monitor.presence import presence
from xinye.apps.monitor.queries import read_documents
from xinye.apps.monitor.typical import READ, most_typical
from xinye.apps.store import Transaction
from xinye.errors import one_line

MOST_READ = 200  # documents of a subject of which the typical ones are chosen
MOST_TYPICAL = 5
LONGEST_SUMMARY = 300  # characters

Subject = tuple[str, str]  # "topic" or "company", and its name
Touched = tuple[str, str, int]  # a subject, and an hour in which it has new documents
Notify = Callable[[Transaction, int, float], object]  # writes messages: the alert's number, now
Summarize = Callable[[Sequence[str]], str]  # texts, the most typical first, to one line


@dataclass(frozen=True)
class Watch:
    """Judges subjects that have new documents. `notify` is called in the transaction that opens an
    alert; what it writes there is saved with the alert, or not at all. `summarize` is called there,
    too, so it must be quick; if it fails, the title of the most typical document stands for it."""

    settings: AlarmSettings
    limits: Limits
    notify: Notify | None = None
    summarize: Summarize | None = None

    def look(self, transaction: Transaction, now: float, touched: Iterable[Touched]) -> list[int]:
        """Judge subjects. Returns the numbers of the alerts that were opened.

        Documents that come late are judged as of the end of their hour, unless they are more than
        `Limits.late_hours` late."""
        self._close_quiet(transaction, now)
        muted = {
            (row["kind"], row["subject"])
            for row in transaction.select("SELECT * FROM mutes WHERE until > ?", now)
        }
        current = int(now // HOUR)
        subjects: dict[float, set[Subject]] = {}
        for kind, subject, hour in touched:
            if (kind, subject) in muted or hour <= current - self.limits.late_hours:
                continue
            recent = hour > current - max(WINDOWS)
            subjects.setdefault(now if recent else (hour + 1) * HOUR - 1, set()).add(
                (kind, subject)
            )
        opened = []
        for at, of_time in sorted(subjects.items()):
            for (kind, subject), judgement in self._alarms(transaction, at, sorted(of_time)):
                if self._may_open(transaction, now, (kind, subject), judgement):
                    opened.append(self._open(transaction, now, (kind, subject), judgement))
        return opened

    def _alarms(
        self, transaction: Transaction, at: float, subjects: Sequence[Subject]
    ) -> list[tuple[Subject, Judgement]]:
        """The subjects that have too many documents at a time."""
        hour = int(at // HOUR)
        recent = hour + 1 - max(WINDOWS)
        enough = [
            subject
            for subject in subjects
            if sum(of_hours(transaction, *subject, recent, hour).values()) >= self.settings.least
        ]
        if not enough:
            return []
        first = recent - self.settings.history_days * 24
        began, off = presence(transaction, first, hour)
        series = [
            Series(of_hours(transaction, *subject, first, hour), began, off) for subject in enough
        ]
        judgements = judge(series, at, self.settings)
        number = count_subjects(transaction, first * HOUR)
        return [
            (subject, judgement)
            for subject, judgement in zip(enough, judgements, strict=True)
            if is_alarm(judgement, self.settings, number)
        ]

    def _close_quiet(self, transaction: Transaction, now: float) -> None:
        """Close alerts that have not been an alarm for the cool-down. A time of the future shows
        that the clock has gone back; it becomes now, so that no alert waits for years."""
        transaction.execute("UPDATE alerts SET changed = ?1 WHERE changed > ?1", now)
        for row in transaction.select(
            "SELECT number FROM alerts WHERE state IN (?, ?) AND changed <= ?",
            OPEN, ACKNOWLEDGED, now - self.settings.cool_down_hours * HOUR,
        ):  # fmt: skip
            transaction.execute(
                "UPDATE alerts SET state = ? WHERE number = ?", CLOSED, row["number"]
            )
            Entry(now, SYSTEM, CLOSED, alert=row["number"]).write(transaction)

    def _may_open(
        self, transaction: Transaction, now: float, subject: Subject, judgement: Judgement
    ) -> bool:
        """Whether an alarm becomes an alert: not if there is an open one, whose cool-down begins
        again, and which tells of these hours if they are the least likely so far; and not in the
        cool-down after one that a person has closed."""
        row = transaction.select_one(
            "SELECT number, state, changed FROM alerts WHERE kind = ? AND subject = ? "
            "ORDER BY state = 'closed', changed DESC LIMIT 1",
            *subject,
        )
        if row is None:
            return True
        if row["state"] == CLOSED:
            return bool(now - row["changed"] >= self.settings.cool_down_hours * HOUR)
        transaction.execute("UPDATE alerts SET changed = ? WHERE number = ?", now, row["number"])
        transaction.execute(
            "UPDATE alerts SET since = ?2, hour = ?3, observed = ?4, expected = ?5, "
            "probability = ?6 WHERE number = ?1 AND probability > ?6",
            row["number"], judgement.since, judgement.hour, judgement.observed,
            judgement.expected, judgement.probability,
        )  # fmt: skip
        return False

    def _open(
        self, transaction: Transaction, now: float, subject: Subject, judgement: Judgement
    ) -> int:
        documents = _typical(transaction, subject, judgement)
        number = transaction.insert(
            "alerts", kind=subject[0], subject=subject[1], state=OPEN, opened=now, changed=now,
            since=judgement.since, hour=judgement.hour, observed=judgement.observed,
            expected=judgement.expected, probability=judgement.probability,
            summary=self._summary(documents),
        )  # fmt: skip
        for place, document in enumerate(documents, 1):
            transaction.insert(
                "alert_documents", alert=number, place=place, document=document.number
            )
        Entry(now, SYSTEM, "opened", alert=number).write(transaction)
        if self.notify is not None:
            self.notify(transaction, number, now)
        return number

    def _summary(self, documents: Sequence[Document]) -> str:
        texts = [f"{each.title}\n{each.text}".strip()[:READ] for each in documents]
        if not texts:
            return ""
        summary = ""
        if self.summarize is not None:
            try:
                summary = self.summarize(texts)
            except Exception:  # a model that fails must not keep the alarm from anybody
                summary = ""
        line = " ".join(one_line(summary or texts[0].splitlines()[0]).split())
        return line if len(line) <= LONGEST_SUMMARY else line[: LONGEST_SUMMARY - 1] + "…"


def _typical(transaction: Transaction, subject: Subject, judgement: Judgement) -> list[Document]:
    """The most typical documents of those that caused an alarm, the most typical first."""
    kind, name = subject
    table = "document_topics" if kind == "topic" else "document_companies"
    rows = transaction.select(
        f"SELECT documents.* FROM {table} AS labels CROSS JOIN documents ON number = document "
        f"WHERE labels.{kind} = ? AND labels.at >= ? AND labels.at < ? AND first IS NULL "
        "ORDER BY labels.at DESC, document DESC LIMIT ?",
        name, judgement.since * HOUR, (judgement.hour + 1) * HOUR, MOST_READ,
    )  # fmt: skip
    order = most_typical([f"{row['title']}\n{row['text']}" for row in rows])
    return read_documents(transaction, [rows[place] for place in order[:MOST_TYPICAL]])
