"""Spans from the scores of a tagger: the likeliest sequence of tags of each segment."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from xinye.data.tokenizer import Tokenizer
from xinye.evaluation.spans import Span
from xinye.model import crf
from xinye.model.heads import Head
from xinye.model.loss import IGNORED
from xinye.tasks.records import Example, Examples
from xinye.tasks.tag_spans import Segment, first_transitions, spans_of

BATCH = 32


@torch.no_grad()
def network_scores(model: Head, tokenizer: Tokenizer, segments: Sequence[Segment]) -> list[Tensor]:
    """The score of each tag for the tokens with text of each segment, (T, L)."""
    model.eval()
    device = next(model.parameters()).device
    examples = Examples([Example(each.tokens, each.targets) for each in segments], tokenizer.pad_id)
    found = [torch.empty(0)] * len(segments)
    for numbers, batch in examples.in_order(BATCH):
        scores = model(batch.tokens.to(device), batch.lengths.to(device)).cpu()
        for number, row, targets in zip(numbers, scores, batch.targets, strict=True):
            found[number] = row[targets != IGNORED]
    return found


def transitions_of(model: Head) -> Tensor:
    """The scores of steps between tags: the learned ones, or those that only forbid some."""
    if model.config.transitions:
        return model.score.transitions.detach().float().cpu()
    return first_transitions(model.config.labels)


def decoded(
    scores: Sequence[Tensor],
    transitions: Tensor,
    segments: Sequence[Segment],
    labels: Sequence[str],
) -> list[list[tuple[Span, float]]]:
    """The spans of each segment, each with the mean probability of its tokens' tags. The
    probability of a tag is that of all sequences that have it there."""
    found: list[list[tuple[Span, float]]] = [[] for _ in segments]
    for some, padded, real in batches(scores):
        tags = crf.likeliest(padded, real, transitions)
        shares = crf.marginals(padded, real, transitions).gather(-1, tags[..., None]).squeeze(-1)
        for number, row, sure in zip(some, tags.tolist(), shares.tolist(), strict=True):
            places = [(start, end) for start, end in segments[number].offsets if start < end]
            named = [(labels[tag], share) for tag, share in zip(row, sure, strict=True)]
            found[number] = spans_of(places, named[: len(places)])
    return found


def losses(scores: Sequence[Tensor], transitions: Tensor, targets: Sequence[Tensor]) -> list[float]:
    """The negative log-likelihood in nats of the right tags of each segment."""
    found = [0.0] * len(scores)
    for some, padded, real in batches(scores):
        tags = pad_sequence([targets[number] for number in some], batch_first=True)
        nats = -crf.log_likelihood(padded, real, transitions, tags)
        for number, loss in zip(some, nats.tolist(), strict=True):
            found[number] = loss
    return found


def batches(scores: Sequence[Tensor]) -> Iterator[tuple[list[int], Tensor, Tensor]]:
    """The numbers of segments of about the same length, their scores (B, T, L), and which of these
    are real, (B, T). Segments without any tokens are left out."""
    numbers = sorted(range(len(scores)), key=lambda number: len(scores[number]))
    numbers = [number for number in numbers if len(scores[number])]
    for at in range(0, len(numbers), BATCH):
        some = numbers[at : at + BATCH]
        padded = pad_sequence([scores[number] for number in some], batch_first=True)
        lengths = torch.tensor([len(scores[number]) for number in some])
        yield some, padded, torch.arange(padded.shape[1]) < lengths[:, None]
