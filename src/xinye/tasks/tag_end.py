"""The end of a tagger's training: a linear tagger learns from the same records, and is mixed with
the network if that is better on the validation records."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from xinye.errors import plural
from xinye.evaluation import spans
from xinye.evaluation.calibration import parts_of
from xinye.evaluation.linear_tagger import LinearTagger
from xinye.evaluation.spans import Span
from xinye.model.loss import IGNORED
from xinye.tasks.heads import GPT_ALONE
from xinye.tasks.tag_decoding import decoded, losses, network_scores, transitions_of
from xinye.tasks.tag_mix import LINEAR_ALONE, SHARES, Scored, TagMix, learned, mixed
from xinye.tasks.tag_spans import TaggedText, marked, segments_of, targets_of
from xinye.tasks.task import Figures, Trained

if TYPE_CHECKING:
    from xinye.tasks.tag import Tag


def complete(task: "Tag", trained: Trained) -> Figures:
    """Learn the linear tagger and its share, save both, and return the figures of all parts.

    The linear tagger that is saved has learned from the validation records, too, if these are a
    part of the data. The share and the figures are those of one that has not.
    """
    if not trained.settings.mix_baseline:
        return {}
    training, records = trained.training, trained.validation

    def learned_from(some: Sequence[TaggedText]) -> tuple[LinearTagger, int]:
        return learned(trained.tokenizer, some, task.labels, trained.context, trained.settings.seed)

    linear, drawn = learned_from(training)
    judged = Judged(records, answers_of(task, trained, linear))
    share, answers = judged.best(range(len(records))), judged.held_out()
    together = judged.figures(answers)
    alone, of_linear = (judged.figures(judged.answers[each]) for each in (0.0, 1.0))
    if share:
        if not trained.settings.validation:
            linear, _ = learned_from([*training, *records])
        task.mix = TagMix(linear, share)
        task.mix.save(trained.folder, task.labels)
    findings = [mix_sentence(share, together, alone, of_linear, len(records))]
    if drawn < len(training):
        findings.append(
            f"the linear tagger has learned from {drawn:,} of "
            f"{plural(len(training), 'training record')}, drawn at random: all need too much memory"
        )
    return {
        "texts": [marked(records[0].text, answers[0].spans)],
        "measured": together,
        "mixes": [{"name": GPT_ALONE, **alone}, {"name": LINEAR_ALONE, **of_linear}],
        "compared": findings,
    }


@dataclass(frozen=True)
class Answer:
    """The spans that a tagger finds in a record, the negative log-likelihood of the right tags in
    nats, and the number of these."""

    spans: Sequence[Span]
    nats: float
    tags: int


@dataclass(frozen=True)
class Judged:
    """Validation records, and the answers of mixes to them, by the share of the linear tagger."""

    records: Sequence[TaggedText]
    answers: dict[float, list[Answer]]

    def figures(self, answers: Sequence[Answer]) -> Figures:
        """The metrics of an answer to each record."""
        found = spans.measure(
            [record.spans for record in self.records], [answer.spans for answer in answers]
        )
        nats, tags = (sum(getattr(each, name) for each in answers) for name in ("nats", "tags"))
        return found | {"loss": nats / max(1, tags)}

    def best(self, numbers: Iterable[int]) -> float:
        """The share with the best F1 on some of the records, the lowest of several."""
        some = [*numbers]
        right = [self.records[at].spans for at in some]

        def score(share: float) -> float:
            return spans.f1(right, [self.answers[share][at].spans for at in some])

        return max(sorted(self.answers), key=score)

    def held_out(self) -> list[Answer]:
        """Of each record the answer with the share that is best on others (cross-validation)."""
        part = parts_of(len(self.records))
        best = {number: self.best(np.flatnonzero(part != number)) for number in np.unique(part)}
        return [self.answers[best[number]][at] for at, number in enumerate(part)]


def answers_of(task: "Tag", trained: Trained, linear: LinearTagger) -> dict[float, list[Answer]]:
    """The answers to the validation records of mixes with each share."""
    number = {label: index for index, label in enumerate(task.labels)}
    parts = [
        segments_of(trained.tokenizer, record.text, trained.context)
        for record in trained.validation
    ]
    segments = [segment for part in parts for segment in part]
    targets = []
    for record, part in zip(trained.validation, parts, strict=True):
        for segment in part:
            tags = torch.tensor(targets_of(segment.offsets, record.spans, number))
            targets.append(tags[tags != IGNORED])
    network = network_scores(trained.model, trained.tokenizer, segments)
    one = network, transitions_of(trained.model)
    other = [linear.scores(segment.pieces) for segment in segments], linear.transitions

    def answers(scored: Scored) -> list[Answer]:
        found = iter(
            zip(decoded(*scored, segments, task.labels), losses(*scored, targets), strict=True)
        )
        records = []
        for part in parts:
            own = [next(found) for _ in part]
            places = [span for rows, _ in own for span, _ in rows]
            tags = sum(len(segment.pieces) for segment in part)
            records.append(Answer(places, sum(nats for _, nats in own), tags))
        return records

    return {share: answers(mixed(one, other, share)) for share in SHARES}


def mix_sentence(
    share: float, together: Figures, alone: Figures, linear: Figures, count: int
) -> str:
    """A sentence about what each part adds."""
    chosen = plural(count, "validation record")
    if not share:
        return f"a linear tagger was left out: mixed with the GPT, it gains nothing on {chosen}"
    if share == 1:
        return f"the GPT was left out: mixed with a linear tagger, it gains nothing on {chosen}"
    over_gpt = f"{100 * (together['span_f1'] - alone['span_f1']):+.1f}"
    over_linear = f"{100 * (together['span_f1'] - linear['span_f1']):+.1f}"
    return (
        f"the model is a mix: {share:.0%} of each score is that of a linear tagger, a share chosen "
        f"on {chosen}, where the mix has {over_gpt} points of span F1 more than the GPT alone and "
        f"{over_linear} more than the linear tagger alone"
    )
