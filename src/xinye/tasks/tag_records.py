"""Reads texts with spans: CoNLL's columns, or JSON with spans next to a text, or with tags next to
tokens."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from xinye.data.columns import FIELD_NAMES, find_column
from xinye.data.files import SPREADSHEETS, read_json, suffix_of
from xinye.data.notes import Notes, place_of, without_unseen
from xinye.data.records import Row
from xinye.data.sources import first_line, read_lines, read_records
from xinye.errors import XinyeError, did_you_mean, plural
from xinye.evaluation.spans import Span
from xinye.tasks.annotations import LABEL_STUDIO, annotated
from xinye.tasks.conll import TAG, TaggedToken, between_tokens, joined, read_conll, read_table
from xinye.tasks.records import (
    OnBad,
    each_record,
    expected,
    nothing_to_learn,
    refuse_line,
    rejected,
    text_in,
)
from xinye.tasks.tag_spans import TaggedText, are_spans, note_astral, tidy_spans

SPANS = '{"start": 0, "end": 2, "label": "name"} or [0, 2, "name"]'
TOKEN_NAMES = ("tokens", "words", "text")
TAG_NAMES = ("ner_tags", "tags", "ner", "labels", "label")
SPAN_NAMES = ("label", "labels", "spans", "entities", "ents", "annotations")
START = ("start", "start_offset", "start_idx")
END = ("end", "end_offset", "end_idx")
TYPE = ("label", "labels", "type", "tag", "entity_group", "entity")
WORDS = ("text", "entity")
UNITS = {  # the units that offsets may count, and how many of them a character has
    "characters": lambda character: 1,
    "bytes": lambda character: len(character.encode()),
    "utf-16": lambda character: 1 + (character > "\uffff"),
}
Borders = range | dict[int, int]  # maps each offset in a unit to its character
FEATURES = ("dataset_info.json", "dataset_infos.json")  # tags' names in Hugging Face's data sets


class Named(NamedTuple):
    """What a person said about the file: the fields of text and spans, or of tokens and tags; the
    names of numbered tags; and the unit of offsets."""

    text_field: str | None = None
    label_field: str | None = None
    tag_names: str | None = None
    offsets: str | None = None

    @property
    def unit(self) -> str:
        """The unit of offsets."""
        return self.offsets or "characters"


class Given(NamedTuple):
    """A span as a file has it, with borders in the file's unit. `words` is "" if it has none."""

    start: int
    end: int
    type: str
    words: str = ""
    last_included: bool = False  # if `end` was the last character

    @property
    def where(self) -> str:
        """The borders as the file has them, for messages."""
        return f"{self.start}–{self.end - self.last_included}"


def read_tagged(path: Path, on_bad: OnBad, named: Named, notes: Notes) -> Iterator[TaggedText]:
    """The records of a file. What cannot be read is passed to `on_bad` as an error with file and
    line. `notes` report what was left out or read differently."""
    suffix = suffix_of(path)
    if suffix in SPREADSHEETS or (
        suffix != ".parquet" and not is_json(first_line(read_lines(path)))
    ):
        read_columns = read_table if suffix in (".csv", *SPREADSHEETS) else read_conll
        yield from read_columns(path, on_bad, notes, named.text_field, named.label_field)
        return
    reader = Reader(named, TagNames(path, named.tag_names), notes)
    values = read_records(path, refuse_line(on_bad), notes=notes)
    rows = (row for line, found in values for row in rows_of(found, place_of(path, line)))
    yield from each_record(rows, reader.record, on_bad)


def is_json(line: str) -> bool:
    """True if a file's first line is JSON, and not a token such as [ with its tag."""
    return line.strip()[:1] in ("{", "[") and not TAG.fullmatch(line.split()[-1])


def rows_of(found: Any, place: str) -> Iterator[tuple[str, Any]]:
    """The rows of a value in a file, with their places. spaCy's training data are pairs of a text
    and its annotations, which some tools put into one object."""
    pairs = found.get("annotations") if isinstance(found, dict) and "classes" in found else None
    if not isinstance(pairs, list):
        pairs = [found]
    for number, pair in enumerate(pairs, 1):
        if pair is None and pair is not found:  # a text that was skipped
            continue
        where = f"{place}, annotation {number}" if len(pairs) > 1 else place
        is_pair = isinstance(pair, list) and len(pair) == 2 and isinstance(pair[1], dict)
        yield where, {"text": pair[0], **pair[1]} if is_pair else pair


@dataclass
class TagNames:
    """The names of numbered tags: as given, or from the data set's own file next to the records."""

    path: Path
    given: str | None

    @cached_property
    def features(self) -> Row:
        """The lists of names, by column. Raises `XinyeError` for a damaged file."""
        found: Row = {}
        for file in (self.path.parent / name for name in FEATURES):
            try:
                for info in _infos(file):
                    found |= _names_by_column(info.get("features", {}))
            except (AttributeError, TypeError):
                raise XinyeError(
                    f"{file}: expected features as Hugging Face writes them; correct or "
                    "delete it, or name the tags with --tag-names"
                ) from None
        return found

    def of(self, column: str, tags: Sequence[int], place: str) -> list[str]:
        """The names of these numbers. Raises `XinyeError` if a number has no name."""
        names = self.given.split(",") if self.given else self.features.get(column)
        where = f"{place}, field {column!r}"
        if names is None:
            raise XinyeError(
                f"{where}: the tags are numbers. Give their names from 0 on with --tag-names "
                f"O,B-PER,I-PER …, or put the data set's {FEATURES[0]} beside the file"
            )
        if not _is_list(names, str):
            found = json.dumps(names, ensure_ascii=False)[:60]
            raise XinyeError(
                f"{where}: expected a list of the tags' names beside the file, found {found}; "
                "correct it, or use --tag-names"
            )
        if odd := [tag for tag in tags if not 0 <= tag < len(names)]:
            named = plural(len(names), "name")
            raise XinyeError(f"{where}: the tag {odd[0]} has no name among {named}, from 0 on")
        return [names[tag].strip() for tag in tags]


def _names_by_column(features: Row) -> Row:
    """The names of each column that has some."""
    found: Row = {}
    for column, feature in features.items():
        while isinstance(feature, dict) and "names" not in feature:
            feature = feature.get("feature")
        if isinstance(feature, dict):
            found[column] = feature["names"]
    return found


def _infos(file: Path) -> list[Row]:
    """The descriptions in a data set's file, one for each configuration."""
    if not file.is_file():
        return []
    info = read_json(file)
    return [info] if "features" in info else [each for each in info.values() if each]


@dataclass(frozen=True)
class Reader:
    """Turns the rows of one file into records."""

    named: Named
    names: TagNames
    notes: Notes

    def record(self, found: Any, place: str) -> TaggedText | None:
        """The record in a row of any supported format, or None if it was not annotated or was
        rejected. Raises `XinyeError` for any other row."""
        if not isinstance(found, dict):
            raise expected(place, "an object with a text and its spans", found)
        if rejected(found):
            self.notes.add(place, f"the annotator's answer is {found['answer']!r}: left out")
            return None
        read = annotated(found, place, self.notes)
        if read is None:
            return None
        row = read.row
        if named := self._tokens_and_tags(row):
            return self._of_tokens(row, *named, place)
        text_field = self._text_field(row, place)
        text = row[text_field]
        if not text.strip():
            raise nothing_to_learn(f"{place}, field {text_field!r}", "the text is empty")
        if row.get("relations"):
            self.notes.add(place, "relations between spans are not read")
        spans: list[Span] = []
        fields = self._span_fields(row, read.tool, place)
        for field in fields:
            spans += self._spans(text, row[field], f"{place}, field {field!r}")
        kind = f"spans in {fields[0]!r}" if fields else read.tool
        if read.tool == LABEL_STUDIO:
            kind = read.tool
        elif fields and isinstance(row[fields[0]], dict):
            kind = "CLUENER"
        if text_field != "text":
            kind = f"{kind}, text in {text_field!r}"
        return TaggedText(text, tidy_spans(text, spans, place, self.notes), place, kind)

    # -- tokens with tags --------------------------------------------------------------------------

    def _tokens_and_tags(self, row: Row) -> tuple[str, str] | None:
        """The fields of tokens and tags, or None."""
        tokens = self.named.text_field or find_column(row, TOKEN_NAMES)
        tags = self.named.label_field or find_column(row, TAG_NAMES)
        if not tokens or not tags or not _is_list(row.get(tokens), str):
            return None
        return (tokens, tags) if _is_list(row.get(tags), str, int) else None

    def _of_tokens(self, row: Row, tokens: str, tags: str, place: str) -> TaggedText:
        if not row[tokens]:
            raise nothing_to_learn(f"{place}, field {tokens!r}", "no tokens")
        if len(row[tokens]) != len(row[tags]):
            raise XinyeError(
                f"{place}, field {tags!r}: expected a tag for each token, found "
                f"{plural(len(row[tokens]), 'token')} and {plural(len(row[tags]), 'tag')}"
            )
        of_tokens = row[tags]
        if _is_list(of_tokens, int):
            of_tokens = self.names.of(tags, of_tokens, place)
        rows = [
            TaggedToken(token or " ", without_unseen(str(tag)), f"{place}, field {tags!r}")
            for token, tag in zip(row[tokens], of_tokens, strict=True)
        ]
        between = between_tokens(row[tokens])
        return joined(rows, place, f"tokens in {tokens!r}, tags in {tags!r}", self.notes, between)

    # -- a text with spans -------------------------------------------------------------------------

    def _text_field(self, row: Row, place: str) -> str:
        """The field of the text: as named, by a usual name, or the only one that is a text."""
        given = self.named.text_field
        field = given or find_column(row, ("text", "data", *FIELD_NAMES))
        if given and given not in row:
            names = ", ".join(row) + did_you_mean(given, row)
            raise XinyeError(f"{place}: no field {given!r} (--text-field); there are {names}")
        texts = [name for name in row if isinstance(row[name], str)]
        if field is None and len(texts) == 1:
            return texts[0]
        if field is None:
            names = ", ".join(row) or "{}"
            raise XinyeError(
                f"{place}: expected a field 'text', found {names}; name it with --text-field"
            )
        text_in(row, field, place)
        return field

    def _span_fields(self, row: Row, tool: str, place: str) -> list[str]:
        """The fields of spans: as named, or by a usual name. In Label Studio's exports, all fields
        with spans."""
        given = self.named.label_field
        if given and given in row:
            return [given]
        if tool == LABEL_STUDIO:
            return [field for field in row if not given and are_spans(row[field])]
        lists = [name for name in row if isinstance(row[name], list | dict)]
        field = None if given else find_column(lists, SPAN_NAMES) or find_column(row, SPAN_NAMES)
        if field is None:
            what = "a field 'label' or 'spans'"
            if given:
                what = f"a field {given!r} (--label-field)"
            raise XinyeError(f"{place}: expected {what}, found {', '.join(row)}")
        return [field]

    def _spans(self, text: str, given: Any, place: str) -> Iterator[Span]:
        """The spans in a field, with borders in characters."""
        try:
            rows = list(_cluener(given) if isinstance(given, dict) else _given(given))
        except (TypeError, ValueError, KeyError, AttributeError) as error:
            reason = str(error) if type(error) is ValueError else f"found {str(given)[:60]}"
            raise XinyeError(f"{place}: expected spans such as {SPANS}; {reason}") from None
        borders = borders_of(text, self.named.unit)
        for row in rows:
            if not row.type:
                raise XinyeError(
                    f"{place}: the span {row.where} has no type; name it, or delete the span"
                )
            yield self._checked(text, borders, row, place)

    def _checked(self, text: str, borders: Borders, given: Given, place: str) -> Span:
        """A span with borders in characters. Raises `XinyeError` if it is outside the text, if its
        border is inside a character, or if its words are elsewhere."""
        unit = self.named.unit
        size = next(reversed(borders))
        if not 0 <= given.start < given.end <= size:
            raise XinyeError(
                f"{place}: expected a span within the text's {size} {unit}, found {given.where}"
                f"{better_unit(text, given, unit)}"
            )
        if odd := [border for border in (given.start, given.end) if border not in borders]:
            raise XinyeError(
                f"{place}: the span {given.where} has a border within a character, at "
                f"{odd[0]}; do its offsets count {unit}? Name their unit with --offsets"
            )
        start, end = borders[given.start], borders[given.end]
        if same(text[start:end], given.words):
            span = Span(start, end, given.type)
            if not given.words and not self.named.offsets:
                note_astral(text, span, place.partition(", field")[0], self.notes)
            return span
        if same(text[start : end + 1], given.words):
            what = (
                "the end of a span is read as the position of its last character, because "
                "that matches its words"
            )
            self.notes.add(place.partition(", field")[0], what)
            return Span(start, end + 1, given.type)
        raise XinyeError(
            f"{place}: expected the words {given.words!r} of a span at {given.where}, found "
            f"{text[start:end]!r}{better_unit(text, given, unit)}"
        )


def same(words: str, given: str) -> bool:
    """True if the words are those that the file gives, if any; spaces and line ends may differ."""
    return not given or "".join(words.split()) == "".join(given.replace("\\n", "").split())


def borders_of(text: str, unit: str) -> Borders:
    """All possible borders in a text: offsets in a unit, mapped to indices of characters."""
    if unit == "characters":
        return range(len(text) + 1)
    offsets = accumulate(map(UNITS[unit], text), initial=0)
    return {offset: number for number, offset in enumerate(offsets)}


def better_unit(text: str, given: Given, unit: str) -> str:
    """A hint at the unit of offsets with which the span's words fit, or ""."""
    if not given.words:
        hint = f"if the offsets do not count {unit}, name their unit with --offsets"
        return f"; {hint}"
    for other in UNITS:
        borders = borders_of(text, other)
        fits = given.start in borders and given.end in borders
        if fits and same(text[borders[given.start] : borders[given.end]], given.words):
            hint = f"its offsets count {other}: --offsets {other}"
            return f"; {hint}"
    return ""


def _cluener(given: Row) -> Iterator[Given]:
    """The spans in CLUENER's format: type, words, and places with the last character included."""
    for kind, forms in given.items():
        for words, found_at in forms.items():
            for first, last in found_at:
                _check_types(first, last, kind, words, {words: [first, last]})
                yield Given(first, last + 1, without_unseen(kind), words, last_included=True)


def _given(rows: Iterable[Any]) -> Iterator[Given]:
    """Spans as objects, or as start, end and type. The end is the index after the span."""
    for row in rows:
        words = ""
        if isinstance(row, dict):
            kind_field = find_column(row, TYPE)
            start, end = (row[find_column(row, names)] for names in (START, END))
            kind = row.get(kind_field)
            words = next((row[name] for name in WORDS if name in row and name != kind_field), "")
        else:
            start, end, kind = row
        for each in kind if isinstance(kind, list) else [kind]:
            if type(each) is int:
                raise ValueError(f"the type {each} is a number: export the names of types")
            _check_types(start, end, each, words, row)
            yield Given(start, end, without_unseen(str(each)), words)


def _check_types(start: Any, end: Any, kind: Any, words: Any, found: Any) -> None:
    """Raises `ValueError` unless borders are whole numbers, and type and words are texts."""
    numbers = type(start) is int and type(end) is int
    if not numbers or not isinstance(kind, str) or not isinstance(words, str):
        raise ValueError(f"found {str(found)[:60]}")


def _is_list(value: Any, *kinds: type) -> bool:
    """True for a list whose values are all of one of these types."""
    return isinstance(value, list) and any(
        all(isinstance(each, kind) for each in value) for kind in kinds
    )
