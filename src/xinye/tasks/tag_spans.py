"""Turns the spans of a text into IOB2 tags of its tokens, and tags back into spans.

In IOB2, `B-` begins a span and `I-` continues it.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from xinye.data.notes import Notes
from xinye.data.sentences import sentence_ends
from xinye.data.tokenizer import Tokenizer
from xinye.evaluation.spans import Span
from xinye.model import crf
from xinye.model.loss import IGNORED
from xinye.tasks.records import check_name, sentence_borders


@dataclass(frozen=True)
class TaggedText:
    """A text with its spans. `place` is for messages ("train.json, line 17"), and `format`
    describes how the record was read.
    """

    text: str
    spans: tuple[Span, ...]
    place: str
    format: str = field(default="", compare=False)

    @property
    def whole(self) -> str:
        """The text, as all records have it."""
        return self.text

    @property
    def labels(self) -> list[str]:
        """The type of each span."""
        return [span.type for span in self.spans]

    @property
    def answer(self) -> tuple[Span, ...]:
        """The spans, to compare records."""
        return self.spans


def tidy_spans(text: str, spans: Iterable[Span], place: str, notes: Notes) -> tuple[Span, ...]:
    """The spans in order, without duplicates and without spaces at their ends, because tokens do
    not end in spaces. Spans of only spaces are dropped.
    """
    kept = []
    for span in spans:
        check_name("tag", span.type, place)
        words = text[span.start : span.end]
        start = span.end - len(words.lstrip())
        end = span.start + len(words.rstrip())
        if start >= end:
            notes.add(place, "a span holds nothing but spaces: left out")
            continue
        if end - start < len(words):
            notes.add(place, "a span begins or ends with spaces, which are left out of it")
        kept.append(Span(start, end, span.type))
    if len(set(kept)) < len(kept):
        notes.add(place, "a span appears twice: it is learned once")
    return tuple(sorted(set(kept)))


def note_astral(text: str, span: Span, place: str, notes: Notes) -> None:
    """Add a note if a character before the span's end, such as an emoji, counts as two in
    UTF-16.
    """
    if any(character > "\uffff" for character in text[: span.end]):
        notes.add(
            place,
            "an emoji or rare character comes before the end of a span without its words: "
            "check whether the offsets count UTF-16 units (--offsets utf-16) or "
            "characters",
        )


def marked(text: str, spans: Iterable[Span]) -> str:
    """The text with its spans in brackets: "[沈知秋 name]认为"."""
    shown, at = "", 0
    for span in sorted(spans):
        shown += f"{text[at : span.start]}[{text[span.start : span.end]} {span.type}]"
        at = span.end
    return shown + text[at:]


@dataclass(frozen=True)
class Segment:
    """A text, or a part of a long one, as tokens.

    `offsets` are places in the whole text, or (0, 0) for tokens without text; `sentences` is as in
    `Example`. `pieces` are the strings of the tokens with text, with the space before them.
    """

    tokens: list[int]
    offsets: list[tuple[int, int]]
    sentences: tuple[int, ...] = ()
    pieces: tuple[str, ...] = ()

    @property
    def targets(self) -> list[int]:
        """A tag for each token with text, and `IGNORED` for all others."""
        return [0 if start < end else IGNORED for start, end in self.offsets]


def segments_of(tokenizer: Tokenizer, text: str, context: int) -> list[Segment]:
    """The text in segments of at most `context` tokens, cut after a sentence if possible. Nothing
    is left out.
    """
    [encoding] = tokenizer.encodings([text], special_tokens=True)
    # the library builds these lists anew on each access
    all_ids, all_offsets = encoding.ids, encoding.offsets
    inside = [i for i, part in enumerate(encoding.sequence_ids) if part is not None]
    if not inside:
        return [Segment(all_ids or [tokenizer.bos_id], [(0, 0)] * max(1, len(all_ids)))]
    before, behind = all_ids[: inside[0]], all_ids[inside[-1] + 1 :]
    ids = [all_ids[i] for i in inside]
    raw = [all_offsets[i] for i in inside]
    offsets, room = trimmed(text, raw), context - len(before) - len(behind)
    ends_of_sentences = sentence_ends(text)
    segments, at = [], 0
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
                end -= 1  # do not cut between the bytes of a character
            end = ends[0] if ends else end
        none = [(0, 0)]
        own = none * len(before) + offsets[at:end] + none * len(behind)
        borders = sentence_borders(ends_of_sentences, raw[at:end], len(before))
        pieces = pieces_of(text, offsets[at:end])
        segments.append(Segment(before + ids[at:end] + behind, own, borders, pieces))
        at = end
    return segments


def pieces_of(text: str, offsets: Iterable[tuple[int, int]]) -> tuple[str, ...]:
    """The strings of tokens with text, with a space before each that follows a space."""
    return tuple(
        " " * text[start - 1 : start].isspace() + text[start:end]
        for start, end in offsets
        if start < end
    )


def trimmed(text: str, offsets: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The offsets without spaces at a token's beginning and end, or (0, 0) if nothing is left."""
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
    """The number of each token's tag, or `IGNORED` (-100) for a token without text."""
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
    """The indices of tokens that continue a span. "" is the tag of a token without text, which may
    be inside a span.
    """
    found, continues = set(), False
    for at in reversed(range(len(tags))):
        continues = tags[at].startswith("I-") or (continues and not tags[at])
        if continues:
            found.add(at)
    return frozenset(found)


def first_transitions(labels: Sequence[str]) -> torch.Tensor:
    """The scores of steps between tags before training, as in `crf.py`: `I-` may only continue a
    span of its type. All other steps are equally likely.

    Without this rule spans are split where the model is unsure: see docs/log.md.
    """
    continues = [label.startswith("I-") and f"B-{label[2:]}" in labels for label in labels]
    rows = [
        [
            crf.FORBIDDEN if begun and before[1:] != label[1:] else 0.0
            for label, begun in zip(labels, continues, strict=True)
        ]
        for before in [*labels, "beginning"]
    ]
    return torch.tensor([*rows, [0.0] * len(labels)])


def type_of(tag: str) -> tuple[str, bool]:
    """The type that a tag names, and True if the tag may continue a span.

    It also knows BMES, BIOES and BILOU, which models of other tools use. A tag without such a
    prefix, `PER` or `LABEL_1`, is a type that continues, as in transformers.
    """
    part, dash, kind = tag.partition("-")
    if not dash or part not in tuple("BISUMEL"):
        return tag, True
    return kind, part in tuple("IMEL")


def spans_of(
    offsets: Sequence[tuple[int, int]], tags: Sequence[tuple[str, float]]
) -> list[tuple[Span, float]]:
    """The spans that tags describe, with the mean probability of their tokens. An `I-` that
    continues nothing begins a span, as `B-` does.
    """
    found: list[tuple[Span, list[float]]] = []
    open_type = ""
    for (start, end), (tag, probability) in zip(offsets, tags, strict=True):
        if start == end:
            continue
        kind, continues = type_of(tag)
        again = bool(found) and found[-1][0].end > start  # another byte of the same character
        if tag == "O" and not again:
            open_type = ""
        elif again and open_type:
            found[-1][1].append(probability)
        elif continues and kind == open_type:
            last, values = found[-1]
            values.append(probability)
            found[-1] = Span(last.start, end, kind), values
        elif tag != "O":
            found.append((Span(start, end, kind), [probability]))
            open_type = kind
    return [(span, sum(values) / len(values)) for span, values in found]


def are_spans(value: Any) -> bool:
    """True for a list of objects with start and end."""
    return isinstance(value, list) and all(
        isinstance(each, dict) and "start" in each and "end" in each for each in value
    )
