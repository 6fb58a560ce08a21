"""Feedback: thumbs and corrected texts, which become training records when an operator approves
them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile, groupby
from operator import itemgetter
from sqlite3 import Row
from typing import Any

from xinye.apps.store import Transaction
from xinye.apps.support.asked import asks, choice
from xinye.apps.support.desk import Desk
from xinye.apps.support.groups import near_groups, plain
from xinye.apps.support.log import Entry
from xinye.apps.support.messages import Message, checked_text, find_message, messages_between
from xinye.apps.support.reply import HANDOVER, UNSURE
from xinye.errors import NotFound, TooMany, XinyeError

COMPARED = 500  # characters of a question that are compared
Turn = dict[str, Any]  # a message of a training record: role, content, perhaps weight


@dataclass(frozen=True)
class Feedback:
    """What a customer or an operator (`giver`) says about an answer. `turns` are the messages that
    it answers, the customer's question last; none if there was no question. `chosen` is the right
    answer, or "" if nobody has written it, and `rejected` a worse one, or "": the answer that was
    sent, or else the suggestion of the bot that an operator has changed.

    Compared with the others of a list: `first` is the number of the first one with nearly the same
    question, and `differ` is true if these have different right answers. `approved` has the other
    answers to the question that were approved."""

    number: int
    at: float
    conversation: str
    message: int
    giver: str
    good: bool
    state: str  # "open", "approved" or "declined"
    turns: tuple[Turn, ...]
    answer: str
    chosen: str
    rejected: str
    first: int = 0
    differ: bool = False
    approved: tuple[str, ...] = ()

    @property
    def question(self) -> str:
        """The customer's last message before the answer."""
        return str(self.turns[-1]["content"]) if self.turns else ""

    def chat(self) -> dict[str, Any]:
        """The record for `finetune chat`. Only its last answer is trained: nobody has approved the
        ones before."""
        before = [
            turn | {"weight": 0} if turn["role"] == "assistant" else turn for turn in self.turns
        ]
        return {"messages": [*before, {"role": "assistant", "content": self.chosen}]}

    def preference(self) -> dict[str, Any] | None:
        """The record for preference tuning; None if no worse answer is known."""
        if not self.rejected:
            return None
        answers = {"chosen": self.chosen, "rejected": self.rejected}
        return {"prompt": [*self.turns]} | {
            name: [{"role": "assistant", "content": text}] for name, text in answers.items()
        }


class Feedbacks:
    """Giving feedback, approving it, and the training records of it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def by_customer(
        self, conversation: str, token: str, message: int, good: bool, text: str = ""
    ) -> int:
        """A customer's thumb for an answer, and perhaps the right text. Replaces the customer's
        earlier one. Returns the number of the feedback.

        Raises `NotFound` for a conversation or message that the customer does not have, and
        `TooMany` if a thumb is turned again and again."""
        text = self._checked(text)
        with self._desk.store.reading() as transaction:
            self._desk.find_own(transaction, conversation, token)
        tagger = self._desk.tagged(text)
        with self._desk.writing() as (transaction, now):
            row = self._desk.find_own(transaction, conversation, token)
            _check_count(transaction, conversation, self._desk.limits.messages)
            masked = self._desk.masked(transaction, row, text, tagger)
            entry = Entry(
                now, "customer", "feedback", row["id"], message=message, kind=_thumb(good)
            )
            return give(transaction, entry, masked)

    def by_operator(
        self, conversation: str, operator: str, message: int, good: bool, text: str = ""
    ) -> int:
        """As `by_customer`, from an operator, who may correct any answer."""
        operator = self._desk.checked_id(operator, "the name of the operator")
        text = self._checked(text)
        tagger = self._desk.tagged(text)
        with self._desk.writing() as (transaction, now):
            row = self._desk.find(transaction, conversation)
            masked = self._desk.masked(transaction, row, text, tagger, only_known=True)
            entry = Entry(
                now, "operator", "feedback", row["id"], operator, message=message, kind=_thumb(good)
            )
            return give(transaction, entry, masked)

    def waiting(self, after: int = 0) -> list[Feedback]:
        """Feedback with numbers above `after` that nobody has decided on, at most `Limits.page`,
        compared with as many that were approved last."""
        with self._desk.store.reading() as transaction:
            rows = transaction.select(
                "SELECT * FROM feedback WHERE state = 'open' AND number > ? "
                "ORDER BY number LIMIT ?",
                after, self._desk.limits.page,
            )  # fmt: skip
            found = [self._read(transaction, row) for row in rows]
            approved = self._approved(transaction, self._desk.limits.page) if found else []
        return _compared(found, approved)

    def approve(self, number: int, operator: str, text: str = "") -> Feedback:
        """Make feedback a training record. `text` is the right answer, if the operator writes
        another one. Look at `approved` of what is returned: of several answers to a question,
        `improve` takes the one that was approved last. Raises `XinyeError` if there is no right
        answer or no question."""
        operator = self._desk.checked_id(operator, "the name of the operator")
        text = self._checked(text)
        tagger = self._desk.tagged(text)
        with self._desk.writing() as (transaction, now):
            row = _find(transaction, number)
            conversation = self._desk.find(transaction, row["conversation"])
            masked = self._desk.masked(transaction, conversation, text, tagger, only_known=True)
            transaction.execute(
                "UPDATE feedback SET text = ? WHERE number = ?", masked or row["text"], number
            )
            entry = Entry(now, "operator", "approved", row["conversation"], operator)
            _decide(transaction, row, entry)
            feedback = self._read(transaction, _find(transaction, number))
            if not feedback.chosen:
                raise XinyeError(f"feedback {number}: write the right answer, then approve it")
            if not feedback.turns:
                raise XinyeError(f"feedback {number}: there is no question before this answer")
        with self._desk.store.reading() as transaction:
            approved = self._approved(transaction, self._desk.limits.page)
        return _compared([feedback], approved)[0]

    def decline(self, number: int, operator: str) -> None:
        """Make no training record of feedback."""
        operator = self._desk.checked_id(operator, "the name of the operator")
        with self._desk.writing() as (transaction, now):
            row = _find(transaction, number)
            entry = Entry(now, "operator", "declined", row["conversation"], operator)
            _decide(transaction, row, entry)

    def records(self) -> list[Feedback]:
        """The approved feedback, what was approved last at the end. The same answer from two givers
        counts once."""
        with self._desk.store.reading() as transaction:
            approved = self._approved(transaction, -1)
        last: dict[tuple[str, int, str], Feedback] = {}
        for each in approved:
            last.setdefault((each.conversation, each.message, each.chosen), each)
        return [*reversed(last.values())]

    def _checked(self, text: str) -> str:
        limit = self._desk.limits.reply_characters
        return checked_text(text, limit, "the corrected answer") if text.strip() else ""

    def _approved(self, transaction: Transaction, limit: int) -> list[Feedback]:
        """The feedback that was approved last, the latest first; all of it with the limit -1."""
        rows = transaction.select(
            "SELECT * FROM feedback WHERE state = 'approved' ORDER BY decision DESC LIMIT ?", limit
        )
        return [self._read(transaction, row) for row in rows]

    def _read(self, transaction: Transaction, row: Row) -> Feedback:
        number, limit = row["message"], self._desk.limits.turns
        *before, answer = messages_between(
            transaction, row["conversation"], number - 1 - limit, number
        )
        before = [each for at, each in enumerate(before) if _counts(before, at)] or before
        roles = ("user" if each.sender == "customer" else "assistant" for each in before)
        turns = _turns([*zip(roles, (each.text for each in before), strict=True)])
        chosen = row["text"] or (answer.text if row["good"] else "")
        worse = answer.suggestion if answer.suggestion and not row["text"] else answer.text
        return Feedback(
            number=row["number"], at=row["at"], conversation=row["conversation"], message=number,
            giver=row["giver"], good=bool(row["good"]), state=row["state"], turns=turns,
            answer=answer.text, chosen=chosen,
            rejected=worse if chosen and worse != chosen else "",
        )  # fmt: skip


def give(transaction: Transaction, entry: Entry, text: str) -> int:
    """Write feedback of which `entry` says who gives it, to which message, and "up" or "down".
    Returns its number. Feedback that is sent again changes nothing; else it waits for approval
    again."""
    conversation, number = entry.conversation, entry.message or 0
    answer = find_message(transaction, conversation, number)
    if answer is None:
        raise NotFound("there is no such message")
    if answer.sender == "customer":
        raise XinyeError(f"message {number} is the customer's; give feedback to an answer")
    values = (entry.at, conversation, number, entry.who, entry.kind == "up", text)
    changed = transaction.execute(
        "INSERT INTO feedback (at, conversation, message, giver, good, text) "
        "VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET at = excluded.at, "
        "good = excluded.good, text = excluded.text, state = 'open' "
        "WHERE good <> excluded.good OR text <> excluded.text",
        *values,
    )
    if changed:
        entry.write(transaction)
    return int(
        transaction.select(
            "SELECT number FROM feedback WHERE conversation = ? AND message = ? AND giver = ?",
            conversation, number, entry.who,
        )[0]["number"]
    )  # fmt: skip


def _check_count(transaction: Transaction, conversation: str, limit: int) -> None:
    (row,) = transaction.select(
        "SELECT count(*) FROM log WHERE conversation = ? AND what = 'feedback'", conversation
    )
    if row[0] >= limit:
        raise TooMany(f"this conversation has had {limit:,} thumbs; no more are counted")


def _turns(messages: list[tuple[str, str]]) -> tuple[Turn, ...]:
    """The messages before an answer as a record has them: the first and the last are the
    customer's, and several of one speaker are one."""
    said = list(dropwhile(lambda each: each[0] != "user", messages))
    while said and said[-1][0] != "user":
        said.pop()
    return tuple(
        {"role": role, "content": "\n".join(text for _, text in of_one)}
        for role, of_one in groupby(said, itemgetter(0))
    )


def _counts(turns: Sequence[Message], at: int) -> bool:
    """False for what only leads to a person or an answer: "转人工", what the bot says then, small
    talk, and the number of one of its questions."""
    if turns[at].sender == "customer":
        return asks(turns, at) and not choice(turns, at)
    return turns[at].kind not in ("template", UNSURE, HANDOVER)


def _thumb(good: bool) -> str:
    return "up" if good else "down"


def _find(transaction: Transaction, number: int) -> Row:
    row = transaction.select_one("SELECT * FROM feedback WHERE number = ?", number)
    if row is None:
        raise NotFound(f"feedback {number} does not exist")
    return row


def _decide(transaction: Transaction, row: Row, entry: Entry) -> None:
    """Write a decision on feedback: what the entry says was done."""
    log = replace(entry, message=row["message"], kind=_thumb(row["good"])).write(transaction)
    transaction.execute(
        "UPDATE feedback SET state = ?, decision = ? WHERE number = ?",
        entry.what, log, row["number"],
    )  # fmt: skip


def _compared(found: Sequence[Feedback], approved: Sequence[Feedback]) -> list[Feedback]:
    """Feedback, compared with each other and with what was approved. It takes its time, so do this
    after a transaction."""
    both = [*found, *approved]
    near = near_groups([each.question[:COMPARED] for each in both])
    # What has no question is like no other.
    groups = [
        group if each.question else -each.number for group, each in zip(near, both, strict=True)
    ]
    answers = [plain(each.chosen) for each in both]
    firsts: dict[int, int] = {}
    open_answers: dict[int, set[str]] = defaultdict(set)
    approved_answers: dict[int, dict[str, str]] = defaultdict(dict)
    for group, answer, each in zip(groups, answers, both, strict=True):
        firsts.setdefault(group, each.number)
        if each.state == "approved":
            approved_answers[group].setdefault(answer, each.chosen)
        elif answer:
            open_answers[group].add(answer)
    compared = []
    for group, answer, each in zip(groups, answers, found, strict=False):
        known = approved_answers[group].items()
        others = tuple(text for other, text in known if other != answer)
        differ = len(open_answers[group]) > 1
        compared.append(replace(each, first=firsts[group], differ=differ, approved=others))
    return compared
