"""Reads texts that people have labelled with topics, with a mood, or with both."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from xinye.apps.monitor.documents import MOODS, NEGATIVE, NEUTRAL, POSITIVE
from xinye.data.columns import FIELD_NAMES, as_text, choose_field, find_column
from xinye.data.notes import Notes, place_of
from xinye.data.records import Row
from xinye.data.sources import find_files, read_records
from xinye.errors import XinyeError

TOPICS = (
    "topics", "topic", "category", "categories", "subject", "主题", "话题", "类别", "分类",
    "新闻类别", "新闻分类",
)  # fmt: skip
MOOD = (
    "mood", "sentiment", "polarity", "emotion", "情感", "情绪", "情感倾向", "情感极性", "倾向",
    "正负面", "极性", "态度",
)  # fmt: skip
LABELS = ("label", "labels", "标签", "标注")  # of topics or of moods: the values tell
TITLES = ("title", "headline", "标题", "题目")
# What people write for each mood. Numbers mean a mood by the set that they are from.
WORDS = {
    POSITIVE: ("positive", "pos", "good", "bullish", "正面", "积极", "正向", "利好", "好评"),
    NEUTRAL: ("neutral", "neu", "none", "中性", "中立", "无情感", "一般"),
    NEGATIVE: ("negative", "neg", "bad", "bearish", "负面", "消极", "负向", "利空", "差评"),
}  # fmt: skip
BY_WORD = {word: mood for mood in MOODS for word in WORDS[mood]}
NUMBERS = (
    {"-1": NEGATIVE, "0": NEUTRAL, "1": POSITIVE},
    {"0": NEGATIVE, "1": NEUTRAL, "2": POSITIVE},
    {"0": NEGATIVE, "1": POSITIVE},
    {"-1": NEGATIVE, "1": POSITIVE},
)
FEWEST_SPACED = 5  # topics with recurring parts until a space between them is noted
SEPARATORS = "|;；,，、"
LONGEST = 256  # characters of a document that the models read: its title and how it begins


class Columns(BaseModel):
    """The columns that a person named; those that are None are found by their usual names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text_field: str | None = Field(None, description="column of the text")
    title_field: str | None = Field(None, description="column of the title")
    topics_field: str | None = Field(None, description="column of the topics")
    mood_field: str | None = Field(None, description="column of the mood")
    topic_separator: str | None = Field(
        None, min_length=1, description="what stands between several topics (| ; , 、)"
    )


@dataclass(frozen=True)
class Labelled:
    """A text with its topics, or None if nobody has said them, and its mood, "" if nobody has."""

    text: str
    topics: tuple[str, ...] | None
    mood: str


@dataclass(frozen=True)
class _Roles:
    """The columns of topics and of moods; "" for one that there is not."""

    topics: str
    mood: str


@dataclass
class Read:
    """What was read: the texts, and notes on what was left out."""

    texts: list[Labelled] = field(default_factory=list)
    files: int = 0
    notes: Notes = field(default_factory=Notes)


def joined(title: str, text: str) -> str:
    """A document as the models read it: its title and its beginning.

    >>> joined("Profit rises", "The bank earned more.")
    'Profit rises\nThe bank earned more.'
    """
    parts = [text] if text.startswith(title) else [title, text]
    return "\n".join(part for part in parts if part)[:LONGEST]


def read_labelled(files: Sequence[str], columns: Columns) -> Read:
    """The labelled texts in files, folders and globs: tables, JSON and JSON Lines. Raises
    `XinyeError` if a file has no column of topics and none of moods, or a mood is unknown."""
    read = Read()
    for path in find_files(files):
        read.files += 1
        rows = [*read_records(path, named=_named(columns), notes=read.notes)]
        if not rows:
            of_file = read.notes.of_file(path)
            raise XinyeError(f"{path}: no records in it{of_file}")
        texts = [*_labelled(path, rows, columns, read.notes)]
        _note_repeats(texts, read.notes)
        if not columns.topic_separator:
            _note_spaces(path, texts, read.notes)
        read.texts += [each for _, each in texts]
    if not read.texts:
        left_out = "".join(f"; {note}" for note in read.notes.sentences()[:3])
        raise XinyeError(f"the files have no text with topics or with a mood{left_out}")
    return read


def _named(columns: Columns) -> list[str]:
    names = columns.model_dump(exclude={"topic_separator"})
    return [name for name in names.values() if name]


def _labelled(
    path: Path, rows: Sequence[tuple[int, Row]], given: Columns, notes: Notes
) -> Iterator[tuple[str, Labelled]]:
    """The labelled texts of a file, each with its place."""
    names = [*dict.fromkeys(chain.from_iterable(row for _, row in rows))]
    roles = _roles(path, names, [row for _, row in rows], given, notes)
    topics, mood = roles.topics, roles.mood
    title = _column(path, names, given.title_field, TITLES)
    others = [{key: row[key] for key in row if key not in (topics, mood)} for _, row in rows]
    text = _column(path, names, given.text_field, FIELD_NAMES) or choose_field(path, others[:100])
    moods = _moods(path, [row.get(mood) for _, row in rows] if mood else [])
    for number, row in rows:
        place = place_of(path, number)
        body = as_text(row.get(text)) or ""
        whole = joined((as_text(row.get(title)) or "") if title and title != text else "", body)
        of_row = _topics(row.get(topics), given.topic_separator) if topics else None
        feeling = moods[_plain(row.get(mood))] if mood else ""
        if not whole.strip():
            notes.add(place, "a record has no text, and is left out")
        elif of_row is None and not feeling:
            notes.add(place, "a record has neither topics nor a mood, and is left out")
        else:
            yield place, Labelled(whole.strip(), of_row, feeling)


def _roles(
    path: Path, names: Sequence[str], rows: Sequence[Row], given: Columns, notes: Notes
) -> _Roles:
    """The columns of topics and moods. One that is called label has what its values say."""
    topics = _column(path, names, given.topics_field, TOPICS)
    mood = _column(path, names, given.mood_field, MOOD)
    label = find_column(names, LABELS)
    if label and label not in (topics, mood):
        if not mood and _are_moods(row.get(label) for row in rows):
            notes.add(str(path), f"the column {label!r} is read as the mood, by its values")
            mood = label
        elif not topics and not mood:
            notes.add(str(path), f"the column {label!r} is read as topics, by its values")
            topics = label
    if not topics and not mood:
        raise XinyeError(
            f"{path}: cannot tell which column has the topics or the mood; name one with "
            f"--topics-field or --mood-field; the columns are: {', '.join(map(str, names))}"
        )
    return _Roles(topics, mood)


def _note_repeats(texts: Iterable[tuple[str, Labelled]], notes: Notes) -> None:
    """Note texts that come several times."""
    first: dict[str, Labelled] = {}
    for place, each in texts:
        before = first.setdefault(each.text, each)
        if before is each:
            continue
        if (before.topics, before.mood) == (each.topics, each.mood):
            notes.add(place, "a text comes again with the same labels")
        else:
            notes.add(place, "a text comes again with other labels, which confuses the models")


def _note_spaces(path: Path, texts: Iterable[tuple[str, Labelled]], notes: Notes) -> None:
    """Note topics that seem to be several with spaces between them, since their parts recur."""
    topics = {topic for _, each in texts for topic in each.topics or ()}
    spaced = [topic for topic in sorted(topics) if " " in topic]
    counts = Counter(part for topic in topics for part in {*topic.split()})
    several = [topic for topic in spaced if min(counts[part] for part in topic.split()) > 1]
    if len(several) >= FEWEST_SPACED and len(several) > len(spaced) / 2:
        notes.add(
            str(path),
            f"topics such as {several[0]!r} have parts that recur; if a space divides topics, "
            'add --topic-separator " "',
        )


def _column(path: Path, names: Sequence[str], given: str | None, usual: Iterable[str]) -> str:
    """The column that a person named, or that has a usual name; "" if there is none."""
    if given is None:
        return find_column(names, usual, endings=True) or ""
    if given not in names:
        raise XinyeError(
            f"{path}: there is no column {given!r}; the columns are: {', '.join(map(str, names))}"
        )
    return given


def _topics(value: Any, separator: str | None) -> tuple[str, ...] | None:
    """The topics in a cell; None if it is empty: whether a text has none is then unknown."""
    if isinstance(value, str) and value.strip().startswith("["):
        with suppress(ValueError):
            value = json.loads(value)
    if value is None or value == "":
        return None
    if isinstance(value, list):
        parts = [str(each) for each in value]
    else:
        text = str(value)
        for sign in separator or SEPARATORS:
            text = text.replace(sign, "\n")
        parts = text.split("\n")
    return tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))


def _moods(path: Path, values: Sequence[Any]) -> Mapping[str, str]:
    """What each value in a column of moods means; "" if the cell is empty."""
    found = {_plain(value) for value in values} - {""}
    if numbers := next((each for each in NUMBERS if found == each.keys()), None):
        return {"": "", **numbers}
    if unknown := sorted(found - BY_WORD.keys()):
        raise XinyeError(
            f"{path}: {unknown[0]!r} is no mood that is known; write positive, neutral or "
            "negative, or the numbers 0 and 1, -1 to 1, or 0 to 2"
        )
    return {"": "", **BY_WORD}


def _are_moods(values: Iterable[Any]) -> bool:
    """Whether all of these values mean a mood."""
    found = {_plain(value) for value in values} - {""}
    return bool(found) and (
        found <= BY_WORD.keys() or any(found == each.keys() for each in NUMBERS)
    )


def labels_of(role: str, text: Labelled) -> tuple[str, ...]:
    """The topics of a text, or its mood, as far as people have said them."""
    if role == "topics":
        return text.topics or ()
    return (text.mood,) if text.mood else ()


def is_labelled(role: str, labelled: Labelled) -> bool:
    """Whether somebody has said the topics of a text, or its mood."""
    return labelled.topics is not None if role == "topics" else bool(labelled.mood)


def relabelled(texts: Sequence[Labelled], later: Sequence[Labelled]) -> list[Labelled]:
    """The texts and the later ones. What was said later of the same text takes the place of what
    was said before."""
    found = {each.text: each for each in texts}
    for each in later:
        before = found.get(each.text, each)
        topics = before.topics if each.topics is None else each.topics
        found[each.text] = replace(before, topics=topics, mood=each.mood or before.mood)
    return [*found.values()]


def mood_named(name: str) -> str:
    """The mood that people call by this name, in English or Chinese; "" if it is none.

    >>> mood_named("利好"), mood_named("Negative")
    ('positive', 'negative')
    """
    return BY_WORD.get(_plain(name), "")


def _plain(value: Any) -> str:
    """A cell of a column of moods, as it is compared."""
    text = "" if value is None else str(value).strip().casefold()
    return text.removesuffix(".0")
