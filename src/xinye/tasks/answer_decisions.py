"""Why a reader points to an answer, in the form that `jobs/explain.py` asks for."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.model.heads import Head
from xinye.retrieval.sentences import scored_sentences
from xinye.tasks.answer_spans import candidates, is_in_passage
from xinye.tasks.answer_windows import Window, windows_of
from xinye.tasks.decisions import Decision, Place, log_odds, place_in


@torch.no_grad()
def pointing(
    model: Head, tokenizer: Tokenizer, pair: Sequence[str], context: int, answer: str | None
) -> Decision:
    """The decision for the likeliest answer in a passage, for "not in this passage" (its name is
    ""), or for the words `answer` of the passage. `pair` is the question and the passage. Raises
    `XinyeError` if the passage does not have these words."""
    model.eval()
    device = next(model.parameters()).device
    question, passage = pair
    windows = windows_of(tokenizer, question, passage, context)
    logits = [
        model(
            torch.tensor([window.tokens], device=device),
            torch.tensor([len(window.tokens)], device=device),
        )[0].cpu()
        for window in windows
    ]
    sentences = scored_sentences(question, [passage])
    found = [
        (candidate, number)
        for number, (window, each) in enumerate(zip(windows, logits, strict=True))
        for candidate in candidates(window, each, sentences)
    ]
    likeliest, best = max(found, key=lambda pair: pair[0].score)
    span = (likeliest.start, likeliest.end) if is_in_passage(model, likeliest) else None
    if answer is not None:
        start = passage.find(answer)
        if start < 0 or not answer.strip():
            raise XinyeError(f"the passage does not have the words {answer!r}")
        span = start, start + len(answer)
        inside = [at for at, window in enumerate(windows) if window.targets(span) != (0, 0)]
        if not inside:
            raise XinyeError(f"the words {answer!r} are too long for one window of the passage")
        best = max(inside, key=lambda at: float(_probability(windows[at], span, logits[at])))
    window = windows[best]
    return Decision(
        "" if span is None else passage[span[0] : span[1]],
        float(_probability(window, span, logits[best])),
        window.tokens,
        _places(tokenizer, pair, window),
        partial(_log_odds, window.targets(span)),
        None if span is None else span[0],
        None if span is None else span[1],
        window.cut,
    )


def _probability(window: Window, span: tuple[int, int] | None, logits: Tensor) -> Tensor:
    begin, end = window.targets(span)
    probable = logits.softmax(0)
    return probable[begin, 0] * probable[end, 1]


def _log_odds(pointers: tuple[int, int], logits: Tensor) -> Tensor:
    """The log-odds of the first and the last token of an answer, their mean, from logits (T, 2)."""
    begin, end = (log_odds(logits[:, at], [token]) for at, token in enumerate(pointers))
    return (begin + end) / 2


def _places(tokenizer: Tokenizer, pair: Sequence[str], window: Window) -> list[Place | None]:
    [asked] = tokenizer.encodings([pair[0]])
    question = [place_in(pair, 0, offsets) for offsets in asked.offsets[: window.first - 2]]
    passage = [place_in(pair, 1, offsets) for offsets in window.offsets]
    return [None, *question, None, *passage, None]
