"""What operators can do: take conversations out of the queue, reply, give them back, close them."""

from dataclasses import dataclass
from sqlite3 import Row

from xinye.apps.store import Transaction
from xinye.apps.support.asked import last_question
from xinye.apps.support.desk import Desk
from xinye.apps.support.exchanges import answer_in
from xinye.apps.support.feedback import give
from xinye.apps.support.log import OTHER, Entry
from xinye.apps.support.messages import Message, checked_text, messages_between, page
from xinye.apps.support.reply import Reply
from xinye.apps.support.states import (
    CLOSED,
    HUMAN,
    Conversation,
    check_open,
    close,
    move,
    put_back,
)
from xinye.errors import Conflict


@dataclass(frozen=True)
class Queue:
    """The conversations for people: first those that wait, the longest first, then those that are
    taken. There are `total`, of which at most `Limits.page` are listed. `asked` has the last
    question of the customer of each, by its id, from the last `Limits.turns` messages."""

    total: int
    conversations: tuple[Conversation, ...]
    asked: dict[str, str]


class Operators:
    """What operators can do, each under a name. Raises `NotFound` for a conversation that does not
    exist, and `Conflict` if it is closed or if another operator has it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def queue(self) -> Queue:
        """The conversations that wait for a person, or have one."""
        now = self._desk.clock()
        with self._desk.store.reading() as transaction:
            rows = transaction.select(
                "SELECT * FROM conversations WHERE state IN ('waiting', 'human') "
                "ORDER BY state = 'human' AND claimed_until > ?1, "
                "coalesce(waiting, changed), begun LIMIT ?2",
                now, self._desk.limits.page,
            )  # fmt: skip
            total = transaction.select(
                "SELECT count(*) FROM conversations WHERE state IN ('waiting', 'human')"
            )[0][0]
            asked = {row["id"]: self._asked(transaction, row) for row in rows}
        return Queue(total, tuple(Conversation.of(row, now) for row in rows), asked)

    def _asked(self, transaction: Transaction, row: Row) -> str:
        last = row["messages"]
        return last_question(
            messages_between(transaction, row["id"], last - self._desk.limits.turns, last)
        )

    def state(self, conversation: str) -> Conversation:
        """The conversation as it is now."""
        with self._desk.store.reading() as transaction:
            return Conversation.of(self._desk.find(transaction, conversation), self._desk.clock())

    def messages(self, conversation: str, after: int = 0) -> list[Message]:
        """The messages with numbers above `after`, in order, at most `Limits.page`."""
        with self._desk.store.reading() as transaction:
            row = self._desk.find(transaction, conversation)
            return page(transaction, row, after, self._desk.limits.page)

    def claim(self, conversation: str, operator: str) -> Conversation:
        """Take a conversation from the queue or from the bot. Of two operators one gets it. Who has
        it already keeps it for another while."""
        operator = self._desk.checked_id(operator, "the name of the operator")
        with self._desk.writing() as (transaction, now):
            row = self._desk.find(transaction, conversation)
            check_open(row)
            if row["state"] != HUMAN:
                move(transaction, row, HUMAN, now, operator=operator, reason=row["reason"] or OTHER)
                Entry(now, "operator", "claimed", row["id"], operator).write(transaction)
            elif row["operator"] != operator:
                raise _taken()
            self._keep(transaction, row, now)
        return self.state(conversation)

    def release(self, conversation: str, operator: str) -> None:
        """Put a conversation back into the queue."""
        operator = self._desk.checked_id(operator, "the name of the operator")
        with self._desk.writing() as (transaction, now):
            row = self._own(transaction, conversation, operator)
            put_back(transaction, row, now)
            Entry(now, "operator", "released", row["id"], operator).write(transaction)

    def reply(
        self,
        conversation: str,
        operator: str,
        text: str,
        client: str = "",
        suggestion: Reply | None = None,
    ) -> Message:
        """Reply to the customer, and keep the conversation for another while. `suggestion` is the
        bot's, if the text comes from it. A reply that answers something waits for approval
        as feedback.

        A reply with the same `client` id is written once. Values that the customer has sent are
        masked; others stay, because they are the company's."""
        operator = self._desk.checked_id(operator, "the name of the operator")
        text = checked_text(text, self._desk.limits.reply_characters, "the reply")
        hashed = self._desk.client_hash(client)
        tagger = self._desk.tagged(text)
        with self._desk.writing() as (transaction, now):
            row = self._desk.find(transaction, conversation)
            if known := self._desk.sent_before(transaction, row["id"], "operator", hashed):
                return known
            row = self._own(transaction, conversation, operator)
            masked = self._desk.masked(transaction, row, text, tagger, only_known=True)
            seconds = None if row["waiting"] is None else now - row["waiting"]
            entry = Entry(now, "operator", "reply", row["id"], operator, seconds=seconds)
            entry = entry.on(suggestion) if suggestion else entry
            suggested = self._suggested(transaction, row, suggestion) if suggestion else ""
            is_answer = masked == suggested or bool(answer_in(masked)[0])
            suggested = suggested if is_answer else ""  # no other answer replaces it
            message = self._desk.append(transaction, row, masked, entry, hashed, suggested)
            transaction.execute("UPDATE conversations SET waiting = NULL WHERE id = ?", row["id"])
            self._keep(transaction, row, now)
            if is_answer:
                give(transaction, Entry(now, "operator", "feedback", row["id"], operator,
                                        message=message.number, kind="up"), "")  # fmt: skip
        return message

    def close(self, conversation: str, operator: str) -> None:
        """End a conversation. Changes nothing if it is closed."""
        operator = self._desk.checked_id(operator, "the name of the operator")
        with self._desk.writing() as (transaction, now):
            row = self._desk.find(transaction, conversation)
            if row["state"] == HUMAN and row["operator"] != operator:
                raise _taken()
            if row["state"] != CLOSED:
                close(transaction, row, Entry(now, "operator", "closed", row["id"], operator))

    def _suggested(self, transaction: Transaction, conversation: Row, suggestion: Reply) -> str:
        limit = self._desk.limits.reply_characters
        text = checked_text(suggestion.text, limit, "the suggestion")
        return self._desk.masked(transaction, conversation, text, None, only_known=True)

    def _own(self, transaction: Transaction, conversation: str, operator: str) -> Row:
        row = self._desk.find(transaction, conversation)
        check_open(row)
        if row["state"] != HUMAN:
            raise Conflict("this conversation is not yours, or not any more; claim it first")
        if row["operator"] != operator:
            raise _taken()
        return row

    def _keep(self, transaction: Transaction, conversation: Row, now: float) -> None:
        transaction.execute(
            "UPDATE conversations SET claimed_until = ? WHERE id = ?",
            now + self._desk.limits.claim_minutes * 60, conversation["id"],
        )  # fmt: skip


def _taken() -> Conflict:
    return Conflict("another operator talks to this customer; choose another conversation")
