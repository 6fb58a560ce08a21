"""What customers can do, each with the token of the conversation."""

import secrets
from dataclasses import dataclass

from xinye.apps.store import Transaction
from xinye.apps.support.desk import Desk, token_hash
from xinye.apps.support.log import ASKED, Entry
from xinye.apps.support.messages import Message, checked_text, page
from xinye.apps.support.states import (
    BOT,
    CLOSED,
    WAITING,
    Conversation,
    check_open,
    close,
    close_idle,
    move,
)
from xinye.errors import TooMany


@dataclass(frozen=True)
class Begun:
    """A new conversation, and the token that its customer shows from now on. It is not stored."""

    conversation: str
    token: str


class Customers:
    """What customers can do. Raises `NotFound` for a conversation that does not exist, or that the
    token does not belong to."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def begin(self, account: str = "") -> Begun:
        """Begin a conversation. `account` is that of a customer who has one. Raises `TooMany` if
        too many are open."""
        limits = self._desk.limits
        hashed = self._desk.account_hash(account) if account else None
        begun = Begun(secrets.token_urlsafe(16), secrets.token_urlsafe(32))
        with self._desk.writing() as (transaction, now):
            if _open(transaction, None) >= limits.open_conversations:
                close_idle(transaction, now, limits)
            _check_open(transaction, None, limits.open_conversations)
            if hashed:
                _check_open(transaction, hashed, limits.open_per_account)
            transaction.insert(
                "conversations", id=begun.conversation, token=token_hash(begun.token), user=hashed,
                state=BOT, begun=now, changed=now,
            )  # fmt: skip
            Entry(now, "customer", "begun", begun.conversation).write(transaction)
        return begun

    def state(self, conversation: str, token: str) -> Conversation:
        """The conversation as it is now."""
        with self._desk.store.reading() as transaction:
            row = self._desk.find_own(transaction, conversation, token)
            return Conversation.of(row, self._desk.clock())

    def messages(self, conversation: str, token: str, after: int = 0) -> list[Message]:
        """The messages with numbers above `after`, in order, at most `Limits.page`, without what is
        for operators only: scores, reasons and suggestions."""
        with self._desk.store.reading() as transaction:
            row = self._desk.find_own(transaction, conversation, token)
            messages = page(transaction, row, after, self._desk.limits.page)
        return [message.for_customer() for message in messages]

    def message(self, conversation: str, token: str, text: str, client: str = "") -> Message:
        """Send a message. In the state "bot" the bot has to answer it.

        A message with the same `client` id is written once; sent again, the first is returned.
        Raises `Conflict` if the conversation is closed, and `TooMany` if it is full."""
        limits = self._desk.limits
        text = checked_text(text, limits.message_characters, "the message")
        hashed = self._desk.client_hash(client)
        self.state(conversation, token)  # so that a stranger cannot make the tagger work
        tagger = self._desk.tagged(text)
        with self._desk.writing() as (transaction, now):
            row = self._desk.find_own(transaction, conversation, token)
            if known := self._desk.sent_before(transaction, row["id"], "customer", hashed):
                return known
            check_open(row)
            if row["messages"] >= limits.messages:
                raise TooMany(
                    f"this conversation has {limits.messages:,} messages; begin a new one"
                )
            masked = self._desk.masked(transaction, row, text, tagger)
            entry = Entry(now, "customer", "message", row["id"])
            message = self._desk.append(transaction, row, masked, entry, hashed)
            if row["state"] == BOT:
                transaction.insert("pending", conversation=row["id"], number=message.number)
            else:
                transaction.execute(
                    "UPDATE conversations SET waiting = coalesce(waiting, ?) WHERE id = ?",
                    now, row["id"],
                )  # fmt: skip
        return message

    def handover(self, conversation: str, token: str) -> Conversation:
        """Ask for a person. Changes nothing if one was asked for already."""
        with self._desk.writing() as (transaction, now):
            row = self._desk.find_own(transaction, conversation, token)
            check_open(row)
            if row["state"] == BOT:
                move(transaction, row, WAITING, now, waiting=now, reason=ASKED)
                Entry(now, "customer", "handover", row["id"], reason=ASKED).write(transaction)
        return self.state(conversation, token)

    def close(self, conversation: str, token: str) -> None:
        """End a conversation. Changes nothing if it is closed."""
        with self._desk.writing() as (transaction, now):
            row = self._desk.find_own(transaction, conversation, token)
            if row["state"] != CLOSED:
                close(transaction, row, Entry(now, "customer", "closed", row["id"]))


def _check_open(transaction: Transaction, account: str | None, limit: int) -> None:
    if _open(transaction, account) >= limit:
        raise TooMany(f"{limit:,} conversations are open already; close one, or wait")


def _open(transaction: Transaction, account: str | None) -> int:
    """How many conversations are open: of an account, given as its hash, or of all."""
    row = transaction.select_one(
        "SELECT count(*) FROM conversations WHERE state IN ('bot', 'waiting', 'human') "
        "AND (?1 IS NULL OR user = ?1)",
        account,
    )
    return int(row[0]) if row else 0
