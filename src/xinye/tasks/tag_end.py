"""The end of a tagger's training: a linear tagger learns from the same records, and is mixed with
the network if that is better on the validation records."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from xinye.errors import plural
from xinye.evaluation import spans
from xinye.evaluation.linear_tagger import LinearTagger
from xinye.tasks.tag_decoding import decoded, network_scores, transitions_of
from xinye.tasks.tag_mix import ALONE, LINEAR_ALONE, SHARES, Scored, TagMix, learned, mixed
from xinye.tasks.tag_spans import TaggedText, segments_of
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
    context, records = trained.context, trained.validation

    def learned_from(some: Sequence[TaggedText]) -> tuple[LinearTagger, int]:
        return learned(trained.tokenizer, some, task.labels, context, trained.settings.seed)

    linear, drawn = learned_from(trained.training)
    parts = [segments_of(trained.tokenizer, record.text, context) for record in records]
    segments = [segment for part in parts for segment in part]
    network = network_scores(trained.model, trained.tokenizer, segments)
    one = network, transitions_of(trained.model)
    other = [linear.scores(segment.pieces) for segment in segments], linear.transitions

    def judged(scored: Scored) -> Figures:
        found = iter(decoded(*scored, segments, task.labels))
        of_records = [[span for _ in part for span, _ in next(found)] for part in parts]
        return spans.measure([record.spans for record in records], of_records)

    figures = {share: judged(mixed(one, other, share)) for share in SHARES}
    share = max(SHARES, key=lambda share: (figures[share]["span_f1"], -share))
    alone, of_linear = figures[0.0], judged(other)
    if share:
        if not trained.settings.validation:
            linear, _ = learned_from([*trained.training, *records])
        task.mix = TagMix(linear, share)
        task.mix.save(trained.folder, task.labels)
    findings = [compared(share, figures[share], alone, of_linear, len(records))]
    if drawn < len(trained.training):
        findings.append(
            f"the linear tagger has learned from {drawn:,} of "
            f"{plural(len(trained.training), 'training record')}, drawn at random: all need too "
            "much memory"
        )
    return {
        "measured": figures[share],
        "mixes": [{"name": ALONE, **alone}, {"name": LINEAR_ALONE, **of_linear}],
        "compared": findings,
    }


def compared(share: float, together: Figures, alone: Figures, linear: Figures, count: int) -> str:
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
