"""The task `tag`: the spans of a text that are of some type, such as names of people and places.

Records are CoNLL columns (a token and its tag a line, an empty line between sentences; IOB1, IOB2 or BIOES), CLUENER's
JSON lines, or JSON with spans. A network gives each token a tag of IOB2: `B-` begins a span, `I-` goes on with it.
"""

import json
import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from tokenizers import Regex, pre_tokenizers

from xinye.data.files import check_file
from xinye.data.sources import read_lines, read_records
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, did_you_mean
from xinye.evaluation import spans as spans_measure
from xinye.evaluation.spans import Span, SurfaceForms
from xinye.evaluation.tokenizers import language
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.heads import IGNORED, Head, HeadConfig
from xinye.tasks.examples import (
    SENTENCE_END,
    Example,
    Examples,
    loss,
    losses,
    sentence_borders,
    split,
)
from xinye.tasks.records import OnBad, places, refuse, refuse_line, spelled_alike
from xinye.tasks.tokens import altered

BORDERS = r"\p{Han}|[\p{P}\p{S}]"  # each of these is encoded alone, so that a span can begin and end at it
EXPECTED = (
    'CoNLL lines ("token TAG"), CLUENER lines ({"text": …, "label": {type: {words: [[first, last]]}}}) or spans '
    '({"text": …, "spans": [{"start": 0, "end": 2, "label": type}]})'
)


@dataclass(frozen=True)
class Record:
    """A text, its spans, where it stands ("train.json, line 17"), and the format that it was found in."""

    text: str
    spans: tuple[Span, ...]
    place: str
    format: str = field(default="", compare=False)

    @property
    def whole(self) -> str:
        return self.text


class Tag:
    """What the types are, and what follows from that."""

    verb = "tag"
    writes = False
    figures = ("loss", "span_f1")
    better = "span_f1"
    baseline_name = "most frequent tag of the surface form"

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)

    @classmethod
    def of(cls, records: Sequence[Record]) -> "Tag":
        """The task that records are of. Raises `XinyeError` where there is no span in them."""
        types = sorted({span.type for record in records for span in record.spans})
        if not types:
            raise XinyeError(
                "there is not one span in these records, so that there is nothing to learn from"
            )
        return cls(("O", *(f"{prefix}-{kind}" for kind in types for prefix in "BI")))

    @property
    def types(self) -> list[str]:
        return sorted({label[2:] for label in self.labels if label != "O"})

    # -- records ----------------------------------------------------------------------------------------------------

    @staticmethod
    def read(files: Sequence[str], on_bad: OnBad = refuse) -> list[Record]:
        """The records of files. What cannot be one is given to `on_bad`, with file and line."""
        records: list[Record] = []
        for path in map(Path, files):
            check_file(path)
            first = next((line.strip()[0] for _, line in read_lines(path) if line.strip()), "")
            found = list(_json(path, on_bad) if first in ("{", "[") else _conll(path, on_bad))
            if not found:
                raise XinyeError(f"{path}: no records in it")
            records += found
        return records

    def check(self, records: Sequence[Record]) -> None:
        """Raises `XinyeError` for a type that was not learned."""
        types = self.types
        for record in records:
            for span in record.spans:
                if span.type not in types:
                    raise XinyeError(
                        f"{record.place}: the type {span.type!r} is not one of the model's, {', '.join(types)}"
                        f"{did_you_mean(span.type, types)}"
                    )

    @staticmethod
    def split(
        records: Sequence[Record], share: float, seed: int, fold: tuple[int, int] | None = None
    ) -> tuple[list[Record], list[Record]]:
        """The records to learn from and those to judge on; equal texts stay together. Folds have as much of each
        mixture of types; of a share, the many rare mixtures would have none."""

        def types(record: Record) -> tuple[str, ...]:
            return tuple(sorted({span.type for span in record.spans})) if fold else ()

        return split(records, share, seed, fold, label=types)

    def findings(self, training: Sequence[Record], validation: Sequence[Record]) -> list[str]:
        """What a person should know of the records, in sentences."""
        return list(_findings(training, validation))

    def counts(self, records: Sequence[Record]) -> dict[str, int]:
        """Spans by type, the most frequent first."""
        return dict(Counter(span.type for record in records for span in record.spans).most_common())

    # -- tokens -----------------------------------------------------------------------------------------------------

    @staticmethod
    def tokenizer(tokenizer: Tokenizer) -> Tokenizer:
        """One that encodes every Han character and every mark alone, for spans begin and end there."""
        changed = altered(tokenizer)
        split = pre_tokenizers.Split(Regex(BORDERS), "isolated")
        changed.backend.pre_tokenizer = pre_tokenizers.Sequence(
            [split, tokenizer.backend.pre_tokenizer]
        )
        return changed

    def examples(
        self, tokenizer: Tokenizer, records: Sequence[Record], context: int
    ) -> list[Example]:
        """What is learned from; a long record gives several. Raises `XinyeError` for one with nothing to learn from."""
        number = {label: index for index, label in enumerate(self.labels)}
        examples = []
        for record in records:
            parts = _parts(tokenizer, record.text, context)
            if not any(any(end > start for start, end in part.offsets) for part in parts):
                raise XinyeError(
                    f"{record.place}: the text is empty, so that there is nothing to learn from"
                )
            for part in parts:
                targets = _targets(part.offsets, record.spans, number)
                inside = _inside(
                    [self.labels[target] if target != IGNORED else "" for target in targets]
                )
                sentences = tuple(at for at in part.sentences if at not in inside)
                examples.append(Example(part.tokens, targets, sentences=sentences, inside=inside))
        return examples

    def out_of_reach(self, tokenizer: Tokenizer, records: Sequence[Record]) -> tuple[int, int]:
        """How many spans have a border inside a token, and how many there are."""
        missed = total = 0
        for record in records:
            offsets = _trimmed(record.text, tokenizer.encodings([record.text])[0].offsets)
            starts, ends = {start for start, _ in offsets}, {end for _, end in offsets}
            total += len(record.spans)
            missed += sum(span.start not in starts or span.end not in ends for span in record.spans)
        return missed, total

    # -- judging ----------------------------------------------------------------------------------------------------

    def network(self, backbone: GPTConfig, base: GPT) -> Head:
        """Its layers with a head that begins at zero."""
        return Head.over(base, HeadConfig(backbone, "token", self.labels))

    loss = staticmethod(loss)
    losses = staticmethod(losses)

    @torch.no_grad()
    def find(
        self, model: Head, tokenizer: Tokenizer, texts: Sequence[str], context: int
    ) -> list[list[tuple[Span, float]]]:
        """The spans of each text, with their probability: the mean of that of their tokens."""
        model.eval()
        device = next(model.parameters()).device
        parts = [
            (number, part)
            for number, text in enumerate(texts)
            for part in _parts(tokenizer, text, context)
        ]
        tagged: list[list[tuple[str, float]]] = [[] for _ in parts]
        examples = Examples(
            [Example(part.tokens, [IGNORED] * len(part.tokens)) for _, part in parts],
            tokenizer.pad_id,
        )
        for numbers, batch in examples.in_order(32):
            rows = model(batch.tokens.to(device), batch.lengths.to(device)).log_softmax(-1).cpu()
            which = _likeliest(rows, batch.lengths, self.labels)
            sure = rows.gather(-1, which[..., None]).squeeze(-1).exp()
            for row, number in enumerate(numbers):
                length = len(parts[number][1].tokens)
                names = [self.labels[index] for index in which[row, :length].tolist()]
                tagged[number] = list(zip(names, sure[row, :length].tolist(), strict=True))
        found: list[list[tuple[Span, float]]] = [[] for _ in texts]
        for (number, part), tags in zip(parts, tagged, strict=True):
            found[number] += _spans(part.offsets, tags)
        return found

    def measure(
        self, model: Head, tokenizer: Tokenizer, records: Sequence[Record], context: int
    ) -> dict[str, Any]:
        """How right the model is."""
        found = self.find(model, tokenizer, [record.text for record in records], context)
        return spans_measure.measure(
            [r.spans for r in records], [[span for span, _ in row] for row in found]
        )

    def baseline(self, training: Sequence[Record], records: Sequence[Record]) -> dict[str, Any]:
        """How right the classical means are that learn from the same records."""
        forms = SurfaceForms(
            [record.text for record in training], [record.spans for record in training]
        )
        return spans_measure.measure(
            [r.spans for r in records], [forms.find(record.text) for record in records]
        )

    def sample(self, model: Head, tokenizer: Tokenizer, record: Record, context: int) -> str:
        """What the model finds in a record."""
        found = [span for span, _ in self.find(model, tokenizer, [record.text], context)[0]]
        return marked(record.text, found)


def marked(text: str, spans: Iterable[Span]) -> str:
    """A text with its spans in brackets: "[沈知秋 name]认为"."""
    pieces, at = [], 0
    for span in sorted(spans):
        pieces += [text[at : span.start], f"[{text[span.start : span.end]} {span.type}]"]
        at = span.end
    return "".join([*pieces, text[at:]])


# -- tokens and tags -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Part:
    """A text, or a part of a long one, as tokens; offsets are in the whole text, (0, 0) for tokens that stand for
    nothing in it, `sentences` is as an example has it."""

    tokens: list[int]
    offsets: list[tuple[int, int]]
    sentences: tuple[int, ...] = ()


def _parts(tokenizer: Tokenizer, text: str, context: int) -> list[Part]:
    """A text in parts of at most `context` tokens, cut behind a sentence where there is one; nothing is left out."""
    [encoding] = tokenizer.encodings([text], special_tokens=True)
    inside = [i for i, part in enumerate(encoding.sequence_ids) if part is not None]
    if not inside:
        return [Part(encoding.ids or [tokenizer.bos_id], [(0, 0)] * max(1, len(encoding.ids)))]
    before, behind = encoding.ids[: inside[0]], encoding.ids[inside[-1] + 1 :]
    ids = [encoding.ids[i] for i in inside]
    raw = [encoding.offsets[i] for i in inside]
    offsets, room = _trimmed(text, raw), context - len(before) - len(behind)
    sentence_ends = [match.end() for match in SENTENCE_END.finditer(text)]
    parts, at = [], 0
    while at < len(ids):
        end = min(len(ids), at + room)
        if end < len(ids):
            latest = bisect_right(sentence_ends, raw[end - 1][1]) - 1
            ends = [
                i
                for i in range(end, at + room // 4, -1)
                if latest >= 0 and raw[i - 1][1] <= sentence_ends[latest]
            ]
            while end > at + 1 and not ends and raw[end][0] < raw[end - 1][1]:
                end -= 1  # not between the bytes of a character
            end = ends[0] if ends else end
        none = [(0, 0)]
        own = none * len(before) + offsets[at:end] + none * len(behind)
        borders = sentence_borders(text, raw[at:end], len(before))
        parts.append(Part(before + ids[at:end] + behind, own, borders))
        at = end
    return parts


def _trimmed(text: str, offsets: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Offsets without the spaces at a token's begin and end; (0, 0) where nothing is left."""
    result = []
    for start, end in offsets:
        piece = text[start:end]
        start += len(piece) - len(piece.lstrip())
        end -= len(piece) - len(piece.rstrip())
        result.append((start, end) if start < end else (0, 0))
    return result


def _targets(
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


def _inside(tags: Sequence[str]) -> frozenset[int]:
    """The tokens that go on with a span; "" is the tag of one that stands for nothing, perhaps within a span."""
    found, going_on = set(), False
    for at in reversed(range(len(tags))):
        going_on = tags[at].startswith("I-") or (going_on and not tags[at])
        if going_on:
            found.add(at)
    return frozenset(found)


def _likeliest(scores: torch.Tensor, lengths: torch.Tensor, labels: Sequence[str]) -> torch.Tensor:
    """The tags (B, T) that are the likeliest together, from log-probabilities (B, T, L), where `I-` only goes on with a
    span of its type (Viterbi's algorithm). Each taken alone, half-sure tags tear spans apart: see docs/log.md.
    """
    begun = [label.startswith("I-") and f"B-{label[2:]}" in labels for label in labels]
    may_follow = torch.tensor([
        [not begins or before[1:] == label[1:] for label, begins in zip(labels, begun, strict=True)]
        for before in labels
    ])  # fmt: skip
    penalty = torch.zeros(may_follow.shape).masked_fill(~may_follow, -1e4)  # (L, L), from and to
    behind = torch.arange(scores.shape[1]) >= lengths[:, None]
    scores = scores.masked_fill(
        behind[..., None], 0.0
    )  # so that what stands behind a text decides nothing
    best, origins = scores[:, 0] + torch.tensor(begun) * -1e4, []  # (B, L)
    for at in range(1, scores.shape[1]):
        best, origin = (best[:, :, None] + penalty).max(1)
        best = best + scores[:, at]
        origins.append(origin)
    path = [best.argmax(-1)]
    for origin in reversed(origins):
        path.append(origin.gather(1, path[-1][:, None]).squeeze(1))
    return torch.stack(path[::-1], 1)


def _spans(
    offsets: Sequence[tuple[int, int]], tags: Sequence[tuple[str, float]]
) -> list[tuple[Span, float]]:
    """The spans that tags say: `B-` begins one; so does an `I-` that goes on with nothing."""
    found: list[tuple[Span, list[float]]] = []
    open_type = ""
    for (start, end), (tag, probability) in zip(offsets, tags, strict=True):
        if start == end:
            continue
        kind = tag[2:]
        again = bool(found) and found[-1][0].end > start  # a further byte of the same character
        if tag == "O" and not again:
            open_type = ""
        elif again and open_type:
            found[-1][1].append(probability)
        elif tag.startswith("I-") and kind == open_type:
            last, values = found[-1]
            found[-1] = Span(last.start, end, kind), [*values, probability]
        elif tag != "O":
            found.append((Span(start, end, kind), [probability]))
            open_type = kind
    return [(span, sum(values) / len(values)) for span, values in found]


# -- records ---------------------------------------------------------------------------------------------------------


def _conll(path: Path, on_bad: OnBad) -> Iterator[Record]:
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
    kind = f"CoNLL columns, {_scheme([tag for rows in sentences for tag in ('O', *(row[2] for row in rows))])}"
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
    """The text of tokens (Chinese ones without spaces between) and the spans of their tags, in whichever scheme."""
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


def _json(path: Path, on_bad: OnBad) -> Iterator[Record]:
    """Records of a text with its spans."""
    for line, row in read_records(path, refuse_line(on_bad)):
        try:
            yield _record(row, f"{path}, line {line}")
        except XinyeError as error:
            on_bad(error)


def _record(row: Any, place: str) -> Record:
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
                f"{place}, field {field!r}: expected a span within the text's {len(text)} characters, "
                f"found {span.start}–{span.end}"
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


def _findings(training: Sequence[Record], validation: Sequence[Record]) -> Iterator[str]:
    counts = Counter(span.type for record in training for span in record.spans)
    yield from spelled_alike(counts)
    (most, many), (least, few) = counts.most_common()[0], counts.most_common()[-1]
    if many >= 5 * few:
        yield f"unbalanced: {many:,} spans of {most!r}, {few:,} of {least!r}"
    crossing = [
        record
        for record in training
        if any(
            one.end > other.start
            for one, other in zip(record.spans, record.spans[1:], strict=False)
        )
    ]
    if crossing:
        what = f"{len(crossing):,} records have" if len(crossing) > 1 else "one record has"
        yield f"{what} spans that overlap, of which one is learned: first {crossing[0].place}"
    seen: dict[str, Record] = {}
    clashes = []
    for record in training:
        other = seen.setdefault(record.text, record)
        if other.spans != record.spans:
            clashes.append((other, record))
    if clashes:
        one, other = clashes[0]
        what = f"{len(clashes):,} texts stand" if len(clashes) > 1 else "one text stands"
        yield f"{what} there with two different taggings: first {places(one.place, other.place)}"
    unknown = {span.type for record in validation for span in record.spans} - counts.keys()
    if unknown:
        yield f"types of validation records that no training record has: {', '.join(sorted(unknown))}"
    inside = [record for record in validation if record.text in seen]
    if inside:
        yield (
            f"{len(inside):,} of {len(validation):,} validation records are in the training data, too, which flatters "
            f"the model: first {places(inside[0].place, seen[inside[0].text].place, ' = ')}"
        )
