"""Records of texts with labels: rows or objects with a column of the text, or two of a pair, and
one of the label, or lines of a text file with a tab between. A table needs no header."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from xinye.data.records import Row
from xinye.data.sources import as_text, choose_field, read_records
from xinye.errors import XinyeError, did_you_mean
from xinye.tasks.records import OnBad, refuse_line, usual

LABEL_NAMES = (
    "label", "labels", "category", "class", "target", "intent", "topic", "sentiment", "polarity",
    "tag", "标签", "类别", "分类", "正负面", "情感", "极性", "意图",
)  # fmt: skip
PAIR_NAMES = (
    ("sentence1", "sentence2"), ("text1", "text2"), ("text_a", "text_b"),
    ("premise", "hypothesis"), ("question1", "question2"), ("text", "text_pair"),
    ("句子1", "句子2"),
)  # fmt: skip


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


def read_labelled(path: Path, on_bad: OnBad, named: Named) -> Iterator[Record]:
    """The records of a file. What cannot be one is given to `on_bad`, with file and line."""
    rows = []
    for line, row in read_records(path, refuse_line(on_bad), named.columns, tabbed=True):
        if isinstance(row, dict):
            rows.append((line, row))
        else:
            what = "expected an object with a text and a label"
            on_bad(XinyeError(f"{path}, line {line}: {what}, found {str(row)[:40]!r}"))
    if not rows:
        return
    columns = find_columns(path, [row for _, row in rows], named)
    for line, row in rows:
        try:
            yield _record(f"{path}, line {line}", row, columns)
        except XinyeError as error:
            on_bad(error)


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
    by_name = {column.strip().lower(): column for column in reversed(columns)}
    label = named.label_field or by_name.get(usual(LABEL_NAMES, by_name) or "")
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


def _record(place: str, row: Row, columns: Columns) -> Record:
    texts: list[str] = []
    for column in columns.texts:
        text = as_text(row.get(column))  # of a list, such as keywords, its lines
        if text is None or not (text.strip() or texts):
            raise _unfit(place, column, "a text", row.get(column), text is not None)
        texts.append(text)
    values = row.get(columns.label)
    if columns.separator and isinstance(values, str):
        values = [part for part in values.split(columns.separator) if part.strip()]
    labels = []
    for each in values if isinstance(values, list) else [values]:
        is_label = isinstance(each, str | int | float) and not isinstance(each, bool)
        if not is_label or not str(each).strip():
            raise _unfit(place, columns.label, "a label", each, each in (None, ""))
        labels.append(str(each).strip())
    pair = "".join(texts[1:])
    return Record(texts[0], pair, tuple(dict.fromkeys(labels)), place, columns.format)


def _unfit(place: str, column: str, what: str, found: Any, nothing: bool) -> XinyeError:
    shown = "nothing" if nothing else repr(str(found)[:40])
    return XinyeError(f"{place}, field {column!r}: expected {what}, found {shown}")
