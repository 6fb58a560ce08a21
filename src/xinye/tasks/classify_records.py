"""Reads texts with labels: rows or objects with text and label columns, or lines of a text file
with a tab between text and label. A table needs no header.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

from xinye.data.notes import Notes, place_of, without_unseen
from xinye.data.records import Row
from xinye.data.sources import as_text, read_records
from xinye.errors import XinyeError, quoted
from xinye.tasks.annotations import Annotated, annotated
from xinye.tasks.bad_records import are_skipped
from xinye.tasks.classify_columns import Columns, Named, find_columns, flag_of
from xinye.tasks.records import (
    OnBad,
    check_name,
    each_record,
    note_missing,
    note_unread,
    refuse_line,
    rejected,
)

SEPARATORS = "#|;,；，、/ "  # possible separators of several labels
NO_LABEL = ("<na>", "#n/a")  # what programs write for a missing label
# What people write for a missing label, each with the label next to which it is a label itself.
PLACEHOLDERS = {
    "无": "有", "-": "+", "--": "", "—": "", "——": "", "/": "", "?": "", "？": "", "空": "",
    "待定": "", "未标注": "", "未标": "", "待标注": "",
}  # fmt: skip
TOTALS = (  # texts in rows that sum up those above them
    "合计", "总计", "小计", "平均", "平均分", "平均值", "total", "subtotal", "sum", "average",
)  # fmt: skip

Placed = tuple[str, Row]  # a row's place and the row


@dataclass(frozen=True)
class LabelledText:
    """A text with its labels.

    `pair` is the second text of a pair, or "". `place` is for messages ("reviews.csv, line 17"),
    and `format` describes how the record was read.
    """

    text: str
    pair: str
    labels: tuple[str, ...]
    place: str
    format: str = field(default="", compare=False)

    @property
    def whole(self) -> str:
        """The text, or both texts of a pair on separate lines."""
        return f"{self.text}\n{self.pair}" if self.pair else self.text

    @property
    def answer(self) -> frozenset[str]:
        """The labels as a set, to compare records."""
        return frozenset(self.labels)


def read_labelled(path: Path, on_bad: OnBad, named: Named, notes: Notes) -> Iterator[LabelledText]:
    """The records of a file. Rows that cannot be read are passed to `on_bad` as errors with file
    and line. `notes` report what was skipped or read differently.
    """
    rows: list[Placed] = []
    tools: set[str] = set()
    choices: set[str] = set()
    bad_line = refuse_line(on_bad)
    for line, found in read_records(path, bad_line, named.columns, tabbed=True, notes=notes):
        place = place_of(path, line)
        try:
            read = _annotated(found, place, notes)
        except XinyeError as error:
            on_bad(error)
            continue
        if read:
            rows.append((place, read.row))
            tools.add(read.tool)
            choices |= read.choices or set()
    if not rows:
        return
    # the annotation tool has just one field of choices
    if len(choices) == 1 and not named.label_field:
        named = named._replace(label_field=choices.pop())
    columns = find_columns(path, [row for _, row in rows], named, notes)
    kept = _kept(rows, columns, notes)
    named_rows = list(kept if columns.flags else _with_names(kept, columns, notes))
    if tools == {""}:  # exports have extra fields about the annotation
        for place, row in rows:
            note_unread(row, (*columns.texts, *columns.labels, "answer"), place, notes)
    if not columns.flags:
        _note_placeholders(named_rows, columns.label, notes)
    yield from each_record(
        named_rows, lambda row, place: _record(place, row, columns, notes), on_bad
    )


def _annotated(found: Any, place: str, notes: Notes) -> Annotated | None:
    """The row of any annotation tool as a plain row, or None if no label was chosen."""
    if not isinstance(found, dict):
        what = "expected an object with a text and a label"
        raise XinyeError(f"{place}: {what}, found {str(found)[:40]!r}")
    read = annotated(found, place, notes)
    if read and read.choices == frozenset():
        notes.add(place, "a text for which nothing was chosen is left out")
        return None
    return read


def _kept(rows: Sequence[Placed], columns: Columns, notes: Notes) -> Iterator[Placed]:
    """The rows without those that an annotator rejected. A list of labels that is written as text
    becomes a list.
    """
    for place, row in rows:
        if "answer" not in (*columns.labels, *columns.texts) and rejected(row):
            notes.add(place, f"the annotator's answer is {row['answer']!r}: left out")
            continue
        label = row.get(columns.label)
        if isinstance(label, str) and not columns.flags:
            label = _listed(label, columns.separator, place, notes)
        yield place, row | {columns.label: label}


def _with_names(rows: Iterator[Placed], columns: Columns, notes: Notes) -> Iterator[Placed]:
    """The rows. If all labels are lists of 0 and 1 of one length, the indices of the ones become
    the labels; otherwise all records would have the labels 0 and 1.
    """
    all_rows = list(rows)
    labels = [row[columns.label] for _, row in all_rows]
    lists = [label for label in labels if isinstance(label, list)]
    lengths = {len(label) for label in lists}
    flags = all(type(each) in (bool, int, float) and each in (0, 1) for each in chain(*lists))
    if len(lists) < len(labels) or len(lengths) != 1 or lengths <= {0, 1} or not flags:
        yield from all_rows
        return
    for place, row in all_rows:
        notes.add(place, "the label is 0 or 1 for each class: read as the numbers of the classes")
        numbers = [number for number, flag in enumerate(row[columns.label]) if flag]
        yield place, row | {columns.label: numbers}


def _note_placeholders(rows: Sequence[Placed], column: str, notes: Notes) -> None:
    """Note labels that people write if there is none."""
    values = [row[column] for _, row in rows]
    labels = [value if isinstance(value, list) else [value] for value in values]
    there = {label.strip() for label in chain(*labels) if isinstance(label, str)}
    found = {label for label in there & {*PLACEHOLDERS} if PLACEHOLDERS[label] not in there}
    if not found:
        return
    for (place, _), given in zip(rows, labels, strict=True):
        for label in given:
            if isinstance(label, str) and label.strip() in found:
                notes.add(
                    place, f"the label is {label.strip()!r}, which looks like a missing value"
                )


def _check_total(text: str, place: str, notes: Notes) -> None:
    """Note a row of totals. Raises `XinyeError` if bad records are skipped."""
    if text.strip().casefold() not in TOTALS:
        return
    what = f"the text is {text.strip()!r}, as in a row of totals"
    if are_skipped():
        raise XinyeError(f"{place}: {what}")
    notes.add(place, f"{what}; --bad-records skip leaves it out")


def _record(place: str, row: Row, columns: Columns, notes: Notes) -> LabelledText:
    texts: list[str] = []
    for column in columns.texts:
        text = as_text(row.get(column))  # the lines of a list, such as keywords
        if text is None or not (text.strip() or texts):
            raise _unfit(place, column, "a text", row.get(column), text is not None)
        texts.append(text)
        note_missing("text", text, place, notes)
    if columns.flags:
        labels = [
            without_unseen(name) for name in columns.labels if _flag(place, name, row, columns)
        ]
        for label in labels:
            check_name("label", label, place)
    else:
        values = row.get(columns.label)
        given = values if isinstance(values, list) else [values]
        if not given:
            notes.add(place, "no label in the list: learned as a text that has none of the labels")
        labels = [_label(place, columns.label, each, notes) for each in given]
    _check_total(texts[0], place, notes)
    pair = "".join(texts[1:])
    return LabelledText(texts[0], pair, tuple(dict.fromkeys(labels)), place, columns.format)


def _flag(place: str, column: str, row: Row, columns: Columns) -> bool:
    """True if the text has the label of this column."""
    given = row.get(column)
    flag = flag_of(given, columns.words)
    if column in columns.ticked and given in (None, ""):
        flag = False
    if flag is None:
        raise _unfit(place, column, "0 or 1", given, given in (None, ""))
    return flag


def _listed(value: str, separator: str | None, place: str, notes: Notes) -> Any:
    """The labels in one text, divided by `separator` or read as a list; a single label stays as it
    is.
    """
    if separator:
        return [part for part in value.split(separator) if part.strip()]
    if re.fullmatch(r"\s*\[.*\]\s*", value, re.DOTALL):
        with suppress(ValueError, RecursionError):
            labels = json.loads(value.replace("'", '"'))
            notes.add(place, "the label is a list written as a text: read as several labels")
            return labels
    return value


def joined_labels(labels: Mapping[str, int]) -> Iterator[str]:
    """Yields a finding if labels look like several joined ones, as in doccano's CSV, because their
    parts occur in other labels. `labels` holds the number of records of each.
    """
    for separator in SEPARATORS:
        parts = {
            label: [part.strip() for part in label.split(separator) if part.strip()]
            for label in labels
        }
        joined = [label for label in labels if len(parts[label]) > 1]
        known = [label for label in joined if _is_joined(label, parts, separator)]
        count = sum(labels[label] for label in known)
        if count > 1 and 2 * len(known) >= len(joined):
            yield (
                f"{count:,} records have labels such as {known[0]!r}, which looks like several; "
                f"if a text has several labels, use --label-separator {quoted(separator)}"
            )
            return


def _is_joined(label: str, parts: Mapping[str, Sequence[str]], separator: str) -> bool:
    """True if a label looks like several. In "Paris, France" or "news/sport" the parts that other
    labels share stay in their places; of several joined labels, one also occurs alone or in another
    place.
    """
    own = parts[label]
    if separator == " ":  # for "very good", both words must be labels
        return all(part in parts for part in own)
    if separator == "#" and not re.search(r"\b[A-Za-z]#", label):  # only doccano writes this
        return True
    others = [its for name, its in parts.items() if name != label and its]
    moved = any(part == its[0] for part in own[1:] for its in others)
    return moved or (separator != "/" and any(part in parts for part in own))


def _label(place: str, column: str, given: Any, notes: Notes) -> str:
    """A label in the form in which labels are compared. Raises `XinyeError` if there is none."""
    if not isinstance(given, str | int | float):
        raise _unfit(place, column, "a label", given, given is None)
    # booleans in the spelling of JSON
    written = str(given).lower() if isinstance(given, bool) else str(given).strip()
    label = without_unseen(written)
    if not label or label.casefold() in NO_LABEL or _is_no_number(label):
        raise _unfit(place, column, "a label", given, not label)
    check_name("label", label, place)
    if label != written:
        notes.add(place, f"the label {label!r} loses characters that cannot be seen")
    whole = re.sub(r"^[+-](?=0+$)", "", re.sub(r"^([+-]?\d+)\.0+$", r"\1", label))
    if whole != label:
        notes.add(place, f"the label {label!r} is read as {whole!r}")
        label = whole
    note_missing("label", label, place, notes)
    return label


def _is_no_number(label: str) -> bool:
    """True for NaN and infinity in any spelling."""
    try:
        return not math.isfinite(float(label))
    except ValueError:
        return False


def _unfit(place: str, column: str, what: str, found: Any, nothing: bool) -> XinyeError:
    if nothing:
        return XinyeError(f"{place}, field {column!r}: expected {what}, found nothing")
    return XinyeError(f"{place}, field {column!r}: expected {what}, found {str(found)[:40]!r}")
