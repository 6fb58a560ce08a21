"""Measures how well a model predicts a text, in windows that slide over it.

A window begins with `<bos>`, as in training, and holds at most `context` tokens. The next one
begins `stride` tokens later, and scores only tokens that no earlier window had. So each token is
scored once, after at least `context - stride` tokens, except near the beginning of its document. No
window reaches into another document. If a tokenizer puts nothing before a text (GPT-2, Qwen), the
first token of a window has no prediction, and is not scored.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch

from xinye.data.batches import IGNORED, Batch
from xinye.data.tokenizer import Tokenizer
from xinye.model.build import LanguageModel

LOGITS = 2**23  # computed at a time: 32 MiB in fp32
TARGETS = 8192  # tokens that are scored once for each length of context
SHORTEST = 8  # tokens of context


@torch.no_grad()
def evaluate(
    model: LanguageModel, batches: Iterable[Batch], token_lengths: np.ndarray
) -> dict[str, float]:
    """`loss` in nats per token, `bits_per_byte` of text (which does not depend on the tokenizer),
    and the number of `tokens` and `bytes`.

    `token_lengths` (V,) holds the bytes of each token. `<eos>` counts as a token without bytes.
    """
    was_training = model.training
    model.eval()
    lengths = torch.from_numpy(token_lengths)
    nats, tokens, size = 0.0, 0, 0
    for batch in batches:
        counted = batch.targets[batch.targets != IGNORED]
        tokens += counted.numel()
        size += int(lengths[counted].sum())
        moved = batch.to(model.device)
        inputs = moved.tokens, moved.targets, moved.positions, moved.documents
        nats += float(model.loss(*inputs, borders=moved.borders))
    model.train(was_training)
    return {
        "loss": nats / max(1, tokens),
        "bits_per_byte": nats / math.log(2) / max(1, size),
        "tokens": tokens,
        "bytes": size,
    }


def sliding_windows(spans: np.ndarray, context: int, stride: int) -> np.ndarray:
    """The windows over spans (n, 2) of a corpus, (W, 3): the start of each window, of its scored
    tokens, and its end.
    """
    starts, ends = spans[spans[:, 0] < spans[:, 1]].T
    counts = 1 + np.maximum(0, -(-(ends - starts - context) // stride))
    document = np.repeat(np.arange(len(starts)), counts)
    number = np.arange(len(document)) - np.repeat(np.cumsum(counts) - counts, counts)
    begin = starts[document] + number * stride
    scored = np.where(number > 0, begin + context - stride, begin)
    return np.stack((begin, scored, np.minimum(begin + context, ends[document])), axis=1)


def perplexity(
    model: LanguageModel,
    tokenizer: Tokenizer,
    tokens: np.ndarray,
    windows: np.ndarray,
    on_progress: Callable[[int], None] = lambda tokens: None,
) -> dict[str, Any]:
    """The metrics of the windows' scored tokens: `loss` in nats per token, `perplexity`,
    `bits_per_byte`, `bits_per_character`, and the number of `tokens`, `bytes` and `characters`.

    `<eos>` counts as a token without bytes. `on_progress` is called with the number of tokens done.
    """
    characters = scored = 0

    def counted() -> Iterator[Batch]:
        nonlocal characters, scored
        for batch in _batches(
            tokens, windows, tokenizer.prefix[-1:], LOGITS // model.config.vocab_size
        ):
            targets = batch.targets[batch.targets != IGNORED].numpy()
            characters += int(tokenizer.token_characters[targets].sum())
            scored += len(targets)
            yield batch
            on_progress(scored)

    figures = evaluate(model, counted(), tokenizer.token_lengths)
    nats = figures["loss"] * figures["tokens"]
    return {
        "loss": figures["loss"],
        "perplexity": math.exp(min(figures["loss"], 700)),
        "bits_per_byte": figures["bits_per_byte"],
        "bits_per_character": nats / math.log(2) / max(1, characters),
        "tokens": figures["tokens"],
        "bytes": figures["bytes"],
        "characters": characters,
    }


def _batches(
    tokens: np.ndarray, windows: np.ndarray, prefix: tuple[int, ...], room: int
) -> Iterator[Batch]:
    """The windows in batches of equal length and at most `room` tokens, so that there is no
    padding.
    """
    lengths = windows[:, 2] - windows[:, 0]
    order = np.argsort(-lengths, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        length = int(lengths[group[0]])
        rows = max(1, room // length)
        for first in range(0, len(group), rows):
            chosen = windows[group[first : first + rows]]
            targets = tokens[chosen[:, :1] + np.arange(length)].astype(np.int64)  # (B, T)
            before = np.full((len(chosen), len(prefix)), prefix, dtype=np.int64)
            inputs = np.concatenate((before, targets[:, :-1]), axis=1)
            targets[np.arange(length) < (chosen[:, 1] - chosen[:, 0])[:, None]] = IGNORED
            # without a prefix, the first token is not a target
            targets = targets[:, length - inputs.shape[1] :]
            if targets.size:
                yield Batch(torch.from_numpy(inputs), torch.from_numpy(targets), None, None)


def same_targets(spans: np.ndarray, longest: int) -> np.ndarray:
    """Runs of tokens (R, 2), spread evenly over the spans, with about `TARGETS` tokens in all. Each
    has at least `longest` tokens of its document before it, so that different contexts score the
    same text.
    """
    length = max(1, longest // 8)
    counts = np.maximum(0, (spans[:, 1] - spans[:, 0] - longest) // length)
    chosen = np.unique(
        np.linspace(0, counts.sum() - 1, min(int(counts.sum()), TARGETS // length)).astype(np.int64)
    )
    span = np.searchsorted(np.cumsum(counts), chosen, side="right")
    starts = spans[span, 0] + longest + (chosen - (np.cumsum(counts) - counts)[span]) * length
    return np.stack((starts, starts + length), axis=1)


def windows_of_context(runs: np.ndarray, context: int) -> np.ndarray:
    """Windows (W, 3) that score all tokens of the runs, each after at most `context` tokens and at
    least 7/8 of that.
    """
    stride = max(1, context // 8)
    scored = np.concatenate([np.arange(start, end, stride) for start, end in runs])
    ends = np.minimum(
        scored + stride, np.repeat(runs[:, 1], -(-(runs[:, 1] - runs[:, 0]) // stride))
    )
    return np.stack((ends - context, scored, ends), axis=1)


def by_position(
    model: LanguageModel, tokenizer: Tokenizer, tokens: np.ndarray, spans: np.ndarray, context: int
) -> list[dict[str, float]]:
    """What a longer context gains: the metrics of the same tokens with 8, 16, 32 … up to `context`
    tokens before them, one dictionary for each.

    It uses about 8,192 tokens, spread evenly over the text, that have the longest context in their
    own document. If too few have it, the longest context is halved; the list is empty if all
    documents are too short.
    """
    runs = same_targets(spans, context)
    enough = min(TARGETS // 16, (spans[:, 1] - spans[:, 0]).sum() // 4)
    while context > SHORTEST and (runs[:, 1] - runs[:, 0]).sum() < enough:
        context //= 2
        runs = same_targets(spans, context)
    if not len(runs) or context <= SHORTEST:
        return []
    contexts = [*(2**power for power in range(3, 32) if 2**power < context), context]
    return [
        {"context": length} | perplexity(model, tokenizer, tokens, windows_of_context(runs, length))
        for length in contexts
    ]
