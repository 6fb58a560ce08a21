"""Reads what a company has: logs of conversations, tables of questions and answers, and tables of
questions with their intents. Their formats are those that the tasks read to train on.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from xinye.apps.support.exchanges import Exchange, Talk, exchanges, without_templates
from xinye.data.columns import FIELD_NAMES, find_column
from xinye.data.files import PLAIN_SUFFIXES, suffix_of
from xinye.data.masking import Masker
from xinye.data.notes import Notes, place_of
from xinye.data.personal import Tagger, find_personal, plain_value
from xinye.data.records import Row
from xinye.data.sources import read_records
from xinye.errors import XinyeError, did_you_mean, plural
from xinye.observer import Observer
from xinye.tasks.chat_columns import LISTS, PAIRS, QUESTIONS, ROLE_NAMES, by_words
from xinye.tasks.classify_columns import Named as LabelNames
from xinye.tasks.classify_records import read_labelled
from xinye.tasks.conversation_files import read_conversations
from xinye.tasks.records import OnBad
from xinye.tasks.registry import find_text_task
from xinye.tasks.roles import begins_with_speaker
from xinye.tasks.writing_records import UNNAMED, Named

INTENTS = (
    "intent", "category", "label", "class", "topic", "意图", "类别", "分类", "类目", "标签",
    "问题分类", "问题类型", "问题类别", "咨询类型", "咨询分类", "工单类型", "工单分类",
)  # fmt: skip
WORDINGS = (  # other ways to ask the question of a row
    "variants", "wordings", "similar_questions", "alternatives", "paraphrases",
    "相似问", "相似问题", "相似问法", "扩展问", "扩展问题", "同义问", "其他问法",
    "title", "标题", "问题标题",
)  # fmt: skip
_WORDINGS_END = re.compile(r"[\n|｜；;]+|##+")
_LINE = re.compile(r", (?:line|record) (\d+)")
HEAD = 20  # rows in which columns are looked for
OFTEN = 3  # conversations in which employees name a number that is the company's own
PERSONAL = (
    "answers with a phone number, mail address or the like that may be a customer's (the company's "
    "own are known from --knowledge, or because employees name them in several conversations)"
)
_Value = tuple[str, str]  # a kind of personal data, and its plain form


class Columns(NamedTuple):
    """The columns that a person named, and the names of the employees."""

    prompt_field: str | None = None
    answer_field: str | None = None
    intent_field: str | None = None
    assistant_name: str | None = None


UNNAMED_COLUMNS = Columns()


@dataclass
class Logs:
    """What was read: `exchanges`, and how many conversations or rows in how many files. `dropped`
    counts what was left out, `notes` what was read differently, and `masked` the personal data in
    questions."""

    exchanges: list[Exchange] = field(default_factory=list)
    files: int = 0
    conversations: int = 0
    dropped: Notes = field(default_factory=Notes)
    notes: Notes = field(default_factory=Notes)


def read_logs(
    names: Sequence[str],
    columns: Columns = UNNAMED_COLUMNS,
    published: Sequence[str] = (),
    tagger: Tagger | None = None,
    observer: Observer | None = None,
) -> Logs:
    """The questions in files, folders and globs, with their answers, masked.

    `published` are texts of the company, such as its handbook: the phone numbers in them are its
    own. `tagger` finds names and addresses to mask. Raises `XinyeError` for files that cannot be
    read, and if more than half of a file's records are bad.
    """
    observer = observer or Observer()
    logs, values = Logs(), _Values()
    for text in published:
        values.own.update(_values_in(text))
    found: list[Exchange] = []
    for path in find_text_task("chat").find_files(names, logs.notes):
        observer.progress(f"reading {path}")
        logs.files += 1
        for talk in _talks(path, columns, logs):
            logs.conversations += 1
            line = _LINE.search(talk.place.removeprefix(str(path)))
            number = int(line[1]) if line else None
            values.add(talk)
            if talk.messages[-1:] and talk.messages[-1]["role"] == "intent":
                masker = Masker(tagger=tagger)
                asked = masker.mask(talk.messages[0]["content"])
                found.append(Exchange(asked, "", talk.intent, str(path), number))
            else:
                found += exchanges(talk, str(path), number, logs.dropped, tagger)
    kept = []
    for exchange in found:
        if values.are_own(exchange.answer):
            kept.append(exchange)
        else:
            logs.dropped.add(exchange.place, PERSONAL)
    logs.exchanges = without_templates(kept, logs.dropped)
    return logs


# -- files -----------------------------------------------------------------------------------------


def _talks(path: Path, columns: Columns, logs: Logs) -> Iterator[Talk]:
    """The conversations of a file, or its questions with intents. Bad records are left out with a
    note, unless they are more than half."""
    errors: list[XinyeError] = []
    count = 0
    head = _head(path)
    of_file = _labelled if _is_labelled(head, columns) else _conversations
    for talk in of_file(path, columns, errors.append, logs.notes, head):
        count += 1
        yield talk
    if len(errors) > count:
        raise errors[0]
    if errors:
        what = f"{plural(len(errors), 'bad record')} left out: {errors[0]}"
        logs.notes.add(str(path), what)


def _head(path: Path) -> list[Row]:
    """The first objects of a file; none of a text."""
    if suffix_of(path) in PLAIN_SUFFIXES:
        return []
    rows = islice(read_records(path, lambda *_: None, tabbed=True), HEAD)
    return [row for _, row in rows if isinstance(row, dict)]


def _conversations(
    path: Path, columns: Columns, on_bad: OnBad, notes: Notes, head: Sequence[Row]
) -> Iterator[Talk]:
    named = Named(columns.prompt_field, columns.answer_field, columns.assistant_name)
    has_more = any(columns.intent_field or find_column(row, (*INTENTS, *WORDINGS)) for row in head)
    more = _more(path, columns) if has_more else {}
    first = head[0] if head else {}
    is_row = bool(columns.prompt_field or find_column(first, QUESTIONS))
    is_row = is_row and not find_column(first, ROLE_NAMES)
    unread = Notes()  # columns that are not read: a log has many
    for record in read_conversations(path, on_bad, named, unread):
        intent, wordings = more.get(record.place, ("", ()))
        yield Talk(record.messages, record.place, intent, wordings, is_row)
    for what, times in unread.counts.items():
        if "is not read" not in what and "joined by a line break" not in what:
            notes.counts[what] += times
            notes.places[what] += unread.places[what]


def _more(path: Path, columns: Columns) -> Mapping[str, tuple[str, tuple[str, ...]]]:
    """The intent and the other wordings of each row of a file, by place, where it has any."""
    found = {}
    for line, row in read_records(path, lambda *_: None, tabbed=True):
        if not isinstance(row, dict):
            continue
        intent = columns.intent_field or find_column(row, INTENTS)
        wordings = find_column(row, WORDINGS)
        if not (intent or wordings):
            continue
        if intent not in (None, *row):
            near = did_you_mean(str(intent), map(str, row))
            raise XinyeError(f"{place_of(path, line)}: no field {intent!r} (--intent-field){near}")
        texts = _texts(row.get(wordings)) if wordings else ()
        found[place_of(path, line)] = (_name(row.get(intent)) if intent else "", texts)
    return found


def _name(value: Any) -> str:
    return " ".join(str(value).split())[:80] if isinstance(value, str | int) else ""


def _texts(value: Any) -> tuple[str, ...]:
    """The texts in a cell, which lines, bars or semicolons separate, or in a list."""
    several = value if isinstance(value, list) else _WORDINGS_END.split(str(value or ""))
    return tuple(text.strip() for text in several if isinstance(text, str) and text.strip())


def _is_labelled(head: Sequence[Row], columns: Columns) -> bool:
    """True for a table of questions and intents without answers."""
    if not head or columns.answer_field:
        return False
    row = head[0]
    if any(isinstance(value, list | dict) for value in row.values()):
        return False
    text = columns.prompt_field or find_column(row, (*QUESTIONS, *FIELD_NAMES))
    intent = columns.intent_field or find_column(row, INTENTS)
    spoken = any(isinstance(value, str) and begins_with_speaker(value) for value in row.values())
    answered = any(all(UNNAMED.find(row, *names)) for names in PAIRS) or any(by_words(row)[1:])
    said = find_column(row, (*ROLE_NAMES, *LISTS))
    return bool(text and intent) and not (spoken or answered or said)


def _labelled(
    path: Path, columns: Columns, on_bad: OnBad, notes: Notes, head: Sequence[Row]
) -> Iterator[Talk]:
    text = columns.prompt_field or find_column(head[0], (*QUESTIONS, *FIELD_NAMES))
    named = LabelNames(text, columns.intent_field or find_column(head[0], INTENTS))
    for record in read_labelled(path, on_bad, named, notes):
        messages = ({"role": "user", "content": record.text}, {"role": "intent", "content": ""})
        yield Talk(messages, record.place, ", ".join(record.labels))


# -- personal data ---------------------------------------------------------------------------------


class _Values:
    """Whose the phone numbers and the like in answers are: the company's own, if it published
    them, or if employees name them in several conversations and no customer does."""

    def __init__(self) -> None:
        self.own: set[_Value] = set()
        self.replied: Counter[_Value] = Counter()
        self.customers: set[_Value] = set()

    def add(self, talk: Talk) -> None:
        """Count the values of a conversation."""
        replied = set[_Value]()
        for message in talk.messages:
            found = _values_in(message["content"])
            if message["role"] == "assistant":
                replied |= found
            elif message["role"] == "user":
                self.customers |= found
        self.replied.update(replied)

    def are_own(self, answer: str) -> bool:
        """True if all values in an answer are the company's own."""
        return all(
            value in self.own or (self.replied[value] >= OFTEN and value not in self.customers)
            for value in _values_in(answer)
        )


def _values_in(text: str) -> Set[_Value]:
    found = find_personal(text)
    return {(each.kind, plain_value(text[each.start : each.end], each.kind)) for each in found}
