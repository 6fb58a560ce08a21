"""Spans of a text: as records have them, as tags of its tokens, and back.

Records are CoNLL columns (a token and its tag a line, an empty line between sentences; IOB1, IOB2
or BIOES), CLUENER's JSON lines, or JSON with spans. The tags of tokens are of IOB2: `B-` begins a
span, `I-` goes on with it.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import torch

from xinye.data.notes import Notes, without_unseen
from xinye.data.records import Row
from xinye.data.sources import read_lines
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.evaluation.spans import Span
from xinye.evaluation.tokenizers import language
from xinye.model.heads import IGNORED
from xinye.tasks.records import (
    OnBad,
    expected,
    nothing_to_learn,
    rejected,
    sentence_borders,
    sentence_ends,
    usual,
)

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

    @property
    def labels(self) -> list[str]:
        return [span.type for span in self.spans]

    @property
    def answer(self) -> tuple[Span, ...]:
        return self.spans


class Tagged(NamedTuple):
    """A line of a file of columns."""

    token: str
    tag: str
    place: str = ""


OUTSIDE = Tagged("", "O")  # between sentences


def read_conll(path: Path, on_bad: OnBad, notes: Notes) -> Iterator[Record]:
    """The sentences of a file of columns: the first is the token, the last its tag."""
    sentences: list[list[Tagged]] = [[]]
    columns = 0  # of the first line; where those are two, a third word would be lost
    for number, line in read_lines(path):
        place = f"{path}, line {number}"
        parts = _columns(line, place, notes)
        if not parts or parts[0] == "-DOCSTART-":
            sentences.append([])
        elif len(parts) == 1 or (columns == 2 and len(parts) > 2):
            advice = "; where a token has spaces, put a tab before its tag" if parts[1:] else ""
            what = f"expected a token and its tag, found {line[:40]!r}{advice}"
            on_bad(XinyeError(f"{place}: {what}"))
        else:
            columns = columns or len(parts)
            sentences[-1].append(Tagged(parts[0], without_unseen(parts[-1]), place))
    kind = f"CoNLL columns, {_scheme([row.tag for rows in sentences for row in (OUTSIDE, *rows)])}"
    for rows in filter(None, sentences):
        try:
            yield _joined(rows, kind)
        except XinyeError as error:
            on_bad(error)


def _columns(line: str, place: str, notes: Notes) -> list[str]:
    """A line's columns, with tabs between where there are any: then a token may have spaces."""
    if "\t" not in line.strip():
        return line.split()
    columns = [column.strip() for column in line.strip().split("\t")]
    if " " in columns[0]:
        notes.add(place, "a token has several words before its tab, which stay together")
    return columns


def _scheme(tags: Sequence[str]) -> str:
    """By what a span is said to begin and end."""
    if any(tag[:2] in ("E-", "S-", "L-", "U-") for tag in tags):
        return "BIOES"
    inside = [(before, tag) for before, tag in pairwise(tags) if tag.startswith("I-")]
    return "IOB2" if all(before[2:] == tag[2:] for before, tag in inside) else "IOB1"


def _joined(rows: Sequence[Tagged], kind_of_file: str) -> Record:
    """The text of tokens (Chinese ones without spaces between) and the spans of their tags, in
    whichever scheme."""
    between = "" if language("".join(row.token for row in rows)) == "chinese" else " "
    spans: list[Span] = []
    at, open_type = 0, ""
    for token, tag, place in rows:
        match = re.fullmatch(r"O|([BIESLUM])-(.+)", tag)
        if not match:
            raise XinyeError(f"{place}: expected a tag such as O, B-PER or I-PER, found {tag!r}")
        prefix, kind = match.groups()
        end = at + len(token)
        if prefix and prefix in "IELM" and kind == open_type:
            spans[-1] = spans[-1]._replace(end=end)
        elif prefix:
            spans.append(Span(at, end, kind))
        open_type = kind if prefix and prefix not in "ESLU" else ""
        at = end + len(between)
    text = between.join(row.token for row in rows)
    return Record(text, tuple(spans), rows[0].place, kind_of_file)


def span_record(row: Any, place: str, notes: Notes) -> Record | None:
    """A row in whichever format it is; None for one that its annotator refused."""
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise expected(place, EXPECTED, row)
    text = row["text"]
    if not text.strip():
        raise nothing_to_learn(f"{place}, field 'text'", "the text is empty")
    field = usual(("label", "labels", "spans", "entities"), row)
    if field is None:
        raise XinyeError(f"{place}: expected a field 'label' or 'spans', found {', '.join(row)}")
    if rejected(row):
        notes.add(place, f"the annotator's answer is {row['answer']!r}: left out")
        return None
    cluener = isinstance(row[field], dict)
    try:
        spans = list(_cluener(text, row[field]) if cluener else _given(row[field]))
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        reason = str(error) if type(error) is ValueError else f"found {str(row[field])[:60]}"
        raise XinyeError(f"{place}, field {field!r}: expected {EXPECTED}; {reason}") from None
    for span in spans:
        if not span.type:
            raise XinyeError(
                f"{place}, field {field!r}: the span {span.start}–{span.end} has no label; name "
                "its type, or delete it"
            )
        if not 0 <= span.start < span.end <= len(text):
            raise XinyeError(
                f"{place}, field {field!r}: expected a span within the text's {len(text)} "
                f"characters, found {span.start}–{span.end}"
            )
    if len(set(spans)) < len(spans):
        notes.add(place, "a span stands there twice, and is learned once")
    kind = "CLUENER" if cluener else f"spans in {field!r}"
    return Record(text, tuple(sorted(set(spans))), place, kind)


def _cluener(text: str, given: Row) -> Iterator[Span]:
    """CLUENER's: type, words, and where they stand, the last character included."""
    for kind, forms in given.items():
        for words, found_at in forms.items():
            for first, last in found_at:
                found = text[first : last + 1]
                if found != words:
                    raise ValueError(
                        f"found {words!r} said to stand at {first}–{last}, where {found!r} stands"
                    )
                yield Span(first, last + 1, without_unseen(kind))


def _given(rows: Sequence[Any]) -> Iterator[Span]:
    """Spans as objects, or as start, end and type; the end is the character behind."""
    for row in rows:
        if isinstance(row, dict):
            start, end, kind = row["start"], row["end"], row.get("label", row.get("type"))
        else:
            start, end, kind = row
        if not isinstance(start, int) or not isinstance(end, int) or not isinstance(kind, str):
            raise ValueError(f"found {row}")
        yield Span(start, end, without_unseen(kind))


# -- spans and tags -------------------------------------------------------------------------------


def marked(text: str, spans: Iterable[Span]) -> str:
    """A text with its spans in brackets: "[沈知秋 name]认为"."""
    shown, at = "", 0
    for span in sorted(spans):
        shown += f"{text[at : span.start]}[{text[span.start : span.end]} {span.type}]"
        at = span.end
    return shown + text[at:]


@dataclass(frozen=True)
class Part:
    """A text, or a part of a long one, as tokens; offsets are in the whole text, (0, 0) for tokens
    that stand for nothing in it, `sentences` is as an example has it."""

    tokens: list[int]
    offsets: list[tuple[int, int]]
    sentences: tuple[int, ...] = ()


def parts_of(tokenizer: Tokenizer, text: str, context: int) -> list[Part]:
    """A text in parts of at most `context` tokens, cut behind a sentence where there is one;
    nothing is left out."""
    [encoding] = tokenizer.encodings([text], special_tokens=True)
    all_ids, all_offsets = encoding.ids, encoding.offsets  # a new list of all, each time
    inside = [i for i, part in enumerate(encoding.sequence_ids) if part is not None]
    if not inside:
        return [Part(all_ids or [tokenizer.bos_id], [(0, 0)] * max(1, len(all_ids)))]
    before, behind = all_ids[: inside[0]], all_ids[inside[-1] + 1 :]
    ids = [all_ids[i] for i in inside]
    raw = [all_offsets[i] for i in inside]
    offsets, room = trimmed(text, raw), context - len(before) - len(behind)
    ends_of_sentences = sentence_ends(text)
    parts, at = [], 0
    while at < len(ids):
        end = min(len(ids), at + room)
        if end < len(ids):
            latest = bisect_right(ends_of_sentences, raw[end - 1][1]) - 1
            ends = [
                i
                for i in range(end, at + room // 4, -1)
                if latest >= 0 and raw[i - 1][1] <= ends_of_sentences[latest]
            ]
            while end > at + 1 and not ends and raw[end][0] < raw[end - 1][1]:
                end -= 1  # not between the bytes of a character
            end = ends[0] if ends else end
        none = [(0, 0)]
        own = none * len(before) + offsets[at:end] + none * len(behind)
        borders = sentence_borders(ends_of_sentences, raw[at:end], len(before))
        parts.append(Part(before + ids[at:end] + behind, own, borders))
        at = end
    return parts


def trimmed(text: str, offsets: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Offsets without the spaces at a token's begin and end; (0, 0) where nothing is left."""
    result = []
    for start, end in offsets:
        piece = text[start:end]
        start += len(piece) - len(piece.lstrip())
        end -= len(piece) - len(piece.rstrip())
        result.append((start, end) if start < end else (0, 0))
    return result


def targets_of(
    offsets: Sequence[tuple[int, int]], spans: Sequence[Span], number: dict[str, int]
) -> list[int]:
    """The tag of each token; of one that stands for nothing, -100."""
    ordered = sorted(spans)
    starts = [span.start for span in ordered]
    targets, open_span = [], None
    for start, end in offsets:
        if start == end:
            targets.append(IGNORED)
            continue
        at = bisect_right(starts, end - 1) - 1
        span = ordered[at] if at >= 0 and ordered[at].end > start else None
        targets.append(
            0 if span is None else number[f"{'I' if span is open_span else 'B'}-{span.type}"]
        )
        open_span = span
    return targets


def inside_spans(tags: Sequence[str]) -> frozenset[int]:
    """The tokens that go on with a span; "" is the tag of one that stands for nothing, perhaps
    within a span."""
    found, going_on = set(), False
    for at in reversed(range(len(tags))):
        going_on = tags[at].startswith("I-") or (going_on and not tags[at])
        if going_on:
            found.add(at)
    return frozenset(found)


def likeliest(scores: torch.Tensor, lengths: torch.Tensor, labels: Sequence[str]) -> torch.Tensor:
    """The tags (B, T) that are the likeliest together, from log-probabilities (B, T, L), where `I-`
    only goes on with a span of its type (Viterbi's algorithm). Each taken alone, half-sure tags
    tear spans apart: see docs/log.md."""
    begun = [label.startswith("I-") and f"B-{label[2:]}" in labels for label in labels]
    may_follow = torch.tensor([
        [not begins or before[1:] == label[1:] for label, begins in zip(labels, begun, strict=True)]
        for before in labels
    ])  # fmt: skip
    penalty = torch.zeros(may_follow.shape).masked_fill(~may_follow, -1e4)  # (L, L), from and to
    behind = torch.arange(scores.shape[1]) >= lengths[:, None]
    # so that what stands behind a text decides nothing
    scores = scores.masked_fill(behind[..., None], 0.0)
    best, origins = scores[:, 0] + torch.tensor(begun) * -1e4, []  # (B, L)
    for at in range(1, scores.shape[1]):
        best, origin = (best[:, :, None] + penalty).max(1)
        best = best + scores[:, at]
        origins.append(origin)
    path = [best.argmax(-1)]
    for origin in reversed(origins):
        path.append(origin.gather(1, path[-1][:, None]).squeeze(1))
    return torch.stack(path[::-1], 1)


def type_of(tag: str) -> tuple[str, bool]:
    """The type that a tag names, and whether it may go on with a span: also one of BMES, BIOES or
    BILOU, as models of other tools have them. One without such a part, `PER` or `LABEL_1`, is a
    type that goes on, as transformers reads it."""
    part, dash, kind = tag.partition("-")
    if not dash or part not in tuple("BISUMEL"):
        return tag, True
    return kind, part in tuple("IMEL")


def spans_of(
    offsets: Sequence[tuple[int, int]], tags: Sequence[tuple[str, float]]
) -> list[tuple[Span, float]]:
    """The spans that tags say: `B-` begins one; so does an `I-` that goes on with nothing."""
    found: list[tuple[Span, list[float]]] = []
    open_type = ""
    for (start, end), (tag, probability) in zip(offsets, tags, strict=True):
        if start == end:
            continue
        kind, goes_on = type_of(tag)
        again = bool(found) and found[-1][0].end > start  # a further byte of the same character
        if tag == "O" and not again:
            open_type = ""
        elif again and open_type:
            found[-1][1].append(probability)
        elif goes_on and kind == open_type:
            last, values = found[-1]
            values.append(probability)
            found[-1] = Span(last.start, end, kind), values
        elif tag != "O":
            found.append((Span(start, end, kind), [probability]))
            open_type = kind
    return [(span, sum(values) / len(values)) for span, values in found]
