"""From the logits of a reader to the words that are quoted.

A reader that learned from few questions often points to the right kind of words in a wrong
sentence, so a span counts more, the more its sentence shares with the question. Of all spans that
may be right, those words are quoted whose expected F1 is highest (minimum Bayes risk, Kumar and
Byrne 2004): a few words if the reader is sure, and a clause or a sentence if it is not.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from xinye.data.sentences import CLAUSE
from xinye.model.heads import Head
from xinye.retrieval.sentences import Scored
from xinye.tasks.answer_windows import Window

LONGEST = 60  # tokens of an answer
LEXICAL = 24.0  # how much a sentence counts that has all of the question's terms, in nats
CANDIDATES = 60  # spans of a window that may be right
WHOLE = 1.05  # a clause or a sentence is quoted if a part of it is at most so many times as good
NOWHERE = float("-inf")


@dataclass(frozen=True)
class Candidate:
    """A span that may be the answer: its characters in the passage; its `score`, a logit, from the
    reader and from what its sentence shares with the question; and by how much it is likelier than
    "not in this passage": the `margin` to the reader alone; the `evidence` also by what its
    sentence shares with the question, as if there were no other passage."""

    start: int
    end: int
    score: float
    margin: float
    evidence: float


@dataclass(frozen=True)
class Extract:
    """The words to quote, as `text` and as characters of the passage, and the F1 that is expected
    of them, from 0 to 1; `score`, `margin` and `evidence` are those of the likeliest span."""

    text: str
    start: int
    end: int
    expected_f1: float
    score: float
    margin: float
    evidence: float


def is_in_passage(model: Head, found: Candidate | Extract) -> bool:
    """Whether a span answers, and not "not in this passage": the only place that decides it.

    The evidence must exceed the threshold that the reader learned. One that learned none, made
    elsewhere, answers if its margin is positive (Devlin et al. 2019, arXiv:1810.04805)."""
    if model.config.threshold is None:
        return found.margin > 0
    return found.evidence > model.config.threshold


def answered(model: Head, found: Sequence[Extract]) -> list[Extract]:
    """The extracts, without text if the passage has no answer."""
    return [
        each if is_in_passage(model, each) else replace(each, text="", start=0, end=0)
        for each in found
    ]


def candidates(window: Window, logits: Tensor, sentences: Sequence[Scored]) -> list[Candidate]:
    """The likeliest spans of a window, each inside a sentence. `logits` are (T, 2), of begin and
    end, and `sentences` those of the passage. If the passage has no word of the question, nothing
    speaks for any span."""
    if not window.offsets or not sentences:
        return []
    size = len(window.offsets)
    probable = logits.log_softmax(0)
    here = probable[window.first : window.first + size]  # (P, 2)
    starts = [sentence.start for sentence in sentences]
    of = torch.tensor([max(0, bisect_right(starts, at) - 1) for at, _ in window.offsets])  # (P,)
    shares = torch.tensor([sentence.share for sentence in sentences])
    read = here[:, :1] + here[:, 1]  # (P, P), of spans from row to column
    length = torch.arange(size) - torch.arange(size)[:, None]
    inside = (length >= 0) & (length < LONGEST) & (of == of[:, None])
    scores = (read + LEXICAL * shares[of][:, None]).masked_fill(~inside, NOWHERE)
    best = scores.flatten().topk(min(CANDIDATES, int(inside.sum())))
    nowhere = float(probable[0].sum())
    comparable = any(share > 0 for share in shares.tolist())
    found = []
    for score, at in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        begin, end = divmod(at, size)
        span = window.offsets[begin][0], window.offsets[end][1]
        margin = float(read[begin, end]) - nowhere
        evidence = margin + LEXICAL * sentences[int(of[begin])].alone
        if not comparable:
            margin = evidence = NOWHERE
        found.append(Candidate(*span, score, margin, evidence))
    return found


def quote(passage: str, found: Sequence[Candidate], sentences: Sequence[Scored]) -> Extract:
    """The words of a passage whose expected F1 is highest: one of the spans that may be right, a
    clause or a sentence."""
    if not found:
        return Extract("", 0, 0, 0.0, NOWHERE, NOWHERE, NOWHERE)
    best = max(found, key=lambda each: each.score)
    spans = torch.tensor([[each.start, each.end] for each in found])
    weights = torch.tensor([each.score for each in found]).softmax(0)
    whole = [(each.start, each.start + len(each.text)) for each in sentences]
    clauses = [match.span() for match in CLAUSE.finditer(passage)]
    options = torch.cat([spans, torch.tensor([*whole, *clauses])])
    expected = _overlap(options, spans) @ weights
    expected[len(spans) :] *= WHOLE
    at = int(expected.argmax())
    start, end = options[at].tolist()
    start += len(passage[start:end]) - len(passage[start:end].lstrip())
    text = passage[start:end].strip()
    return Extract(
        text, start, start + len(text), min(1.0, float(expected[at])), best.score, best.margin,
        best.evidence,
    )  # fmt: skip


def _overlap(options: Tensor, spans: Tensor) -> Tensor:
    """The F1 of each option with each span by their characters, (O, S); both hold begin and
    end."""
    shared = torch.minimum(options[:, None, 1], spans[:, 1])
    shared = (shared - torch.maximum(options[:, None, 0], spans[:, 0])).clamp(min=0)
    lengths = (options[:, 1] - options[:, 0])[:, None] + (spans[:, 1] - spans[:, 0])
    return 2 * shared / lengths
