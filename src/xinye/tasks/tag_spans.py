"""Spans of a text, as tags of its tokens, and back.

The tags of tokens are of IOB2: `B-` begins a span, `I-` continues it.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from xinye.data.notes import Notes
from xinye.data.tokenizer import Tokenizer
from xinye.evaluation.spans import Span
from xinye.model.heads import IGNORED
from xinye.tasks.records import check_name, sentence_borders, sentence_ends


@dataclass(frozen=True)
class TaggedText:
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


def tidy_spans(text: str, spans: Iterable[Span], place: str, notes: Notes) -> tuple[Span, ...]:
    """Spans in order, each once, without the spaces at their ends: no token ends in a space."""
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
    """Note a span behind a character that UTF-16 counts as two, such as an emoji."""
    if any(character > "\uffff" for character in text[: span.end]):
        notes.add(
            place,
            "an emoji or rare character comes before the end of a span without its words: "
            "check whether the offsets count UTF-16 units (--offsets utf-16) or "
            "characters",
        )


def marked(text: str, spans: Iterable[Span]) -> str:
    """A text with its spans in brackets: "[沈知秋 name]认为"."""
    shown, at = "", 0
    for span in sorted(spans):
        shown += f"{text[at : span.start]}[{text[span.start : span.end]} {span.type}]"
        at = span.end
    return shown + text[at:]


@dataclass(frozen=True)
class Segment:
    """A text, or a part of a long one, as tokens; offsets are in the whole text, (0, 0) for tokens
    that stand for nothing in it, `sentences` is as an example has it."""

    tokens: list[int]
    offsets: list[tuple[int, int]]
    sentences: tuple[int, ...] = ()


def segments_of(tokenizer: Tokenizer, text: str, context: int) -> list[Segment]:
    """A text in segments of at most `context` tokens, cut behind a sentence where there is one;
    nothing is left out."""
    [encoding] = tokenizer.encodings([text], special_tokens=True)
    all_ids, all_offsets = encoding.ids, encoding.offsets  # a new list of all, each time
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
                end -= 1  # not between the bytes of a character
            end = ends[0] if ends else end
        none = [(0, 0)]
        own = none * len(before) + offsets[at:end] + none * len(behind)
        borders = sentence_borders(ends_of_sentences, raw[at:end], len(before))
        segments.append(Segment(before + ids[at:end] + behind, own, borders))
        at = end
    return segments


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
    """The tokens that continue a span; "" is the tag of one that stands for nothing, perhaps
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
    # so that the padding behind a text has no effect
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
    """The spans that tags say: `B-` begins one; so does an `I-` that continues nothing."""
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


def are_spans(value: Any) -> bool:
    """Whether it is a list of objects with borders."""
    return isinstance(value, list) and all(
        isinstance(each, dict) and "start" in each and "end" in each for each in value
    )
