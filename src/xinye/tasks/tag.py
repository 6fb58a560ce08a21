"""The task `tag`: finds the spans of a text that have a type, such as names of people and
places.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any, Self

import torch

from xinye.checkpoints.folders import check_beside
from xinye.data.files import SUFFIXES
from xinye.data.notes import Notes
from xinye.data.records import Row
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError, plural
from xinye.evaluation import spans as spans_measure
from xinye.evaluation.spans import Span, SurfaceForms
from xinye.language import shown
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.heads import Head, HeadConfig
from xinye.model.loss import IGNORED
from xinye.planning.finetune_settings import FinetuneSettings
from xinye.runs.words import LOSS, Both, Figure, TaskWords
from xinye.tasks.decisions import Decision, log_odds, place_in
from xinye.tasks.exercise import Exercise
from xinye.tasks.exercises import notes
from xinye.tasks.heads import LIMIT, MACRO_F1, USE, HeadTask, with_borders
from xinye.tasks.records import Example, OnBad, beside, nothing_to_learn
from xinye.tasks.tag_decoding import decoded, network_scores, transitions_of
from xinye.tasks.tag_end import complete
from xinye.tasks.tag_mix import FILE, TagMix
from xinye.tasks.tag_records import Named, read_tagged
from xinye.tasks.tag_spans import (
    Segment,
    TaggedText,
    first_transitions,
    inside_spans,
    marked,
    segments_of,
    targets_of,
    trimmed,
    type_of,
)
from xinye.tasks.task import Figures, Trained

APART = 1.2  # a growth in tokens beyond this factor is reported


class Tag(HeadTask):
    """Trains a tagger. `labels` are the tags O, B-TYPE and I-TYPE for each type."""

    verb = "tag"
    head = "token"
    kind = "type"
    figures = ("loss", "span_f1")
    better = "span_f1"
    baseline_name = "most frequent tag of the surface form"
    counted = ("type of spans", "types of spans")
    outside = "O"
    columns = ("text_field", "label_field", "tag_names", "offsets")
    special_settings = ("mix_baseline",)
    beside = (FILE,)
    mix: TagMix | None = None  # learned at the end of training
    words = TaskWords(
        figures=(
            Figure("span_f1", "span F1", Both("span F1", "实体 F1"), 1, percent=True),
            MACRO_F1,
            LOSS,
        ),
        decides="span_f1",
        unit="labels",
        support=Both("spans", "实体数"),
        does="Finds spans in a text (types: {labels}).",
        limit=LIMIT,
        pipeline="token-classification",
        use=USE,
        command='xinye tag {folder} "…"',
        python='print(model.tag("…"))',
        transformers=(
            'print(pipeline("token-classification", "{folder}", '
            'aggregation_strategy="simple")("…"))'
        ),
    )
    exercise = Exercise(
        make=notes,
        begin=Both(
            "A GPT will learn to find people, places and companies in the notes of a tea shop.",
            "训练一个 GPT，让它在茶铺的便条里找出人名、地名和店名。",
        ),
        baseline=Both(
            "a baseline that gives each word its most frequent tag",
            "一个基线（每个词取它最常见的标签）",
        ),
        line=lambda row: marked(row["text"], _spans(row)),
        answered=lambda row, result: ({**row, "spans": result}, ""),
        training=150,
        epochs=16,
        tokenizers={"zh": "char"},  # names can begin and end at any character
    )

    @classmethod
    def of(cls, records: Sequence[TaggedText]) -> Self:
        """The task with the types in these records. Raises `XinyeError` if there are no spans."""
        types = sorted({span.type for record in records for span in record.spans})
        if not types:
            raise XinyeError("these records have no spans, so there is nothing to learn from")
        return cls(("O", *(f"{prefix}-{kind}" for kind in types for prefix in "BI")))

    @classmethod
    def of_run(cls, model: Head, folder: Path) -> Self:
        task = cls.of_network(model)
        check_beside(folder, cls.beside)
        task.mix = TagMix.load(folder, task.labels)
        return task

    @property
    def known(self) -> Sequence[str]:
        return sorted({type_of(label)[0] for label in self.labels if label != "O"})

    # -- records -----------------------------------------------------------------------------------

    suffixes = (*SUFFIXES, ".conll", ".conllu", ".bio", ".bmes", ".bioes", ".iob", ".iob2")

    @classmethod
    def read_file(
        cls, path: Path, on_bad: OnBad, notes: Notes, **columns: str | None
    ) -> Iterator[TaggedText]:
        return read_tagged(path, on_bad, Named(**columns), notes)

    @classmethod
    def without_header(cls, path: Path, **columns: str | None) -> str:
        return ""  # CoNLL's columns have no header

    @classmethod
    def stratum(cls, record: TaggedText, folds: bool) -> tuple[str, ...]:
        """The types in a record, for folds. A single share would leave nothing of the many rare
        mixtures.
        """
        return tuple(sorted({span.type for span in record.spans})) if folds else ()

    @classmethod
    def findings(
        cls, training: Sequence[TaggedText], validation: Sequence[TaggedText]
    ) -> Iterator[str]:
        yield from super().findings(training, validation)
        crossing = [
            record
            for record in training
            if any(one.end > other.start for one, other in pairwise(record.spans))
        ]
        if crossing:
            yield (
                f"{plural(len(crossing), 'record')} with overlapping spans, of which one is "
                f"learned: first {crossing[0].place}"
            )

    @classmethod
    def clash(cls, count: int, share: float, one: TaggedText, other: TaggedText) -> str:
        return (
            f"{plural(count, 'text')} with two different taggings: first {one.place} and "
            f"{beside(one.place, other.place)}"
        )

    # -- tokens ------------------------------------------------------------------------------------

    @classmethod
    def tokenizer(cls, tokenizer: Tokenizer) -> Tokenizer:
        """A copy of the tokenizer in which every Han character and every punctuation mark is a
        token of its own, because spans begin and end there.
        """
        return with_borders(tokenizer)

    @classmethod
    def token_findings(
        cls,
        tokenizer: Tokenizer,
        theirs: Tokenizer,
        training: Sequence[TaggedText],
        validation: Sequence[TaggedText],
    ) -> Iterator[str]:
        some = [record.text for record in training[:200]]
        apart, joined = (
            sum(len(each.encode(text)) for text in some) for each in (tokenizer, theirs)
        )
        if apart > APART * joined:
            yield (
                f"each Han character and punctuation mark is now one token, {apart / joined:.1f} "
                "times as many tokens as before: a base pretrained with --tokenizer char learns to "
                "tag much better"
            )
        missed, total = cls.out_of_reach(tokenizer, [*training, *validation])
        if missed:
            spans = plural(total, "span")
            yield f"the model cannot find {missed:,} of {spans}: their borders are inside a token"

    def examples(
        self, tokenizer: Tokenizer, records: Sequence[TaggedText], context: int
    ) -> list[Example]:
        number = {label: index for index, label in enumerate(self.labels)}
        examples = []
        for record in records:
            segments = segments_of(tokenizer, record.text, context)
            if not any(any(end > start for start, end in each.offsets) for each in segments):
                raise nothing_to_learn(record.place, "the text is empty")
            for segment in segments:
                targets = targets_of(segment.offsets, record.spans, number)
                inside = inside_spans(
                    [self.labels[target] if target != IGNORED else "" for target in targets]
                )
                sentences = tuple(at for at in segment.sentences if at not in inside)
                examples.append(
                    Example(segment.tokens, targets, sentences=sentences, inside=inside)
                )
        return examples

    def network(self, backbone: GPTConfig, base: GPT) -> Head:
        """A network that learns transitions between tags. Those that cannot be are forbidden."""
        assert self.head is not None
        model = Head.over(base, HeadConfig(backbone, self.head, self.labels, transitions=True))
        model.score.transitions.data.copy_(first_transitions(self.labels))
        return model

    @staticmethod
    def out_of_reach(tokenizer: Tokenizer, records: Sequence[TaggedText]) -> tuple[int, int]:
        """How many spans have a border inside a token, and how many spans there are."""
        missed = 0
        for record in records:
            offsets = trimmed(record.text, tokenizer.encodings([record.text])[0].offsets)
            starts = {start for start, _ in offsets}
            ends = {end for _, end in offsets}
            missed += sum(span.start not in starts or span.end not in ends for span in record.spans)
        return missed, sum(len(record.spans) for record in records)

    # -- evaluation --------------------------------------------------------------------------------

    def find(
        self, model: Head, tokenizer: Tokenizer, texts: Sequence[str], context: int
    ) -> list[list[tuple[Span, float]]]:
        """The spans of each text, each with the mean probability of its tokens' tags."""
        parts = [segments_of(tokenizer, text, context) for text in texts]
        found = iter(self.find_in(model, tokenizer, list(chain(*parts))))
        return [list(chain(*islice(found, len(segments)))) for segments in parts]

    def find_in(
        self, model: Head, tokenizer: Tokenizer, segments: Sequence[Segment]
    ) -> list[list[tuple[Span, float]]]:
        """The spans of each segment, as in `find`."""
        scores, transitions = network_scores(model, tokenizer, segments), transitions_of(model)
        if self.mix:
            scores, transitions = self.mix(scores, transitions, segments)
        return decoded(scores, transitions, segments, self.labels)

    def measure(
        self, model: Head, tokenizer: Tokenizer, records: Sequence[TaggedText], context: int
    ) -> Figures:
        found = self.find(model, tokenizer, [record.text for record in records], context)
        spans = [[span for span, _ in row] for row in found]
        return spans_measure.measure([record.spans for record in records], spans)

    @classmethod
    def completing(cls, settings: FinetuneSettings) -> str:
        return "training the linear tagger" if settings.mix_baseline else ""

    def complete(self, trained: Trained) -> Figures:
        return complete(self, trained)

    def learned(
        self, training: Sequence[TaggedText], validation: Sequence[TaggedText]
    ) -> list[TaggedText]:
        """All records if there is a linear tagger, which has learned from both parts."""
        return [*training, *(validation if self.mix else ())]

    def baseline(
        self,
        training: Sequence[TaggedText],
        records: Sequence[TaggedText],
        before: Figures | None = None,
    ) -> Figures:
        forms = SurfaceForms([(record.text, record.spans) for record in training])
        spans = [forms.find(record.text) for record in records]
        return spans_measure.measure([record.spans for record in records], spans)

    def sample(self, model: Head, tokenizer: Tokenizer, record: TaggedText, context: int) -> str:
        found = [span for span, _ in self.find(model, tokenizer, [record.text], context)[0]]
        return marked(record.text, found)

    # -- use ---------------------------------------------------------------------------------------

    def use(
        self,
        model: Head,
        tokenizer: Tokenizer,
        inputs: Sequence[str],
        context: int,
        settings: Any = None,
    ) -> list[list[Row]]:
        """For each text, a list of its spans as dictionaries with `start` and `end` (in
        characters), `type`, `text` and `probability`.
        """
        return [
            [
                {**span._asdict(), "text": text[span.start : span.end], "probability": probability}
                for span, probability in spans
            ]
            for text, spans in zip(
                inputs, self.find(model, tokenizer, inputs, context), strict=True
            )
        ]

    def decisions(
        self, model: Head, tokenizer: Tokenizer, text: Any, context: int, label: str | None
    ) -> list[Decision]:
        if not isinstance(text, str):
            raise XinyeError("a model that tags reads one text, not a pair; leave out the second")
        segments = segments_of(tokenizer, text, context)
        found = [
            (segment, span, probability)
            for segment, spans in zip(
                segments, self.find_in(model, tokenizer, segments), strict=True
            )
            for span, probability in spans
            if label in (None, span.type, text[span.start : span.end])
        ]
        if label is not None and not found and label not in self.known:
            reason = self.unknown(label)
            raise XinyeError(f"the model found no such span: {reason}")
        return [
            Decision(
                span.type,
                probability,
                segment.tokens,
                [place_in([text], 0, offsets) for offsets in segment.offsets],
                partial(self._log_odds, segment, span),
                span.start,
                span.end,
            )
            for segment, span, probability in found
        ]

    def _log_odds(self, segment: Segment, span: Span, logits: torch.Tensor) -> torch.Tensor:
        """The log-odds of a span's type, the mean over its tokens, from logits (T, L)."""
        tokens = [
            at
            for at, (start, end) in enumerate(segment.offsets)
            if start < end and start < span.end and end > span.start
        ]
        tags = [
            at
            for at, tag in enumerate(self.labels)
            if tag != self.outside and type_of(tag)[0] == span.type
        ]
        return log_odds(logits[tokens], tags).mean()

    @classmethod
    def told(cls, result: list[Row]) -> Row:
        return {"spans": result}

    @classmethod
    def lines(cls, text: str, result: list[Row], alone: bool) -> list[str]:
        """The lines to print, one for each span."""
        found = [
            f"{span['start']}–{span['end']}  {span['type']}  {span['text']}  "
            f"{span['probability']:.1%}"
            for span in result
        ] or [shown("(no entities)")]
        return found if alone else [text, *(f"  {line}" for line in found)]


def _spans(row: Row) -> list[Span]:
    """The spans of a row of the exercise, or of a result."""
    return [Span(span["start"], span["end"], span["type"]) for span in row["spans"]]
