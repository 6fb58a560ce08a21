"""Reads sentences in CoNLL's columns: a token and its tag per line, an empty line between
sentences.

The tags can be IOB1, IOB2 or BIOES (BMES, BILOU). The token is in the first column, or after
CoNLL-U's number; the tag is in the last column that holds tags. A comment begins with "#". A table
in CSV has one more column, which says where a sentence begins.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import chain, islice, pairwise
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
TOKEN_NAMES = ("word", "token", "words", "tokens", "字", "词")  # names of a table's columns
TAG_NAMES = ("tag", "ner_tag", "ner", "tags", "ner_tags", "label", "标签")
SENTENCE = "sentence #"
SENTENCE_NAMES = (SENTENCE, "sentence_id", "sentence", "sent_id", "句子")
HEAD_LINES = 1000  # lines that are read to count the columns
NEARLY_ALL = 0.9  # the share of a column that must be tags; a few may be mistyped
_NUMBER = re.compile(r"\d+([-.]\d+)?")  # a token's number in CoNLL-U; 1-2 and 1.1 are not tokens
_ADVICE = "if the token has spaces, put a tab before its tag"


class TaggedToken(NamedTuple):
    """A token with its tag, or the problem of a bad line, which makes its whole sentence bad."""

    token: str
    tag: str
    place: str = ""
    problem: str = ""


class Line(NamedTuple):
    """The columns of a line. There are none between sentences and for a bad line."""

    cells: list[str]
    place: str = ""
    problem: str = ""


Sentences = list[list[TaggedToken]]
OUTSIDE = TaggedToken("", "O")  # used between sentences
BORDER = Line([])


def read_conll(
    path: Path,
    on_bad: OnBad,
    notes: Notes,
    token_field: str | None = None,
    tag_field: str | None = None,
) -> Iterator[TaggedText]:
    """The sentences of a file in CoNLL's columns.

    `token_field` and `tag_field` name columns by the header, or by number from 1. A sentence with a
    bad line is passed to `on_bad`.
    """
    lines = list(_lines(path, notes))
    filled = [line for line in lines if line.cells]
    header: list[str] = []
    if filled and _is_header(filled[0].cells):
        header = filled[0].cells
        notes.add(filled[0].place, f"the first line is a header: {', '.join(header)}")
        lines.remove(filled.pop(0))
    if not filled:
        for line in lines:
            if line.problem:
                on_bad(XinyeError(line.problem))
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
    for cells, place, problem in lines:
        if cells and sentence_column is not None and cells[sentence_column] not in ("", sentence):
            sentence = cells[sentence_column]
            sentences.append([])
        if problem:
            sentences[-1].append(OUTSIDE._replace(problem=problem))
        elif not cells:
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
    """The sentences of a table with one token and its tag per row. One column says where a sentence
    begins: with its number in every row, or only in the first.
    """
    usual = (*TOKEN_NAMES, *TAG_NAMES, *SENTENCE_NAMES)
    headers = [*usual, *map(str.capitalize, usual)]
    bad: list[XinyeError] = []  # the errors of the rows just before
    rows = read_records(path, refuse_line(bad.append), headers, notes=notes)
    first = list(islice(rows, 1))
    columns = list(first[0][1]) if first else []
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
    for line, row in chain(first, rows):
        # A bad row may belong to the sentence before it or after it, so both are bad.
        gaps = [OUTSIDE._replace(problem=str(error)) for error in bad]
        bad.clear()
        sentences[-1] += gaps
        if row[sentence_column].strip() not in ("", number):
            number = row[sentence_column].strip()
            sentences.append(gaps)
        token, tag = row[token_column] or " ", without_unseen(row[tag_column])
        sentences[-1].append(TaggedToken(token, tag, place_of(path, line)))
    sentences[-1] += [OUTSIDE._replace(problem=str(error)) for error in bad]
    yield from _records(sentences, "a table of tokens in {scheme}", on_bad, notes)


def _records(sentences: Sentences, kind: str, on_bad: OnBad, notes: Notes) -> Iterator[TaggedText]:
    """A record for each sentence that has tokens; `kind` describes the format. A sentence with a
    bad line is bad as a whole, because without that line it would mean something else.
    """
    whole: Sentences = []
    for rows in filter(None, sentences):
        problem = next((row.problem for row in rows if row.problem), "")
        if problem:
            on_bad(XinyeError(problem))
        else:
            whole.append(rows)
    sentences = whole
    scheme = _scheme([row.tag for rows in sentences for row in (OUTSIDE, *rows)])
    tokens = [row.token for rows in sentences for row in rows]
    # decided for the whole file, because a sentence may be a single number
    between = between_tokens(tokens)
    for rows in sentences:
        try:
            yield joined(rows, rows[0].place, kind.format(scheme=scheme), notes, between)
        except XinyeError as error:
            on_bad(error)


def _lines(path: Path, notes: Notes) -> Iterator[Line]:
    """The lines of a file without comments. A line with another number of columns than most is
    bad.
    """
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
                yield Line([], place, f"{what}; {_ADVICE}" if len(cells) > width else what)
            else:
                yield Line(cells, place)


def _is_header(cells: Sequence[str]) -> bool:
    """True if the cells are names for the columns of token and tag."""
    return bool(find_column(cells, TOKEN_NAMES) and find_column(cells, TAG_NAMES))


def _cells(line: str) -> list[str]:
    """The columns of a line. If it has tabs, only they separate columns, and a token may contain
    spaces.
    """
    bare = line.strip(" \t\r")
    if "\t" not in bare:
        return re.split(" +", bare)
    return [column.strip(" \r") for column in bare.split("\t")]


def _is_comment(line: str, tabbed: bool, width: int) -> bool:
    """True if a line that begins with # is not a token: it has another number of columns, or no
    tag.
    """
    cells = line.split("\t") if tabbed else line.split()
    return len(cells) != width or not any(TAG.fullmatch(cell.strip()) for cell in cells[1:])


def _named(header: Sequence[str], names: Sequence[str]) -> int | None:
    """The index of the column with one of these names, or None."""
    name = find_column(header, names)
    return None if name is None else header.index(name)


def _column(
    path: Path, flag: str, given: str | None, width: int, header: Sequence[str]
) -> int | None:
    """The index of the column that a person named by the header or by number, or None. Raises
    `XinyeError` if there is no such column.
    """
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
    """The index of the last column that holds tags."""
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
    """The tagging scheme, which decides where a span begins and ends."""
    if any(re.match("[ESLUM][-_]", tag) for tag in tags):
        return "BIOES"
    inside = [(before, tag) for before, tag in pairwise(tags) if re.match("I[-_]", tag)]
    return "IOB2" if all(before[2:] == tag[2:] for before, tag in inside) else "IOB1"


def between_tokens(tokens: Sequence[str]) -> str:
    """What separates the tokens of a text: a space, or nothing in Chinese."""
    return "" if language("".join(tokens)) == "chinese" else " "


def joined(
    rows: Sequence[TaggedToken], place: str, kind: str, notes: Notes, between: str
) -> TaggedText:
    """The text of these tokens with the spans of their tags, in any scheme. Raises `XinyeError` for
    a tag that is invalid.
    """
    spans: list[Span] = []
    at, open_type = 0, ""
    for token, tag, where, _ in rows:
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
