"""Reads conversations from tables or JSON in which each row is one message: groups rows by a column
that names the conversation, and sorts them by time.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Self

from xinye.data.columns import find_column
from xinye.data.notes import Notes, place_of
from xinye.data.records import Records, Row
from xinye.errors import XinyeError
from xinye.tasks.chat_columns import (
    CONTENT_NAMES,
    PAIRS,
    PARENTS,
    ROLE_NAMES,
    TIMES,
    id_column,
    rivals,
)
from xinye.tasks.conversations import Reader
from xinye.tasks.message_times import DAYS, comparable
from xinye.tasks.records import OnBad, note_unread
from xinye.tasks.roles import joined, unknown, who_are
from xinye.tasks.unsaid import (
    DIRECTIONS,
    MESSAGE_KINDS,
    PUBLIC,
    SENDERS,
    SENT,
    only_said,
    unseen,
)
from xinye.tasks.writing_records import UNNAMED, Named, Record


@dataclass(frozen=True)
class MessageColumns:
    """The columns of a table of messages. `time`, `day` (the date of a clock time) and `parent` may
    be None.
    """

    conversation: str
    role: str
    content: str
    time: str | None
    day: str | None
    parent: str | None

    @classmethod
    def of(cls, first: tuple[int, Any], path: Path, named: Named) -> Self | None:
        """The columns of a file, from its first row, or None if that is not a message. Raises
        `XinyeError` if no column names the conversation.
        """
        line, row = first
        if not isinstance(row, dict) or named.columns:
            return None
        role = find_column(row, ROLE_NAMES) or _direction(row)
        content = find_column((name for name in row if name != role), CONTENT_NAMES)
        lists = any(isinstance(value, list) for value in row.values())
        found = [UNNAMED.find(row, *names) for names in PAIRS]
        pairs = [(one, other) for one, other in found if one and other]
        paired = any(not rivals(row, pair) for pair in pairs)
        if role is None or content is None or lists or paired:
            return None
        others = [name for name in row if name not in (role, content)]
        conversation = id_column(others)
        if conversation is None:
            raise XinyeError(
                f"{place_of(path, line)}: each row is a message, but no column says of which "
                "conversation. Add one, such as conversation_id or 会话, or rename the column that "
                f"does: {', '.join(map(str, others[:6]))}"
            )
        others.remove(conversation)
        time = find_column(others, TIMES)
        day = find_column((name for name in others if name != time), DAYS)
        return cls(conversation, role, content, time, day, find_column(others, PARENTS))

    @property
    def format(self) -> str:
        """A description of the format for messages."""
        if self.time:
            return f"each row a message, grouped by {self.conversation!r}, sorted by {self.time!r}"
        return f"each row a message, grouped by {self.conversation!r}"


def _direction(row: Row) -> str | None:
    """The column that says whether a message came in or went out, or None."""
    name = find_column(row, DIRECTIONS)
    return name if name and str(row[name]).strip().lower() in SENDERS else None


@dataclass
class _Conversation:
    """The messages of one conversation in the order of the file, with their times and parents."""

    place: str
    id: str
    messages: list[Row] = field(default_factory=list)
    times: list[str] = field(default_factory=list)
    days: list[str] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)
    # a bad message, without which the others would mean something else
    problem: XinyeError | None = None

    def add(self, row: Row, place: str, columns: MessageColumns, notes: Notes) -> None:
        """Add the message of a row."""
        message = _message(row, columns, place, notes)
        if message is None:
            return
        self.messages.append(message)
        self.times.append(_cell(row, columns.time))
        self.days.append(_cell(row, columns.day))
        if columns.parent and row.get(columns.parent):
            self.parents.append(str(row[columns.parent]))
        used = (*astuple(columns), find_column(row, PUBLIC), find_column(row, MESSAGE_KINDS))
        note_unread(row, [name for name in used if name], place, notes)


def collected(
    file: tuple[Path, Records, list[XinyeError]],
    columns: MessageColumns,
    named: Named,
    on_bad: OnBad,
    notes: Notes,
) -> Iterator[Record]:
    """The conversations of a table in which each row is a message.

    `file` is the path, its rows, and a list of errors: before each row it holds the errors of the
    unreadable rows just before.
    """
    path = file[0]
    found = _by_conversation(file, columns, notes)
    if len(found) > 1 and all(len(each.messages) == 1 for each in found):
        raise XinyeError(
            f"{path}: each row is a message, but {columns.conversation!r} differs in every "
            "row, so no messages belong together. Rename the column that identifies the "
            "conversation to conversation_id"
        )
    for conversation in found:
        if conversation.problem:
            on_bad(conversation.problem)
    found = [each for each in found if each.messages and not each.problem]
    _sort(found, columns, path, notes)
    said_by = [message["role"] for each in found for message in each.messages]
    strangers = unknown(said_by, named.assistants)
    for conversation in found:
        try:
            if any(message["role"] in strangers for message in conversation.messages):
                raise XinyeError(f"{conversation.place}: {who_are(strangers)}")
            yield _together(conversation, columns, named, notes)
        except XinyeError as error:
            on_bad(error)


def _by_conversation(
    file: tuple[Path, Records, list[XinyeError]], columns: MessageColumns, notes: Notes
) -> list[_Conversation]:
    """The messages of each conversation. A bad row makes its conversation bad. If a bad row does
    not name its conversation, those of the rows before and after it are bad.
    """
    path, rows, bad = file
    found: dict[str, _Conversation] = {}
    last = nameless = _Conversation(str(path), "")
    for line, row in rows:
        place = place_of(path, line)
        left_out = unseen(row, columns.role) if isinstance(row, dict) else ""
        lacks = _lacking(row, columns)
        if lacks:
            error = XinyeError(f"{place}, field {lacks[0]!r}: the field is empty")
        if columns.conversation in lacks:
            bad.append(error)
            continue
        name = str(row[columns.conversation])
        # pandas writes numbers this way if some are missing
        whole = re.sub(r"^(\d+)\.0$", r"\1", name)
        conversation = found.setdefault(whole, _Conversation(place, name))
        if bad:
            last.problem = last.problem or bad[0]
            conversation.problem = conversation.problem or bad[0]
            bad.clear()
        last = conversation
        if conversation.id != name:
            what = f"the value {name!r} of {columns.conversation!r} is read as {conversation.id!r}"
            notes.add(place, what)
        if left_out:
            notes.add(place, left_out)
        elif lacks:
            conversation.problem = conversation.problem or error
        else:
            conversation.add(row, place, columns, notes)
    if bad:
        last.problem = last.problem or bad[0]
    return [*found.values()] or [nameless]


def _lacking(row: Any, columns: MessageColumns) -> list[str]:
    """The needed columns that are empty in a row."""
    needed = (columns.conversation, columns.role, columns.content)
    return [name for name in needed if not isinstance(row, dict) or row.get(name) in (None, "")]


def _message(row: Row, columns: MessageColumns, place: str, notes: Notes) -> Row | None:
    """The message in a row of a log, or None if it has no text."""
    role = str(row[columns.role]).strip()
    if columns.role.strip().lower() in (*SENT, *DIRECTIONS):
        meant = SENDERS.get(role.lower(), role)
        notes.add(place, f"the value {role} of {columns.role!r} is read as {meant!r}")
        role = meant
    content = row[columns.content]
    if isinstance(content, str):
        content = only_said(content, place, notes, role)
    return {"role": role, "content": content} if content else None


def _cell(row: Row, column: str | None) -> str:
    return str(row.get(column)).strip() if column else ""


def _sort(
    conversations: Sequence[_Conversation], columns: MessageColumns, path: Path, notes: Notes
) -> None:
    """Sort the messages of each conversation by time, if the times can be compared."""
    if columns.time is None:
        return
    texts = [text for conversation in conversations for text in conversation.times]
    days = [day for conversation in conversations for day in conversation.days]
    times = comparable(texts, days)
    if isinstance(times, str):
        notes.add(
            str(path),
            f"the messages stay in the order of the file: {columns.time!r} is "
            f"{times[:40]!r}, but all times must have the same format: a date (year "
            "first), a date and a time, or a whole number",
        )
        return
    rest = iter(times)
    for conversation in conversations:
        own = list(islice(rest, len(conversation.messages)))
        order = sorted(range(len(own)), key=own.__getitem__)
        if order != list(range(len(own))):
            notes.add(conversation.place, f"the messages are sorted by {columns.time!r}")
            conversation.messages = [conversation.messages[number] for number in order]


def _together(
    conversation: _Conversation, columns: MessageColumns, named: Named, notes: Notes
) -> Record:
    place = conversation.place
    if len(set(conversation.parents)) < len(conversation.parents):
        raise XinyeError(
            f"{place}, field {columns.parent!r}: several messages answer the same one. Write "
            "each path of the tree as a conversation"
        )
    messages = Reader(place, notes, named).messages(conversation.messages, place)
    return Record(tuple(joined(messages, place, notes)), place, columns.format)
