"""Finds the conversations in a file. A conversation can be one row, many rows with one message
each, lines that begin with a speaker, or a value in a dictionary of conversations.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from xinye.data.columns import find_column
from xinye.data.files import PLAIN_SUFFIXES, suffix_of
from xinye.data.notes import Notes, place_of
from xinye.data.records import Records
from xinye.data.sources import first_line, headerless, read_lines, read_records
from xinye.data.tables import is_table
from xinye.errors import XinyeError
from xinye.tasks.chat_columns import (
    LISTS,
    names_columns,
)
from xinye.tasks.conversations import Reader
from xinye.tasks.message_rows import MessageColumns, collected
from xinye.tasks.records import OnBad, each_record, refuse_line
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
from xinye.tasks.unsaid import (
    only_said,
)
from xinye.tasks.writing_records import Named, Record

NUMBERED = Named("1", "2")  # the columns of a table without a header
HEAD_ROWS = 100  # rows that are read to see whether the first column holds ids
_ID = re.compile(r"[A-Za-z_#-]{0,12}\d[\dA-Za-z_.#-]{0,40}")  # 17, T-17, or hexadecimal digits
NO_HEADER = "no word in it names a question or an answer"


def read_conversations(path: Path, on_bad: OnBad, named: Named, notes: Notes) -> Iterator[Record]:
    """The conversations of a file. What cannot be read is passed to `on_bad` as an error with file
    and line. `notes` report what was left out or read differently.
    """
    if suffix_of(path) in PLAIN_SUFFIXES and not _is_tabbed(path):
        yield from spoken(path, on_bad, named, notes)
        return
    bad: list[XinyeError] = []  # the errors of the rows just before
    named_columns = _columns(path, named)
    rows = read_records(path, refuse_line(bad.append), named_columns, tabbed=True, notes=notes)
    first = next(rows, None)
    if first is None:
        _report_all(bad, on_bad)
        return
    rows = chain([first], rows)
    if not named.columns and _is_numbered(first[1]):
        what = "no header: the first column is read as the question, the second as the answer"
        notes.add(str(path), what)
        named = NUMBERED
    if columns := MessageColumns.of(first, path, named):
        yield from collected((path, rows, bad), columns, named, on_bad, notes)
        return

    def conversation(row: Any, place: str) -> Record | None:
        found = Reader(place, notes, named).read(row)
        return Record(tuple(found[0]), place, found[1]) if found else None

    for row in rows:
        _report_all(bad, on_bad)
        yield from each_record(placed(path, iter([row])), conversation, on_bad)
    _report_all(bad, on_bad)


def _report_all(bad: list[XinyeError], on_bad: OnBad) -> None:
    """Pass each of these errors to `on_bad`, once."""
    while bad:
        on_bad(bad.pop(0))


def placed(path: Path, rows: Records) -> Iterator[tuple[str, Any]]:
    """Each row with its place. In a dictionary of conversations, as in CrossWOZ, each
    conversation.
    """
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
    """Why a table has no header, or "" if its first line is one or the file is not a table. In a
    table of two columns without usual names, the first line is a question and its answer.
    """
    if suffix_of(path) in PLAIN_SUFFIXES and not _is_tabbed(path):
        return ""
    reason = headerless(path, named.columns, tabbed=True)
    if reason or named.columns or not is_table(path, tabbed=True):
        return reason
    rows = [row for _, row in islice(read_records(path, lambda *_: None, tabbed=True), HEAD_ROWS)]
    row = rows[0] if rows else {}
    if len(row) != 2 or names_columns(row):
        return ""
    firsts, seconds = zip(*(map(str, row.values()) for row in rows), strict=True)
    spoken = begins_with_speaker(seconds[0]) and not begins_with_speaker(firsts[0])
    return "" if spoken or all(_ID.fullmatch(first) for first in firsts) else NO_HEADER


def _columns(path: Path, named: Named) -> list[str]:
    """The named columns, or the two numbered ones of a table without a header."""
    unnamed = without_header(path, named) == NO_HEADER
    return NUMBERED.columns if unnamed else named.columns


def _is_numbered(row: Any) -> bool:
    """True for a row of a table with two columns and no header."""
    cells = row.values() if isinstance(row, dict) and [*row] == NUMBERED.columns else []
    return bool(cells) and all(isinstance(cell, str) for cell in cells)


def _is_tabbed(path: Path) -> bool:
    """True if a text file is a table: its first line has a tab and does not begin with a
    speaker.
    """
    first = first_line(read_lines(path))
    return "\t" in first and not begins_with_speaker(first)


def is_conversation(text: Path) -> bool:
    """True if a text file begins like a conversation: with a speaker or a time, or as a table."""
    try:
        first = first_line(read_lines(text))
    except XinyeError:  # the file cannot be decoded
        return False
    return "\t" in first or begins_with_speaker(first) or begins_with_time(first)


def spoken(path: Path, on_bad: OnBad, named: Named, notes: Notes) -> Iterator[Record]:
    """The conversations of a text file in which each message begins with its speaker."""
    lines = list(read_lines(path))
    if not begins_with_speaker(first_line(lines)):
        log = _heard(timed_speeches(lines, str(path), notes) or [], path, notes)
        if log:
            yield _logged(log, path, named, notes)
            return
    said = speeches(lines, str(path), notes, named.assistants)
    heard = filter(None, (_heard(each, path, notes) for each in said))
    conversations = answered([*heard], str(path), notes)
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


def _heard(said: list[Speech], path: Path, notes: Notes) -> list[Speech]:
    """The messages that contain text, without those that are only a picture or a notice."""
    heard = []
    for speech in said:
        place = place_of(path, speech.line)
        text = only_said("\n".join(speech.lines), place, notes, speech.word)
        if text.strip():
            heard.append(replace(speech, lines=text.split("\n")))
    return heard


def _logged(log: list[Speech], path: Path, named: Named, notes: Notes) -> Record:
    """The single conversation of a log with times. Raises `XinyeError` for unknown speakers."""
    place = place_of(path, log[0].line)
    strangers = unknown((speech.word for speech in log), named.assistants)
    if strangers:
        raise XinyeError(f"{place}: {who_are(strangers)}")
    messages = Reader(place, notes, named).messages([speech.message for speech in log], place)
    return Record(tuple(joined(messages, place, notes)), place, "a log of times and speakers")


def _more_lines(conversation: list[Speech]) -> Iterator[str]:
    """The lines that continue a message."""
    return (line for speech in conversation for line in speech.lines[1:])
