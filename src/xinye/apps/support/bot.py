"""What the workers of the bot do: take a message that has to be answered, and answer it, once.

The message and the row in `pending` are one transaction, and so are the reply and the removal of
the row. A worker that is killed in between loses its claim after a while, and another one answers.
"""

import secrets
from dataclasses import dataclass

from xinye.apps.support.desk import Desk
from xinye.apps.support.log import LATE, Entry
from xinye.apps.support.messages import Message, checked_text, messages_between
from xinye.apps.support.reply import HANDOVER, Reply
from xinye.apps.support.states import BOT, WAITING, move

_NEXT = (
    "FROM pending JOIN messages USING (conversation, number) WHERE until <= ? AND number = "
    "(SELECT min(number) FROM pending AS own WHERE own.conversation = pending.conversation) "
    "ORDER BY at LIMIT 1"
)


@dataclass(frozen=True)
class Pending:
    """A message that a worker has claimed. `turns` are the last messages up to it."""

    conversation: str
    number: int
    claim: str
    turns: tuple[Message, ...]


class Bot:
    """What the workers of the bot can do."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def next(self) -> Pending | None:
        """Claim the oldest message that waits for an answer; None if there is none. The messages of
        a conversation are answered one after the other.

        After `Limits.answer_tries` claims without an answer, a person is asked instead."""
        with self._desk.store.reading() as transaction:  # so that idle workers lock nobody out
            if not transaction.select_one(f"SELECT 1 {_NEXT}", self._desk.clock()):
                return None
        limits = self._desk.limits
        with self._desk.writing() as (transaction, now):
            while row := transaction.select_one(f"SELECT pending.* {_NEXT}", now):
                identity, number = row["conversation"], row["number"]
                if row["tries"] < limits.answer_tries:
                    claim = secrets.token_hex(8)
                    transaction.execute(
                        "UPDATE pending SET claim = ?, until = ?, tries = tries + 1 "
                        "WHERE conversation = ? AND number = ?",
                        claim, now + limits.answer_seconds, identity, number,
                    )  # fmt: skip
                    first = number - limits.turns
                    turns = messages_between(transaction, identity, first, number)
                    return Pending(identity, number, claim, tuple(turns))
                conversation = self._desk.find(transaction, identity)
                move(transaction, conversation, WAITING, now, waiting=now, reason=LATE)
                Entry(now, "system", "handover", identity, reason=LATE).write(transaction)
        return None

    def reply(self, pending: Pending, reply: Reply) -> Message | None:
        """Answer a claimed message. A reply of the kind "handover" asks for a person; its text may
        be empty, and then no message is written.

        Returns None, and writes nothing, if the claim is no longer valid: a person has taken over,
        the conversation is closed or erased, or another worker has taken the message."""
        handover = reply.kind == HANDOVER
        text = reply.text
        if text or not handover:
            text = checked_text(text, self._desk.limits.reply_characters, "the reply")
        claimed = (pending.conversation, pending.number, pending.claim)
        with self._desk.writing() as (transaction, now):
            asked = transaction.select_one(
                "SELECT at FROM pending JOIN messages USING (conversation, number) "
                "WHERE conversation = ? AND number = ? AND claim = ?",
                *claimed,
            )
            if asked is None:
                return None
            transaction.execute(
                "DELETE FROM pending WHERE conversation = ? AND number = ? AND claim = ?", *claimed
            )
            row = self._desk.find(transaction, pending.conversation)
            assert row["state"] == BOT  # every other state deletes what is pending
            seconds = now - asked["at"]
            entry = Entry(now, "bot", "reply", row["id"], seconds=seconds).on(reply)
            if handover:
                move(transaction, row, WAITING, now, waiting=now, reason=entry.reason)
            if text:
                return self._desk.append(transaction, row, text, entry)
            entry.write(transaction)
        return None

    def give_back(self, pending: Pending) -> None:
        """Let another worker answer at once. The try counts."""
        with self._desk.writing() as (transaction, _):
            transaction.execute(
                "UPDATE pending SET claim = '', until = 0 "
                "WHERE conversation = ? AND number = ? AND claim = ?",
                pending.conversation, pending.number, pending.claim,
            )  # fmt: skip

    def free_claims(self) -> int:
        """End all claims, and return how many. Call it when the only server of this store starts:
        whoever has claimed something was killed, and customers need not wait until the claim
        ends."""
        with self._desk.writing() as (transaction, _):
            return transaction.execute("UPDATE pending SET claim = '', until = 0 WHERE until > 0")
