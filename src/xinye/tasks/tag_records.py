"""Records of texts with spans: CoNLL columns (a token and its tag a line, an empty line between
sentences; IOB1, IOB2 or BIOES), CLUENER's JSON lines, or JSON with spans."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from xinye.data.sources import read_lines
from xinye.errors import XinyeError
from xinye.evaluation.spans import Span
from xinye.evaluation.tokenizers import language
from xinye.tasks.records import OnBad

EXPECTED = (
    'CoNLL lines ("token TAG"), CLUENER lines ({"text": …, "label": {type: {words: [[first, '
    "last]]}}}) or spans "
    '({"text": …, "spans": [{"start": 0, "end": 2, "label": type}]})'
)


@dataclass(frozen=True)
class Record:
    """A text, its spans, where it stands ("train.json, line 17"), and the format that it was found
    in."""

    text: str
    spans: tuple[Span, ...]
    place: str
    format: str = field(default="", compare=False)

    @property
    def whole(self) -> str:
        return self.text


def read_conll(path: Path, on_bad: OnBad) -> Iterator[Record]:
    """The sentences of a file of columns: the first is the token, the last its tag."""
    sentences: list[list[tuple[int, str, str]]] = [[]]
    for number, line in read_lines(path):
        parts = line.split()
        if parts and parts[0] == "-DOCSTART-":
            continue
        if not parts:
            sentences.append([])
        elif len(parts) < 2:
            on_bad(
                XinyeError(
                    f"{path}, line {number}: expected a token and its tag, found {line[:40]!r}"
                )
            )
        else:
            sentences[-1].append((number, parts[0], parts[-1]))
    tags = [tag for rows in sentences for tag in ("O", *(row[2] for row in rows))]
    kind = f"CoNLL columns, {_scheme(tags)}"
    for rows in filter(None, sentences):
        try:
            yield _joined(
                path, [token for _, token, _ in rows], [(line, tag) for line, _, tag in rows], kind
            )
        except XinyeError as error:
            on_bad(error)


def _scheme(tags: Sequence[str]) -> str:
    """By what a span is said to begin and end."""
    if any(tag[:2] in ("E-", "S-", "L-", "U-") for tag in tags):
        return "BIOES"
    inside = [(before, tag) for before, tag in pairwise(tags) if tag.startswith("I-")]
    return "IOB2" if all(before[2:] == tag[2:] for before, tag in inside) else "IOB1"


def _joined(
    path: Path, tokens: Sequence[str], tags: Sequence[tuple[int, str]], kind_of_file: str
) -> Record:
    """The text of tokens (Chinese ones without spaces between) and the spans of their tags, in
    whichever scheme."""
    between = "" if language("".join(tokens)) == "chinese" else " "
    spans: list[Span] = []
    at, open_type = 0, ""
    for token, (line, tag) in zip(tokens, tags, strict=True):
        match = re.fullmatch(r"O|([BIESLUM])-(.+)", tag)
        if not match:
            raise XinyeError(
                f"{path}, line {line}: expected a tag such as O, B-PER or I-PER, found {tag!r}"
            )
        start, at = at, at + len(token) + len(between)
        prefix, kind = match.groups()
        if not prefix:
            open_type = ""
        elif prefix in "IELM" and kind == open_type:
            spans[-1] = spans[-1]._replace(end=start + len(token))
        else:
            spans.append(Span(start, start + len(token), kind))
        if prefix:
            open_type = "" if prefix in "ESLU" else kind
    return Record(between.join(tokens), tuple(spans), f"{path}, line {tags[0][0]}", kind_of_file)


def span_record(row: Any, place: str) -> Record:
    """A row in whichever format it is."""
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise XinyeError(
            f"{place}: expected {EXPECTED}; found {json.dumps(row, ensure_ascii=False)[:60]}"
        )
    text = row["text"]
    if not text.strip():
        raise XinyeError(
            f"{place}, field 'text': the text is empty, so that there is nothing to learn from"
        )
    field = next((name for name in ("label", "labels", "spans", "entities") if name in row), None)
    if field is None:
        raise XinyeError(f"{place}: expected a field 'label' or 'spans', found {', '.join(row)}")
    cluener = isinstance(row[field], dict)
    try:
        spans = list(_cluener(text, row[field]) if cluener else _given(row[field]))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        reason = str(error) if type(error) is ValueError else f"found {str(row[field])[:60]}"
        raise XinyeError(f"{place}, field {field!r}: expected {EXPECTED}; {reason}") from None
    for span in spans:
        if not 0 <= span.start < span.end <= len(text):
            raise XinyeError(
                f"{place}, field {field!r}: expected a span within the text's {len(text)} "
                f"characters, found {span.start}–{span.end}"
            )
    return Record(
        text, tuple(sorted(set(spans))), place, "CLUENER" if cluener else f"spans in {field!r}"
    )


def _cluener(text: str, given: dict[str, Any]) -> Iterator[Span]:
    """CLUENER's: type, words, and where they stand, the last character included."""
    for kind, forms in given.items():
        for words, found_at in forms.items():
            for first, last in found_at:
                if text[first : last + 1] != words:
                    found = text[first : last + 1]
                    raise ValueError(
                        f"found {words!r} said to stand at {first}–{last}, where {found!r} stands"
                    )
                yield Span(first, last + 1, kind)


def _given(rows: Sequence[Any]) -> Iterator[Span]:
    """Spans as objects, or as start, end and type; the end is the character behind."""
    for row in rows:
        if isinstance(row, dict):
            start, end, kind = row["start"], row["end"], row.get("label", row.get("type"))
        else:
            start, end, kind = row
        if not isinstance(start, int) or not isinstance(end, int) or not isinstance(kind, str):
            raise ValueError(f"found {row}")
        yield Span(start, end, kind)
