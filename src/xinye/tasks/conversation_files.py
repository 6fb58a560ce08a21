"""The conversations of a file, in which one is a row, or many rows with a message each, or lines of
those who speak, or stands in a dictionary of all."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, Self

from xinye.data.columns import find_column
from xinye.data.files import PLAIN_SUFFIXES, suffix_of
from xinye.data.notes import Notes, place_of
from xinye.data.records import Records, Row
from xinye.data.sources import headerless, read_lines, read_records
from xinye.data.tables import is_table
from xinye.errors import XinyeError
from xinye.tasks.chat_columns import CONTENT_NAMES, LISTS, PAIRS, ROLE_NAMES, by_words
from xinye.tasks.conversations import Reader
from xinye.tasks.message_times import DAYS, comparable
from xinye.tasks.records import OnBad, each_record, note_unread, refuse_line
from xinye.tasks.roles import (
    Speech,
    answered,
    begins_with_speaker,
    joined,
    perhaps_speakers,
    speeches,
    unknown,
    who_are,
)
from xinye.tasks.timed_logs import begins_with_time, timed_speeches
from xinye.tasks.writing_records import UNNAMED, Named, Record

IDS = (  # of the conversation that a message belongs to
    "conversation_id", "conversationid", "conv_id", "convid", "conversation", "dialogue_id",
    "dialog_id", "dialogueid", "dialogid", "dialogue", "dialog", "session_id", "sessionid",
    "session", "chat_id", "chatid", "thread_id", "thread", "ticket_id", "ticket", "case_id",
    "call_id", "message_tree_id", "room_name", "strtalker", "talkerid", "会话id", "会话编号",
    "会话", "对话id", "对话编号", "对话", "工单号", "工单编号", "工单", "id", "编号",
)  # fmt: skip
TIMES = (
    "time", "timestamp", "created_at", "create_time", "createtime", "sent_at", "ts", "datetime",
    "strtime", "turn", "turn_id", "turn_index", "message_index", "index", "order", "seq", "时间",
    "发送时间", "创建时间", "序号", "轮次", *DAYS,
)  # fmt: skip
SENT = ("is_sender", "issender")  # of WeChat: 1 where the owner of the account speaks
SENDERS = {"0": "user", "1": "assistant"}
PUBLIC = ("public",)  # false of what a customer does not see
MESSAGE_KINDS = ("type_name", "msg_type", "message_type", "type", "消息类型")
NO_TEXTS = (
    "image", "picture", "voice", "audio", "video", "file", "sticker", "location", "system", "图片",
    "语音", "视频", "文件", "表情", "动画表情", "位置", "系统消息", "系统通知",
)  # fmt: skip
PARENTS = ("parent_id", "parent_message_id", "parent")
NUMBERED = Named("1", "2")  # the columns of a table without a header
NO_HEADER = "no word in it names a question or an answer"


def read_conversations(path: Path, on_bad: OnBad, named: Named, notes: Notes) -> Iterator[Record]:
    """The conversations of a file. What cannot be one is given to `on_bad`, with file and line; in
    `notes` stands what was left out or read differently."""
    if suffix_of(path) in PLAIN_SUFFIXES and not _is_tabbed(path):
        yield from spoken(path, on_bad, named, notes)
        return
    rows = read_records(path, refuse_line(on_bad), _columns(path, named), tabbed=True, notes=notes)
    first = next(rows, None)
    if first is None:
        return
    rows = chain([first], rows)
    if not named.columns and _is_numbered(first[1]):
        what = "no header: the first column is read as the question, the second as the answer"
        notes.add(str(path), what)
        named = NUMBERED
    if columns := MessageColumns.of(first, path, named):
        yield from collected((path, rows), columns, named, on_bad, notes)
        return

    def conversation(row: Any, place: str) -> Record | None:
        found = Reader(place, notes, named).read(row)
        return Record(tuple(found[0]), place, found[1]) if found else None

    yield from each_record(placed(path, rows), conversation, on_bad)


def placed(path: Path, rows: Records) -> Iterator[tuple[str, Any]]:
    """Each row with its place; of a dictionary of conversations, such as CrossWOZ's, each."""
    for line, row in rows:
        place = place_of(path, line)
        each = row.values() if isinstance(row, dict) else []
        if each and all(isinstance(one, dict) and find_column(one, LISTS) for one in each):
            for name, conversation in row.items():
                yield f"{place}, {name!r}", conversation
        else:
            yield place, row


# -- tables without a header -----------------------------------------------------------------------


def without_header(path: Path, named: Named) -> str:
    """Why the first line of a table is a record; "" where it is its header, or there is no table.
    Of two columns neither of which has a usual name, the first is the question."""
    if suffix_of(path) in PLAIN_SUFFIXES and not _is_tabbed(path):
        return ""
    reason = headerless(path, named.columns, tabbed=True)
    if reason or named.columns or not is_table(path, tabbed=True):
        return reason
    _, row = next(read_records(path, lambda *_: None, tabbed=True), (0, {}))
    names = (*(name for pair in PAIRS for some in pair for name in some), *LISTS, *ROLE_NAMES)
    if len(row) != 2 or find_column(row, (*names, *CONTENT_NAMES, "chosen")) or all(by_words(row)):
        return ""
    return NO_HEADER


def _columns(path: Path, named: Named) -> list[str]:
    """The columns that are named, or the two of a table without a header, by number."""
    unnamed = without_header(path, named) == NO_HEADER
    return NUMBERED.columns if unnamed else named.columns


def _is_numbered(row: Any) -> bool:
    """Whether a row is one of two columns of a table without a header."""
    cells = row.values() if isinstance(row, dict) and [*row] == NUMBERED.columns else []
    return bool(cells) and all(isinstance(cell, str) for cell in cells)


def _is_tabbed(path: Path) -> bool:
    """Whether a text is a table: its first line has a tab, and nobody speaks in it."""
    first = _first_line(path)
    return "\t" in first and not begins_with_speaker(first)


def is_conversation(text: Path) -> bool:
    """Whether a text begins as a conversation does: with who speaks, or as a table."""
    try:
        first = _first_line(text)
    except XinyeError:  # it cannot be decoded
        return False
    return "\t" in first or begins_with_speaker(first) or begins_with_time(first)


def _first_line(path: Path) -> str:
    return _first_of(read_lines(path))


def _first_of(lines: Iterable[tuple[int, str]]) -> str:
    """The first line that is not empty."""
    return next((line for _, line in lines if line.strip()), "")


# -- a message in each row -------------------------------------------------------------------------


@dataclass(frozen=True)
class MessageColumns:
    """The columns of a table of messages; `time`, the `day` of a time,
    and `parent` may be missing."""

    conversation: str
    role: str
    content: str
    time: str | None
    day: str | None
    parent: str | None

    @classmethod
    def of(cls, first: tuple[int, Any], path: Path, named: Named) -> Self | None:
        """Those of a file, from its first row; None where that is no message."""
        line, row = first
        if not isinstance(row, dict) or named.columns:
            return None
        role = find_column(row, ROLE_NAMES)
        content = find_column((name for name in row if name != role), CONTENT_NAMES)
        lists = any(isinstance(value, list) for value in row.values())
        paired = any(all(UNNAMED.find(row, *names)) for names in PAIRS)
        if role is None or content is None or lists or paired:
            return None
        others = [name for name in row if name not in (role, content)]
        conversation = find_column(others, IDS)
        if conversation is None:
            raise XinyeError(
                f"{place_of(path, line)}: each row is a message, but no column says of which "
                "conversation. Add one, such as conversation_id or 会话"
            )
        others.remove(conversation)
        time = find_column(others, TIMES)
        day = find_column((name for name in others if name != time), DAYS)
        return cls(conversation, role, content, time, day, find_column(others, PARENTS))

    @property
    def format(self) -> str:
        if self.time:
            return f"each row a message, grouped by {self.conversation!r}, sorted by {self.time!r}"
        return f"each row a message, grouped by {self.conversation!r}"


@dataclass
class _Conversation:
    """The messages of one conversation as they come, with their times and what they answer."""

    place: str
    id: str
    messages: list[Row] = field(default_factory=list)
    times: list[str] = field(default_factory=list)
    days: list[str] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)


def collected(
    file: tuple[Path, Records],
    columns: MessageColumns,
    named: Named,
    on_bad: OnBad,
    notes: Notes,
) -> Iterator[Record]:
    """The conversations whose messages stand in rows of their own, one among the other."""
    path, rows = file
    found: dict[str, _Conversation] = {}
    for line, row in rows:
        place = place_of(path, line)
        lacks = [
            name
            for name in (columns.conversation, columns.role, columns.content)
            if not isinstance(row, dict) or row.get(name) in (None, "")
        ]
        if lacks:
            on_bad(XinyeError(f"{place}, field {lacks[0]!r}: the field is empty"))
            continue
        name = str(row[columns.conversation])
        whole = re.sub(r"^(\d+)\.0$", r"\1", name)  # as pandas writes the numbers of a gappy column
        conversation = found.setdefault(whole, _Conversation(place, name))
        if conversation.id != name:
            what = f"the {columns.conversation!r} {name!r} is read as {conversation.id!r}"
            notes.add(place, what)
        if left_out := unseen(row, columns.role):
            notes.add(place, left_out)
            continue
        role = str(row[columns.role]).strip()
        if columns.role.lower() in SENT:
            notes.add(place, f"the {columns.role!r} {role} is read as {SENDERS.get(role, role)!r}")
            role = SENDERS.get(role, role)
        message = {"role": role, "content": row[columns.content]}
        conversation.messages.append(message)
        conversation.times.append(_cell(row, columns.time))
        conversation.days.append(_cell(row, columns.day))
        if columns.parent and row.get(columns.parent):
            conversation.parents.append(str(row[columns.parent]))
        used = (*astuple(columns), find_column(row, PUBLIC), find_column(row, MESSAGE_KINDS))
        note_unread(row, [name for name in used if name], place, notes)
    if len(found) > 1 and all(len(each.messages) == 1 for each in found.values()):
        raise XinyeError(
            f"{path}: each row is a message, but {columns.conversation!r} differs in every row, so "
            "no messages belong together. Call the column of the conversation conversation_id"
        )
    _sort([*found.values()], columns, path, notes)
    said_by = [message["role"] for each in found.values() for message in each.messages]
    strangers = unknown(said_by, named.assistants)
    for conversation in found.values():
        try:
            if any(message["role"] in strangers for message in conversation.messages):
                raise XinyeError(f"{conversation.place}: {who_are(strangers)}")
            yield _together(conversation, columns, named, notes)
        except XinyeError as error:
            on_bad(error)


def unseen(row: Row, role: str) -> str:
    """Why a row of a log is no message of the conversation: an internal note, a picture or a
    system's message; "" where it is one."""
    public = find_column(row, PUBLIC)
    if public and str(row[public]).lower() == "false":
        return f"messages with {public!r} false, which the customer does not see, are left out"
    kind = find_column(row, MESSAGE_KINDS)
    value = str(row[kind]).strip().lower() if kind else ""
    numbered = role.lower() in SENT and value.isdecimal() and value != "1"  # WeChat's 1 is a text
    if kind and (numbered or value in NO_TEXTS):
        return f"messages with {kind!r} {value!r}, which are not text, are left out"
    return ""


def _cell(row: Row, column: str | None) -> str:
    return str(row.get(column)).strip() if column else ""


def _sort(
    conversations: Sequence[_Conversation], columns: MessageColumns, path: Path, notes: Notes
) -> None:
    """Put the messages of each conversation in the order of their times, where these can be
    compared."""
    if columns.time is None:
        return
    texts = [text for conversation in conversations for text in conversation.times]
    days = [day for conversation in conversations for day in conversation.days]
    times = comparable(texts, days)
    if isinstance(times, str):
        notes.add(
            str(path),
            f"the messages stay in the order of the file: {columns.time!r} is {times[:40]!r}, but "
            "all times must be written in one way, as a date (year first), a date and a time, or a "
            "whole number",
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


# -- lines of those who speak ----------------------------------------------------------------------


def spoken(path: Path, on_bad: OnBad, named: Named, notes: Notes) -> Iterator[Record]:
    """The conversations of a text in which each line begins with who speaks."""
    lines = list(read_lines(path))
    if not begins_with_speaker(_first_of(lines)):
        log = timed_speeches(lines, str(path), notes)
        if log:
            yield _logged(log, path, named, notes)
            return
    said = speeches(lines, str(path), notes, named.assistants)
    conversations = answered(said, str(path), notes)
    strangers = perhaps_speakers(line for each in conversations for line in _more_lines(each))
    for conversation in conversations:
        place = place_of(path, conversation[0].line)
        rows = [speech.message for speech in conversation]
        here = perhaps_speakers(_more_lines(conversation))
        try:
            messages = Reader(place, notes, named).messages(rows, place)
            one_sided = not {"user", "assistant"} <= {message["role"] for message in messages}
            who = {name: strangers[name] for name in here if one_sided or strangers[name] > 1}
            if who:
                raise XinyeError(
                    f"{place}: {who_are(Counter(who))}. Indent a line that continues a message"
                )
        except XinyeError as error:
            on_bad(error)
        else:
            yield Record(tuple(joined(messages, place, notes)), place, "lines of speakers")


def _logged(log: list[Speech], path: Path, named: Named, notes: Notes) -> Record:
    """The one conversation of a log with times."""
    place = place_of(path, log[0].line)
    strangers = unknown((speech.word for speech in log), named.assistants)
    if strangers:
        raise XinyeError(f"{place}: {who_are(strangers)}")
    messages = Reader(place, notes, named).messages([speech.message for speech in log], place)
    return Record(tuple(joined(messages, place, notes)), place, "a log of times and speakers")


def _more_lines(conversation: list[Speech]) -> Iterator[str]:
    """The lines that go on with a message."""
    return (line for speech in conversation for line in speech.lines[1:])
