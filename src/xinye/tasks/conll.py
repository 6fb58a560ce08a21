"""Sentences in columns, as the tasks of CoNLL have them: a token and its tag a line, an empty line
between sentences.

Tags are of IOB1, IOB2 or BIOES (BMES, BILOU). The token stands in the first column, or behind the
number that CoNLL-U gives it, and the tag in the last column that holds tags. A comment begins with
"#". A table in CSV has a column more, which says where a sentence begins.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from typing import NamedTuple

from xinye.data.columns import find_column
from xinye.data.notes import Notes, place_of, without_unseen
from xinye.data.sources import read_lines, read_records
from xinye.errors import XinyeError
from xinye.evaluation.spans import Span
from xinye.evaluation.tokenizers import language
from xinye.tasks.records import OnBad, refuse_line
from xinye.tasks.tag_spans import TaggedText, tidy_spans

TAG = re.compile(r"O|([BIESLUM])[-_](.+)")
TOKEN_NAMES = ("word", "token", "words", "tokens", "字", "词")  # of a table's columns
TAG_NAMES = ("tag", "ner_tag", "ner", "tags", "ner_tags", "label", "标签")
SENTENCE = "sentence #"
SENTENCE_NAMES = (SENTENCE, "sentence_id", "sentence", "sent_id", "句子")
HEAD_LINES = 1000  # lines looked at to see how many columns there are
NEARLY_ALL = 0.9  # of what must be tags, for a few may be mistyped
_NUMBER = re.compile(r"\d+([-.]\d+)?")  # of a token in CoNLL-U; 1-2 and 1.1 are no tokens
_ADVICE = "if the token has spaces, put a tab before its tag"


class TaggedToken(NamedTuple):
    """A token with its tag."""

    token: str
    tag: str
    place: str = ""


class Line(NamedTuple):
    """A line's columns; none between sentences."""

    cells: list[str]
    place: str = ""


Sentences = list[list[TaggedToken]]
OUTSIDE = TaggedToken("", "O")  # between sentences
BORDER = Line([])


def read_conll(
    path: Path,
    on_bad: OnBad,
    notes: Notes,
    token_field: str | None = None,
    tag_field: str | None = None,
) -> Iterator[TaggedText]:
    """The sentences of a file of columns; which of them hold tokens and tags can be said by their
    numbers, from 1."""
    lines = list(_lines(path, on_bad, notes))
    filled = [line for line in lines if line.cells]
    header: list[str] = []
    if filled and _is_header(filled[0].cells):
        header = filled[0].cells
        notes.add(filled[0].place, f"the first line is a header: {', '.join(header)}")
        lines.remove(filled.pop(0))
    if not filled:
        return
    width = len(filled[0].cells)
    numbered = not header and width > 2 and filled[0].cells[0] in ("0", "1", "1-2")
    numbered = numbered and all(_NUMBER.fullmatch(line.cells[0]) for line in filled)
    token_column = _column(path, "--text-field", token_field, width, header)
    if token_column is None:
        token_column = _named(header, TOKEN_NAMES)
    if token_column is None:
        token_column = int(numbered)
    tag_column = _column(path, "--label-field", tag_field, width, header)
    if tag_column is None:
        tag_column = _named(header, TAG_NAMES)
    if tag_column is None:
        tag_column = _tag_column(filled, token_column, notes)
    sentence_column = _named(header, SENTENCE_NAMES)
    sentence = ""
    sentences: Sentences = [[]]
    for cells, place in lines:
        if cells and sentence_column is not None and cells[sentence_column] not in ("", sentence):
            sentence = cells[sentence_column]
            sentences.append([])
        if not cells:
            sentences.append([])
        elif numbered and not cells[0].isdecimal():
            notes.add(place, "a line of a multiword token or an empty node is left out")
        else:
            token = cells[token_column]
            if not token.strip(" "):
                token = " "
                notes.add(place, "a token is a space")
            elif " " in token:
                notes.add(place, "the words before a tab are read as one token")
            sentences[-1].append(TaggedToken(token, without_unseen(cells[tag_column]), place))
    yield from _records(sentences, "CoNLL columns in {scheme}", on_bad, notes)


def read_table(
    path: Path,
    on_bad: OnBad,
    notes: Notes,
    token_field: str | None = None,
    tag_field: str | None = None,
) -> Iterator[TaggedText]:
    """The sentences of a table with a token and its tag a row, and a column that says where a
    sentence begins: by its number in each row, or in the first alone."""
    usual = (*TOKEN_NAMES, *TAG_NAMES, *SENTENCE_NAMES)
    headers = [*usual, *map(str.capitalize, usual)]
    rows = list(read_records(path, refuse_line(on_bad), headers, notes=notes))
    columns = list(rows[0][1]) if rows else []
    token_column = token_field or find_column(columns, TOKEN_NAMES)
    tag_column = tag_field or find_column(columns, TAG_NAMES)
    sentence_column = find_column(columns, SENTENCE_NAMES)
    if token_column not in columns or tag_column not in columns:
        raise XinyeError(
            f"{path}, line 1: expected a token and its tag in columns such as Word and Tag, found "
            f"{', '.join(columns)}; name them with --text-field and --label-field"
        )
    if sentence_column is None:
        raise XinyeError(
            f"{path}, line 1: no column says where a sentence begins. Add one called {SENTENCE!r}"
        )
    sentences: Sentences = [[]]
    number = ""
    for line, row in rows:
        if row[sentence_column].strip() not in ("", number):
            number = row[sentence_column].strip()
            sentences.append([])
        token, tag = row[token_column] or " ", without_unseen(row[tag_column])
        sentences[-1].append(TaggedToken(token, tag, place_of(path, line)))
    yield from _records(sentences, "a table of tokens in {scheme}", on_bad, notes)


def _records(sentences: Sentences, kind: str, on_bad: OnBad, notes: Notes) -> Iterator[TaggedText]:
    """Each sentence that has tokens as a record, whose format is of a `kind` with its scheme."""
    scheme = _scheme([row.tag for rows in sentences for row in (OUTSIDE, *rows)])
    tokens = [row.token for rows in sentences for row in rows]
    between = between_tokens(tokens)  # the same in the whole file: a sentence can be one number
    for rows in filter(None, sentences):
        try:
            yield joined(rows, rows[0].place, kind.format(scheme=scheme), notes, between)
        except XinyeError as error:
            on_bad(error)


def _lines(path: Path, on_bad: OnBad, notes: Notes) -> Iterator[Line]:
    """The lines of a file, without comments; one with fewer or more columns than most have is
    bad."""
    first = islice((line for _, line in read_lines(path)), HEAD_LINES)
    head = [line for line in first if line.strip() and not line.startswith(("#", "-DOCSTART-"))]
    tabbed = any("\t" in line.strip() for line in head[:1])
    widths = Counter(len(_cells(line)) for line in head)
    width = widths.most_common(1)[0][0] if widths else 0
    for number, line in read_lines(path):
        place = place_of(path, number)
        cells = _cells(line)
        if width and line.startswith("#") and _is_comment(line, tabbed, width):
            notes.add(place, "a comment, a line that begins with #, is left out")
        elif not line.strip() or cells[0] == "-DOCSTART-":
            yield BORDER
        else:
            if len(cells) == width - 1 and line[0] in " \t":
                cells = ["", *cells]
            if len(cells) < 2 or len(cells) != width:
                what = f"{place}: expected a token and its tag, found {line[:40]!r}"
                on_bad(XinyeError(f"{what}; {_ADVICE}" if len(cells) > width else what))
                continue
            yield Line(cells, place)


def _is_header(cells: Sequence[str]) -> bool:
    """Whether these are names of columns: those of the token and of the tag."""
    return bool(find_column(cells, TOKEN_NAMES) and find_column(cells, TAG_NAMES))


def _cells(line: str) -> list[str]:
    """A line's columns, with tabs between where there are any: then a token may have spaces."""
    bare = line.strip(" \t\r")
    if "\t" not in bare:
        return re.split(" +", bare)
    return [column.strip(" \r") for column in bare.split("\t")]


def _is_comment(line: str, tabbed: bool, width: int) -> bool:
    """Whether a line with # at its begin is no token: it has other columns, or no tag."""
    cells = line.split("\t") if tabbed else line.split()
    return len(cells) != width or not any(TAG.fullmatch(cell.strip()) for cell in cells[1:])


def _named(header: Sequence[str], names: Sequence[str]) -> int | None:
    """The column, from 0, that the header calls by one of these names."""
    name = find_column(header, names)
    return None if name is None else header.index(name)


def _column(
    path: Path, flag: str, given: str | None, width: int, header: Sequence[str]
) -> int | None:
    """The column that a person named, by a name of the header or by its number, from 0."""
    if given is None:
        return None
    if given in header:
        return header.index(given)
    if not given.isdecimal() or not 0 < int(given) <= width:
        raise XinyeError(
            f"{path}: {flag} {given}: without a header the columns have numbers, here 1 to {width}"
        )
    return int(given) - 1


def _tag_column(lines: Sequence[Line], token_column: int, notes: Notes) -> int:
    """The last of the columns that hold tags."""
    columns = [column for column in range(len(lines[0].cells)) if column != token_column]
    found = {
        column: sum(TAG.fullmatch(line.cells[column]) is not None for line in lines)
        for column in columns
    }
    most = max(found.values())
    holding = [column for column in columns if found[column] >= NEARLY_ALL * most]
    if most and len(holding) > 1:
        numbers = ", ".join(str(column + 1) for column in holding)
        what = f"columns {numbers} hold tags: the last is read; --label-field chooses another"
        notes.add(lines[0].place, what)
    return holding[-1]


def _scheme(tags: Sequence[str]) -> str:
    """By what a span is said to begin and end."""
    if any(re.match("[ESLUM][-_]", tag) for tag in tags):
        return "BIOES"
    inside = [(before, tag) for before, tag in pairwise(tags) if re.match("I[-_]", tag)]
    return "IOB2" if all(before[2:] == tag[2:] for before, tag in inside) else "IOB1"


def between_tokens(tokens: Sequence[str]) -> str:
    """The separator of the tokens of a text: a space, or nothing for Chinese."""
    return "" if language("".join(tokens)) == "chinese" else " "


def joined(
    rows: Sequence[TaggedToken], place: str, kind: str, notes: Notes, between: str
) -> TaggedText:
    """The text of tokens and the spans of their tags, in whichever scheme."""
    spans: list[Span] = []
    at, open_type = 0, ""
    for token, tag, where in rows:
        match = TAG.fullmatch(tag)
        if not match:
            raise XinyeError(f"{where}: expected a tag such as O, B-PER or I-PER, found {tag!r}")
        prefix, of_type = match.groups()
        end = at + len(token)
        if prefix and prefix in "IELM" and of_type == open_type:
            spans[-1] = spans[-1]._replace(end=end)
        elif prefix:
            spans.append(Span(at, end, of_type))
        open_type = of_type if prefix and prefix not in "ESLU" else ""
        at = end + len(between)
    text = between.join(row.token for row in rows)
    return TaggedText(text, tidy_spans(text, spans, place, notes), place, kind)
