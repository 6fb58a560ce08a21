"""Records of texts with labels: rows or objects with a column of the text, or two of a pair, and
one of the label, or lines of a text file with a tab between. A table needs no header."""

import json
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from xinye.data.columns import by_usual_name, find_column
from xinye.data.notes import Notes, without_unseen
from xinye.data.records import Row, place_of
from xinye.data.sources import as_text, choose_field, read_records
from xinye.errors import XinyeError, did_you_mean
from xinye.tasks.records import OnBad, note_missing, refuse_line, rejected

LABEL_NAMES = (
    "label", "labels", "category", "class", "target", "intent", "topic", "sentiment", "polarity",
    "tag", "标签", "类别", "分类", "正负面", "情感", "极性", "意图",
)  # fmt: skip
PAIR_NAMES = (
    ("sentence1", "sentence2"), ("text1", "text2"), ("text_a", "text_b"),
    ("premise", "hypothesis"), ("question1", "question2"), ("text", "text_pair"),
    ("句子1", "句子2"),
)  # fmt: skip
NO_LABEL = ("nan", "<na>", "#n/a")  # what programs write where there is none

Placed = tuple[str, Row]  # a row with its place


@dataclass(frozen=True)
class Record:
    """A text, the second of a pair or "", what is right, where it stands ("reviews.csv, line 17"),
    and how it was found there."""

    text: str
    pair: str
    labels: tuple[str, ...]
    place: str
    format: str = field(default="", compare=False)

    @property
    def whole(self) -> str:
        return f"{self.text}\n{self.pair}" if self.pair else self.text

    @property
    def answer(self) -> frozenset[str]:
        return frozenset(self.labels)


class Named(NamedTuple):
    """The columns that a person named, of a text (or, with a comma between, a pair) and of the
    label, and what stands between several labels."""

    text_field: str | None = None
    label_field: str | None = None
    label_separator: str | None = None

    @property
    def columns(self) -> list[str]:
        return [name for given in self[:2] if given for name in given.split(",")]


class Columns(NamedTuple):
    """Where things stand: one column of text or two, that of the label, and what parts several
    labels, if anything."""

    texts: tuple[str, ...]
    label: str
    separator: str | None

    @property
    def format(self) -> str:
        text = f"text in {self.texts[0]!r}"
        if self.texts[1:]:
            text = f"pairs of texts in {self.texts[0]!r} and {self.texts[1]!r}"
        return f"{text}, label in {self.label!r}"


def read_labelled(path: Path, on_bad: OnBad, named: Named, notes: Notes) -> Iterator[Record]:
    """The records of a file. What cannot be one is given to `on_bad`, with file and line; in
    `notes` stands what was left out or reread."""
    rows = []
    bad_line = refuse_line(on_bad)
    for line, row in read_records(path, bad_line, named.columns, tabbed=True, notes=notes):
        if isinstance(row, dict):
            rows.append((line, row))
        else:
            what = "expected an object with a text and a label"
            on_bad(XinyeError(f"{place_of(path, line)}: {what}, found {str(row)[:40]!r}"))
    if not rows:
        return
    columns = find_columns(path, [row for _, row in rows], named)
    given = [(place_of(path, line), row) for line, row in rows]
    for place, row in _with_names(_kept(given, columns, notes), columns, notes):
        try:
            yield _record(place, row, columns, notes)
        except XinyeError as error:
            on_bad(error)


def _kept(rows: Sequence[Placed], columns: Columns, notes: Notes) -> Iterator[Placed]:
    """The rows, without those that an annotator refused; labels that a text lists are a list."""
    for place, row in rows:
        if "answer" not in (columns.label, *columns.texts) and rejected(row):
            notes.add(place, f"the annotator's answer is {row['answer']!r}: left out")
            continue
        label = row.get(columns.label)
        if isinstance(label, str):
            label = _listed(label, columns.separator, place, notes)
        yield place, row | {columns.label: label}


def _with_names(rows: Iterator[Placed], columns: Columns, notes: Notes) -> Iterator[Placed]:
    """The rows; where all labels are 0 or 1 for each class, in lists of one length, those at 1 have
    their numbers as labels. Taken for names, all records would have the same two."""
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


def find_columns(path: Path, rows: Sequence[Row], named: Named) -> Columns:
    """The columns of texts and label: as given, by name, or by what stands in them."""
    columns = list(dict.fromkeys(column for row in rows[:1000] for column in row))
    if len(columns) == 1:
        found = columns[0] if columns != ["1"] else rows[0]["1"]
        raise XinyeError(
            f"{path}, line 1: expected columns of a text and a label, in .txt and .tsv with a tab "
            f"between, found one: {found[:40]!r}"
        )
    for given, flag in ((named.text_field, "--text-field"), (named.label_field, "--label-field")):
        for column in given.split(",") if given else ():
            if column not in columns:
                near = did_you_mean(column, columns)
                raise XinyeError(
                    f"{path}: no column {column!r} ({flag}); there are {', '.join(columns)}{near}"
                )
    by_name = by_usual_name(columns)
    label = named.label_field or find_column(columns, LABEL_NAMES)
    label = label or _label_by_values(path, rows, columns)
    if named.text_field:
        texts = tuple(named.text_field.split(","))
        if len(texts) > 2:
            raise XinyeError(
                f"--text-field {named.text_field}: a text, or a pair of them, not {len(texts)}"
            )
    elif pair := next((pair for pair in PAIR_NAMES if set(pair) <= by_name.keys()), None):
        texts = (by_name[pair[0]], by_name[pair[1]])
    else:
        texts = (_text_by_values(path, rows, label),)
    return Columns(texts, label, named.label_separator)


def _text_by_values(path: Path, rows: Sequence[Row], label: str) -> str:
    """The one other column that holds texts, and not the same one throughout."""
    same = {
        column
        for column in rows[0]
        if rows[1:] and len({str(row.get(column)) for row in rows}) == 1
    }
    left_out = {label, *same}
    others = [{key: row[key] for key in row if key not in left_out} for row in rows[:100]]
    try:
        return choose_field(path, others)
    except XinyeError as error:
        raise XinyeError(str(error).replace("--field", "--text-field")) from None


def _label_by_values(path: Path, rows: Sequence[Row], columns: list[str]) -> str:
    """The one column whose values look like labels."""
    most = max(2, min(200, len(rows) // 4))
    different = {column: len({str(row.get(column)) for row in rows}) for column in columns}
    few = [column for column in columns if 2 <= different[column] <= most]
    if not few and columns == ["1", "2"]:  # a table of texts and labels without a header
        few = [column for column in columns if different[column] < max(different.values())]
    if len(few) != 1:
        raise XinyeError(
            f"{path}: which column is the label? Name it with --label-field; there are: "
            f"{', '.join(columns)}"
        )
    return few[0]


def _record(place: str, row: Row, columns: Columns, notes: Notes) -> Record:
    texts: list[str] = []
    for column in columns.texts:
        text = as_text(row.get(column))  # of a list, such as keywords, its lines
        if text is None or not (text.strip() or texts):
            raise _unfit(place, column, "a text", row.get(column), text is not None)
        texts.append(text)
        note_missing("text", text, place, notes)
    values = row.get(columns.label)
    given = values if isinstance(values, list) else [values]
    labels = [_label(place, columns.label, each, notes) for each in given]
    pair = "".join(texts[1:])
    return Record(texts[0], pair, tuple(dict.fromkeys(labels)), place, columns.format)


def _listed(value: str, separator: str | None, place: str, notes: Notes) -> Any:
    """The labels in one text: parted by what was named, or a list that a program wrote as text."""
    if separator:
        return [part for part in value.split(separator) if part.strip()]
    if re.fullmatch(r"\s*\[.*\]\s*", value, re.DOTALL):
        with suppress(ValueError, RecursionError):
            labels = json.loads(value.replace("'", '"'))
            notes.add(place, "the label is a list written as a text: read as several labels")
            return labels
    return value


def _label(place: str, column: str, given: Any, notes: Notes) -> str:
    """A label as it is compared: of all ways to write it the same."""
    infinite = isinstance(given, float) and not math.isfinite(given)
    if not isinstance(given, str | int | float) or isinstance(given, bool) or infinite:
        raise _unfit(place, column, "a label", given, given is None)
    written = str(given).strip()
    label = without_unseen(written)
    if not label or label.casefold() in NO_LABEL:
        raise _unfit(place, column, "a label", given, not label)
    if label != written:
        notes.add(place, f"the label {label!r} loses characters that cannot be seen")
    if whole := re.fullmatch(r"([+-]?\d+)\.0+", label):
        notes.add(place, f"the label {label!r} is read as {whole[1]!r}")
        label = whole[1]
    note_missing("label", label, place, notes)
    return label


def _unfit(place: str, column: str, what: str, found: Any, nothing: bool) -> XinyeError:
    shown = "nothing" if nothing else repr(str(found)[:40])
    return XinyeError(f"{place}, field {column!r}: expected {what}, found {shown}")
