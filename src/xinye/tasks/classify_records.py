"""Records of texts with labels: rows or objects with a column of the text, or two of a pair, and
one of the label, or lines of a text file with a tab between. A table needs no header."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from xinye.data.records import Row
from xinye.data.sources import as_text, choose_field, read_records
from xinye.errors import XinyeError, did_you_mean
from xinye.tasks.records import OnBad, refuse_line

LABEL_NAMES = [
    "label",
    "labels",
    "category",
    "class",
    "target",
    "intent",
    "topic",
    "sentiment",
    "polarity",
    "tag",
]
LABEL_NAMES += ["标签", "类别", "分类", "正负面", "情感", "极性", "意图"]
PAIR_NAMES = [
    ("sentence1", "sentence2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("premise", "hypothesis"),
]
PAIR_NAMES += [("question1", "question2"), ("text", "text_pair"), ("句子1", "句子2")]


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


class Columns(NamedTuple):
    """Where things stand: one column of text or two, that of the label, and what parts several
    labels, if anything."""

    texts: tuple[str, ...]
    label: str
    separator: str | None

    @property
    def format(self) -> str:
        text = (
            f"pairs of texts in {self.texts[0]!r} and {self.texts[1]!r}"
            if self.texts[1:]
            else self.texts[0]
        )
        return f"{text if self.texts[1:] else f'text in {text!r}'}, label in {self.label!r}"


def read_labelled(
    path: Path,
    on_bad: OnBad,
    text_field: str | None,
    label_field: str | None,
    separator: str | None,
) -> Iterator[Record]:
    """The records of a file. What cannot be one is given to `on_bad`, with file and line."""
    rows = []
    for line, row in read_records(
        path, refuse_line(on_bad), named(text_field, label_field), tabbed=True
    ):
        if isinstance(row, dict):
            rows.append((line, row))
        else:
            what = "expected an object with a text and a label"
            on_bad(XinyeError(f"{path}, line {line}: {what}, found {str(row)[:40]!r}"))
    if not rows:
        return
    columns = find_columns(path, [row for _, row in rows], text_field, label_field, separator)
    for line, row in rows:
        try:
            yield _record(path, line, row, columns)
        except XinyeError as error:
            on_bad(error)


def named(text_field: str | None, label_field: str | None) -> list[str]:
    """The columns that a person named."""
    return [name for given in (text_field, label_field) if given for name in given.split(",")]


def find_columns(
    path: Path,
    rows: Sequence[Row],
    text_field: str | None,
    label_field: str | None,
    separator: str | None,
) -> Columns:
    """The columns of texts and label: as given, by name, or by what stands in them."""
    columns = list(dict.fromkeys(column for row in rows[:1000] for column in row))
    if len(columns) == 1:
        found = columns[0] if columns != ["1"] else rows[0]["1"]
        raise XinyeError(
            f"{path}, line 1: expected columns of a text and a label, in .txt and .tsv with a tab "
            f"between, found one: {found[:40]!r}"
        )
    for given, flag in ((text_field, "--text-field"), (label_field, "--label-field")):
        for column in given.split(",") if given else ():
            if column not in columns:
                near = did_you_mean(column, columns)
                raise XinyeError(
                    f"{path}: no column {column!r} ({flag}); there are {', '.join(columns)}{near}"
                )
    by_name = {column.strip().lower(): column for column in reversed(columns)}
    label = label_field or next((by_name[name] for name in LABEL_NAMES if name in by_name), None)
    if label is None:
        label = _label_by_values(path, rows, columns)
    if text_field:
        texts = tuple(text_field.split(","))
        if len(texts) > 2:
            raise XinyeError(
                f"--text-field {text_field}: a text, or a pair of them, not {len(texts)}"
            )
    else:
        pair = next((pair for pair in PAIR_NAMES if set(pair) <= by_name.keys()), None)
        if pair:
            texts = (by_name[pair[0]], by_name[pair[1]])
        else:
            same = (
                {column for column in columns if len({str(row.get(column)) for row in rows}) == 1}
                if rows[1:]
                else ()
            )
            left_out = {label, *same}
            others = [
                {key: value for key, value in row.items() if key not in left_out}
                for row in rows[:100]
            ]
            try:
                texts = (choose_field(path, others),)
            except XinyeError as error:
                raise XinyeError(str(error).replace("--field", "--text-field")) from None
    return Columns(texts, label, separator)


def _label_by_values(path: Path, rows: Sequence[Row], columns: list[str]) -> str:
    """The one column whose values look like labels."""
    few = [column for column in columns if _like_labels([row.get(column) for row in rows])]
    if not few and columns == ["1", "2"]:  # a table of texts and labels without a header
        one, other = (len({row[column] for row in rows}) for column in columns)
        if one != other:
            few = [columns[other < one]]
    if len(few) != 1:
        raise XinyeError(
            f"{path}: which column is the label? Name it with --label-field; there are: "
            f"{', '.join(columns)}"
        )
    return few[0]


def _like_labels(values: Sequence[Any]) -> bool:
    """Whether a column's values are few different ones."""
    different = {str(value) for value in values}
    return 2 <= len(different) <= max(2, min(200, len(values) // 4))


def _record(path: Path, line: int, row: Row, columns: Columns) -> Record:
    texts: list[str] = []
    for column in columns.texts:
        value = row.get(column)
        text = as_text(value)  # of a list, such as keywords, its lines
        if text is None or not (text.strip() or texts):
            found = "nothing" if text is not None else repr(str(value)[:40])
            raise XinyeError(
                f"{path}, line {line}, field {column!r}: expected a text, found {found}"
            )
        texts.append(text)
    value = row.get(columns.label)
    values = value if isinstance(value, list) else [value]
    if columns.separator and isinstance(value, str):
        values = [part for part in value.split(columns.separator) if part.strip()]
    labels = []
    for each in values:
        if (
            isinstance(each, bool)
            or not isinstance(each, str | int | float)
            or str(each).strip() == ""
        ):
            found = "nothing" if each in (None, "") else repr(str(each)[:40])
            raise XinyeError(
                f"{path}, line {line}, field {columns.label!r}: expected a label, found {found}"
            )
        labels.append(str(each).strip())
    pair = texts[1] if len(texts) > 1 else ""
    return Record(
        texts[0], pair, tuple(dict.fromkeys(labels)), f"{path}, line {line}", columns.format
    )
