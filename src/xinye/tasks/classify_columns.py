"""Finds the columns or fields that hold a text and its label: as named by a person, by their usual
names, or by their values.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from xinye.data.columns import by_usual_name, choose_field
from xinye.data.notes import Notes
from xinye.data.records import Row
from xinye.errors import XinyeError, did_you_mean
from xinye.tasks.records import ABOUT

LABEL_NAMES = ("label", "labels", "gold_label", "标签")  # the first that exists is used
# One of these is the label; if a table has several, a person must choose.
PERHAPS_LABELS = (
    "category", "class", "target", "intent", "topic", "sentiment", "polarity", "emotion", "tag",
    "rating", "ratings", "star", "stars", "score", "类别", "分类", "正负面", "情感", "情绪", "极性",
    "意图", "评价", "评分", "打分", "星级", "等级", "评级", "满意度", "满意程度", "是否满意",
    "情感倾向", "情感极性", "情感分类", "情感类别", "情感标签", "倾向", "倾向性", "态度",
    "类目", "一级分类", "二级分类", "一级类目", "二级类目", "一级标签", "二级标签", "问题分类",
    "问题类型", "问题类别", "投诉类型", "投诉类别", "工单类型", "工单分类", "新闻类别", "新闻分类",
)  # fmt: skip
PAIR_NAMES = (
    ("sentence1", "sentence2"), ("text1", "text2"), ("text_a", "text_b"),
    ("premise", "hypothesis"), ("question1", "question2"), ("text", "text_pair"),
    ("句子1", "句子2"),
)  # fmt: skip
FLAGS = {"1": True, "1.0": True, "true": True, "0": False, "0.0": False, "false": False}
WORDS = {  # what people write in label columns
    "是": True, "有": True, "对": True, "yes": True, "y": True, "t": True,
    "√": True, "✓": True, "✔": True, "☑": True, "✅": True,
    "否": False, "不是": False, "无": False, "没有": False, "错": False, "no": False, "n": False,
    "f": False, "×": False, "✗": False, "✘": False, "☐": False, "❌": False,
}  # fmt: skip
SHORTEST_TEXT = 8  # average characters from which a column may hold texts instead of labels
MOST_LEVELS = 10  # the most different whole numbers in a column that may be a label
SHOWN = 6  # how many columns a message names


class Named(NamedTuple):
    """The columns that a person named, and the separator of several labels in one cell.

    `text_field` is one column, or two of a pair with a comma between them; `label_field` is one
    column, or several that hold 0 or 1.
    """

    text_field: str | None = None
    label_field: str | None = None
    label_separator: str | None = None

    @property
    def columns(self) -> list[str]:
        """The names of all these columns."""
        return [name for given in self[:2] if given for name in given.split(",")]


class Columns(NamedTuple):
    """The columns of a file: one or two of texts, and the label's, or several that hold 0 or 1.

    `separator` divides several labels in one cell.
    """

    texts: tuple[str, ...]
    labels: tuple[str, ...]
    separator: str | None
    words: bool = False  # True if columns of 0 and 1 may also hold words such as yes and no
    ticked: tuple[str, ...] = ()  # label columns that are marked or empty

    @property
    def label(self) -> str:
        """The (first) label column."""
        return self.labels[0]

    @property
    def flags(self) -> bool:
        """True if there are several label columns, each of which says whether a text has that
        label.
        """
        return len(self.labels) > 1

    @property
    def format(self) -> str:
        """A description of the format for messages."""
        text = f"text in {self.texts[0]!r}"
        if self.texts[1:]:
            text = f"pairs of texts in {self.texts[0]!r} and {self.texts[1]!r}"
        if self.flags:
            return f"{text}, 0 or 1 for each label in {_listed(self.labels)}"
        return f"{text}, label in {self.label!r}"


def find_columns(path: Path, rows: Sequence[Row], named: Named, notes: Notes) -> Columns:
    """The columns of texts and labels: as named, by their usual names, or by their values. Raises
    `XinyeError` if a person must choose.
    """
    columns = list(dict.fromkeys(column for row in rows[:1000] for column in row))
    if len(columns) == 1:
        found = columns[0] if columns != ["1"] else rows[0]["1"]
        raise XinyeError(
            f"{path}, line 1: expected a column of texts and one of labels, in .txt and .tsv with "
            f"a tab between them, found only one column: {found[:40]!r}"
        )
    texts = _named(path, named.text_field, "--text-field", columns)
    if len(texts) > 2:
        raise XinyeError(
            f"--text-field {named.text_field}: expected one column, or two of a pair, found "
            f"{len(texts)}"
        )
    labels = _named(path, named.label_field, "--label-field", columns)
    others = [column for column in columns if column not in texts]
    if not labels and (label := _label_by_name(path, rows, others)):
        labels = (label,)
    flags = () if labels else _flag_columns(rows, others)
    if not labels and not flags:
        labels = (_label_by_values(path, rows, columns),)
    texts = texts or _texts(path, rows, labels or flags)
    if flags:
        _check_flags(path, rows, flags, [column for column in others if column not in texts])
        what = f"the columns {_listed(flags)} hold only 0 and 1: each is read as a label"
        notes.add(str(path), what)
    found = Columns(texts, labels or flags, named.label_separator)
    if len(labels) > 1:
        found = found._replace(words=True, ticked=_ticked(rows, labels))
        _note_words(path, rows, found, notes)
    never = [
        name
        for name in found.labels
        if not any(flag_of(row.get(name), found.words) for row in rows)
    ]
    if found.flags and never:
        what = f"no record has the labels {_listed(never)}: they are not learned"
        if len(never) == 1:
            what = f"no record has the label {_listed(never)}: it is not learned"
        notes.add(str(path), what)
    return found


def flag_of(value: object, words: bool = False) -> bool | None:
    """What a cell of 0 and 1 says; with `words` also yes and no. None for anything else."""
    written = str(value).strip().casefold()
    return FLAGS.get(written, WORDS.get(written) if words else None)


def _ticked(rows: Sequence[Row], labels: Sequence[str]) -> tuple[str, ...]:
    """The columns that are empty if a text does not have the label; every other value means yes."""
    filled = {name: {str(row.get(name) or "").strip() for row in rows} - {""} for name in labels}
    return tuple(name for name in labels if all(flag_of(each, True) for each in filled[name]))


def _note_words(path: Path, rows: Sequence[Row], columns: Columns, notes: Notes) -> None:
    """Note which words are read as 1 and 0, and which empty cells as 0."""
    values = {str(row.get(name) or "").strip() for row in rows for name in columns.labels}
    for flag in (True, False):
        words = sorted(each for each in values if WORDS.get(each.casefold()) is flag)
        if words:
            notes.add(str(path), f"{_listed(words)} in columns of labels: read as {int(flag)}")
    empty = [name for name in columns.ticked if any(row.get(name) in (None, "") for row in rows)]
    if empty:
        notes.add(str(path), f"empty cells of {_listed(empty)} are read as 0")


def _named(path: Path, given: str | None, flag: str, columns: Sequence[str]) -> tuple[str, ...]:
    """The columns that a flag names, separated by commas. Raises `XinyeError` for unknown ones."""
    if not given or given in columns:
        return (given,) if given else ()
    names = tuple(given.split(","))
    for name in names:
        if name not in columns:
            near = did_you_mean(name, columns)
            raise XinyeError(
                f"{path}: no column {name!r} ({flag}); there are {', '.join(columns)}{near}"
            )
    return names


def _listed(columns: Sequence[str]) -> str:
    more = " …" if len(columns) > SHOWN else ""
    return ", ".join(map(repr, columns[:SHOWN])) + more


def _label_by_name(path: Path, rows: Sequence[Row], columns: Sequence[str]) -> str | None:
    """The label column by its name, or None. Raises `XinyeError` if there are several."""
    by_name = by_usual_name(columns)
    found = [by_name[name] for name in LABEL_NAMES if name in by_name]
    if len({tuple(str(row.get(column)) for row in rows) for column in found}) == 1:
        return found[0]
    if not found:
        found = [by_name[name] for name in PERHAPS_LABELS if name in by_name]
        found = [column for column in found if not _holds_texts(rows, column)]
    if len(found) > 1:
        raise XinyeError(
            f"{path}: which column is the label? Choose from {', '.join(map(repr, found))} with "
            "--label-field"
        )
    return found[0] if found else None


def _holds_texts(rows: Sequence[Row], column: str) -> bool:
    """True if a column's values are too many and too long to be labels, such as 评价 in a table of
    reviews.
    """
    values = [str(row.get(column)) for row in rows]
    many = len(set(values)) > min(_most_labels(rows), len(rows) - 1)
    return many and sum(map(len, values)) >= SHORTEST_TEXT * len(values)


def _most_labels(rows: Sequence[Row]) -> int:
    """The most different labels that this number of records may have."""
    return max(2, min(200, len(rows) // 4))


def _flag_columns(rows: Sequence[Row], columns: Sequence[str]) -> tuple[str, ...]:
    """The columns that only hold 0 or 1, if at least two of them hold both."""
    flags = [
        column for column in columns if all(flag_of(row.get(column)) is not None for row in rows)
    ]
    both = [column for column in flags if len({str(row[column]) for row in rows}) > 1]
    return tuple(flags) if len(both) > 1 else ()


def _check_flags(
    path: Path, rows: Sequence[Row], flags: Sequence[str], others: Sequence[str]
) -> None:
    """Raises `XinyeError` if another column might be the label. Columns that say where a record is
    from, or that differ in every record, do not count.
    """
    unknown = [
        name
        for name in others
        if name not in flags
        and name.strip().lower() not in ABOUT
        and len({str(row.get(name)) for row in rows}) < len(rows)
    ]
    if unknown:
        raise XinyeError(
            f"{path}: which columns are the labels? Name one with --label-field, or all columns of "
            f"0 and 1: --label-field {','.join(flags)}. There are also {_listed(unknown)}"
        )


def _texts(path: Path, rows: Sequence[Row], labels: Sequence[str]) -> tuple[str, ...]:
    """The columns of a pair by their names, or the only other column that holds texts. A column
    with the same value throughout does not count.
    """
    by_name = by_usual_name(column for column in rows[0])
    for one, other in PAIR_NAMES:
        if {one, other} <= by_name.keys():
            return by_name[one], by_name[other]
    same = {
        column
        for column in rows[0]
        if rows[1:] and len({str(row.get(column)) for row in rows}) == 1
    }
    left_out = {*labels, *same}
    others = [{key: row[key] for key in row if key not in left_out} for row in rows[:100]]
    try:
        return (choose_field(path, others),)
    except XinyeError as error:
        raise XinyeError(str(error).replace("--field", "--text-field")) from None


def _label_by_values(path: Path, rows: Sequence[Row], columns: list[str]) -> str:
    """The only column whose values look like labels."""
    most = _most_labels(rows)
    different = {column: len({str(row.get(column)) for row in rows}) for column in columns}
    few = [column for column in columns if 2 <= different[column] <= most]
    if not few and columns == ["1", "2"]:  # probably a table of texts and labels without a header
        fewer = min(max(different.values()), 1 + max(2, len(rows) // 2))
        few = [column for column in columns if different[column] < fewer]
    if len(few) == 1 and _are_levels(rows, few[0]):
        few += [name for name in columns if name not in few and _are_levels(rows, name)]
    if len(few) != 1:
        raise XinyeError(
            f"{path}: which column is the label? Name it with --label-field. There are "
            f"{', '.join(columns)}"
        )
    return few[0]


def _are_levels(rows: Sequence[Row], column: str) -> bool:
    """True if a column has only a few small whole numbers, such as 0, 1 and 2."""
    values = {str(row.get(column)).strip() for row in rows}
    few = 2 <= len(values) <= min(MOST_LEVELS, len(rows) - 1)
    return few and all(value.isdecimal() and len(value) <= 2 for value in values)
