"""The messages of a conversation: numbered 1, 2, … without gaps."""

from dataclasses import dataclass, replace
from sqlite3 import Row

from xinye.apps.store import Transaction
from xinye.apps.support.log import sources_in
from xinye.apps.support.reply import FROM_DOCUMENTS, Source
from xinye.errors import XinyeError, not_unicode

_SELECT = (
    "SELECT messages.*, log.name, log.kind, log.score, log.threshold, why, sources FROM messages "
    "JOIN log ON log.number = messages.log LEFT JOIN log_texts ON log_texts.log = log.number "
)


@dataclass(frozen=True)
class Message:
    """A message. `name` is that of the operator. `kind`, `score`, `threshold`, `why` and `sources`
    are those of the bot's reply, or of what was suggested to an operator."""

    number: int
    at: float
    sender: str  # "customer", "bot" or "operator"
    text: str
    name: str
    suggestion: str
    kind: str
    score: float | None
    threshold: float | None
    why: str
    sources: tuple[Source, ...]

    @classmethod
    def of_customer(cls, text: str) -> "Message":
        """A customer's message that is in no conversation, such as a question of a test."""
        return cls(1, 0.0, "customer", text, "", "", "", None, None, "", ())

    def for_customer(self) -> "Message":
        """The message without what is for operators only. Of the sources those in documents stay:
        an entry of the FAQ names what another customer has written."""
        seen = replace(self, suggestion="", score=None, threshold=None, why="")
        if self.sender != "bot":
            return replace(seen, kind="", sources=())
        return seen if self.kind in FROM_DOCUMENTS else replace(seen, sources=())


def find_message(transaction: Transaction, conversation: str, number: int) -> Message | None:
    """The message with a number, or None."""
    row = transaction.select_one(
        f"{_SELECT} WHERE messages.conversation = ? AND messages.number = ?", conversation, number
    )
    return _message(row) if row else None


def page(transaction: Transaction, conversation: Row, after: int, count: int) -> list[Message]:
    """The first `count` messages with numbers above `after`, in order."""
    after = max(0, min(after, conversation["messages"]))
    return messages_between(transaction, conversation["id"], after, after + count)


def messages_between(
    transaction: Transaction, conversation: str, after: int, to: int
) -> list[Message]:
    """The messages with numbers above `after` and up to `to`, in order."""
    rows = transaction.select(
        f"{_SELECT} WHERE messages.conversation = ? AND messages.number > ? "
        "AND messages.number <= ? ORDER BY messages.number",
        conversation, after, to,
    )  # fmt: skip
    return [_message(row) for row in rows]


def checked_text(text: str, limit: int, what: str) -> str:
    """The text without white space around it. Raises `XinyeError` for one that is empty, too long
    or not Unicode."""
    if reason := not_unicode(text):
        raise XinyeError(f"{what} is {reason}")
    text = text.strip()
    if not text:
        raise XinyeError(f"{what} is empty; write at least one character")
    if len(text) > limit:
        raise XinyeError(f"{what} has {len(text):,} characters; at most {limit:,} are allowed")
    return text


def _message(row: Row) -> Message:
    columns = {name: row[name] for name in Message.__dataclass_fields__}
    return Message(**columns | {"why": row["why"] or "", "sources": sources_in(row["sources"])})
