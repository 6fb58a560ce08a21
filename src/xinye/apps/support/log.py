"""The log of a desk: who did what, when, by which model and on what evidence. It only grows.

Its figures hold no text of a customer. Reasons and passages may repeat one, so they stand in a
table of their own, and are deleted with the conversation."""

import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from sqlite3 import Row

from xinye.apps.store import Store, Transaction
from xinye.apps.support.reply import HANDOVER, Reply, Source

# why a person was asked; what else stands there counts as the last one
REASONS = (
    "the customer asks for a person",
    "the customer is angry",
    "the customer complains",
    "a forbidden topic",
    "no answer is certain enough",
    "no reply in time",
    "it depends on the case",
    "another reason",
)
ASKED, ANGRY, COMPLAINS, FORBIDDEN, UNCERTAIN, LATE, BY_CASE, OTHER = REASONS
# on what the bot based a reply
GROUNDS = (
    "the template of this intent",
    "an entry of the FAQ",
    "facts of the graph",
    "passages of the documents",
    "a language that the desk does not speak",
)
INTENT, ENTRY, GRAPH, DOCUMENTS, FOREIGN = GROUNDS


@dataclass(frozen=True)
class Entry:
    """A line of the log. `who` is "customer", "bot", "operator" (with a `name`) or "system".
    `seconds` is how long the customer had waited for it."""

    at: float
    who: str
    what: str
    conversation: str
    name: str = ""
    message: int | None = None
    kind: str = ""
    reason: str = ""
    model: str = ""
    score: float | None = None
    threshold: float | None = None
    seconds: float | None = None
    why: str = ""
    sources: tuple[Source, ...] = ()

    def on(self, reply: Reply) -> "Entry":
        """The entry with the evidence of a reply."""
        return replace(
            self,
            kind=reply.kind,
            reason=reason_in(reply.why) if reply.kind == HANDOVER else "",
            model=reply.model,
            score=reply.score,
            threshold=reply.threshold,
            why=reply.why,
            sources=reply.sources,
        )

    def write(self, transaction: Transaction) -> int:
        """Append the entry. Returns its number."""
        columns = asdict(self)
        why, sources = columns.pop("why"), columns.pop("sources")
        number = transaction.insert("log", **columns)
        if why or sources:
            transaction.insert(
                "log_texts", log=number, conversation=self.conversation, why=why,
                sources=json.dumps(sources, ensure_ascii=False),
            )  # fmt: skip
        return number


def reason_in(why: str) -> str:
    """The one of `REASONS` that a text begins with. Only these are kept for good."""
    return next((reason for reason in REASONS if why.startswith(reason)), OTHER)


def sources_in(text: str | None) -> tuple[Source, ...]:
    """The sources that `Entry.write` has written."""
    return tuple(Source(**each) for each in json.loads(text or "[]"))


@dataclass(frozen=True)
class Wait:
    """How long customers waited for a first reply: in how many conversations, and the median and
    the 90th percentile in seconds."""

    conversations: int
    median: float
    p90: float


@dataclass(frozen=True)
class Figures:
    """What happened at a desk. Erased conversations still count."""

    conversations: int
    ended: int  # closed conversations in which the customer asked something
    alone: int  # of these, the ones that no person was asked for or took
    states: dict[str, int]
    replies: dict[str, int]  # of the bot, by kind
    handovers: dict[str, int]  # by reason
    bot: (
        Wait | None
    )  # from the first message that the bot answered to its reply; None: no reply yet
    people: Wait | None  # from the handover to the first reply of a person
    thumbs_up: int
    thumbs_down: int


# A reply to a greeting, which has no score, shows that nothing was asked yet.
_ENDED = """SELECT count(*) AS ended, coalesce(sum(NOT person), 0) AS alone FROM (
    SELECT max(log.reason <> '' OR what = 'claimed') AS person,
        max(what = 'reply' AND (log.kind <> 'template' OR score IS NOT NULL)) AS replied
    FROM log JOIN conversations ON id = conversation
    WHERE begun >= ? AND state = 'closed' GROUP BY conversation
) WHERE replied OR person"""


class Log:
    """What can be read of the log of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def entries(self, after: int = 0, count: int = 200) -> list[tuple[int, Entry]]:
        """The first `count` entries with numbers above `after`, each with its number."""
        return self._entries("ASC", after, count)

    def latest(self, count: int, after: int = 0) -> list[tuple[int, Entry]]:
        """The last `count` entries with numbers above `after`, the oldest first."""
        return self._entries("DESC", after, count)[::-1]

    def _entries(self, order: str, after: int, count: int) -> list[tuple[int, Entry]]:
        with self._store.reading() as transaction:
            rows = transaction.select(
                "SELECT log.*, why, sources FROM log LEFT JOIN log_texts ON log = number "
                f"WHERE number > ? ORDER BY number {order} LIMIT ?",
                after, count,
            )  # fmt: skip
        return [(row["number"], _entry(row)) for row in rows]

    def figures(self, since: float = 0.0) -> Figures:
        """The figures of the conversations that began at this time or later."""
        with self._store.reading() as transaction:
            (row,) = transaction.select(_ENDED, since)
            states = _counts(
                transaction.select(
                    "SELECT state, count(*) FROM conversations WHERE begun >= ? GROUP BY 1", since
                )
            )
            counted = "FROM log JOIN conversations ON id = conversation WHERE begun >= ? AND "
            replies = transaction.select(
                f"SELECT kind, count(*) {counted} who = 'bot' AND what = 'reply' GROUP BY 1", since
            )
            handovers = transaction.select(
                f"SELECT log.reason, count(*) {counted} log.reason <> '' GROUP BY 1", since
            )
            thumbs = transaction.select(  # the last one that a customer gave to each message
                f"SELECT kind, count(*) FROM (SELECT kind, max(number) {counted} "
                "what = 'feedback' AND who = 'customer' GROUP BY conversation, message) GROUP BY 1",
                since,
            )
            waits = [
                transaction.select(
                    f"SELECT seconds, min(number) {counted} what = 'reply' AND who = ? "
                    "AND seconds IS NOT NULL GROUP BY conversation",
                    since, who,
                )
                for who in ("bot", "operator")
            ]  # fmt: skip
        up_and_down = _counts(thumbs)
        return Figures(
            conversations=sum(states.values()),
            ended=row["ended"],
            alone=row["alone"],
            states=states,
            replies=_counts(replies),
            handovers=_counts(handovers),
            bot=_wait(waits[0]),
            people=_wait(waits[1]),
            thumbs_up=up_and_down.get("up", 0),
            thumbs_down=up_and_down.get("down", 0),
        )


def _entry(row: Row) -> Entry:
    columns = {name: row[name] for name in row.keys() if name != "number"}  # noqa: SIM118
    columns |= {"why": row["why"] or "", "sources": sources_in(row["sources"])}
    return Entry(**columns)


def _counts(rows: Sequence[Row]) -> dict[str, int]:
    return {name: count for name, count in rows}


def _wait(rows: Sequence[Row]) -> Wait | None:
    seconds = sorted(row["seconds"] for row in rows)
    if not seconds:
        return None
    p90 = seconds[math.ceil(0.9 * len(seconds)) - 1]
    return Wait(len(seconds), statistics.median(seconds), p90)
