"""From logits to the next token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from xinye.errors import XinyeError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Sampling(BaseModel):
    """How the next token is chosen and when a text ends."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_tokens: int = Field(200, ge=1, description="at most this many new tokens")
    temperature: float = Field(0.8, ge=0, description="0 always takes the likeliest token; higher is more varied")
    top_k: int | None = Field(None, ge=1, description="choose among the k likeliest tokens")
    top_p: float | None = Field(None, gt=0, le=1, description="choose among the likeliest tokens that reach this share")
    min_p: float | None = Field(
        None, ge=0, le=1, description="drop tokens less likely than this share of the likeliest"
    )
    repetition_penalty: float = Field(
        1.0, gt=0, description="above 1, tokens that stand in the text become less likely"
    )
    stop: tuple[str, ...] = Field((), description="end before any of these strings")
    seed: int | None = Field(None, ge=0, lt=2**63, description="the same seed gives the same texts")


class ChatSampling(Sampling):
    """The same for an answer, which usually ends by itself."""

    max_tokens: int = Field(1000, ge=1, description="an answer has at most this many tokens")


def next_tokens(
    logits: Tensor, sampling: Sampling, history: Sequence[Sequence[int]], generator: torch.Generator
) -> Tensor:
    """One token for each row: (B, V) logits to (B,) tokens; `history` holds the tokens of each row so far."""
    import torch  # not above: `xinye generate --help` needs only the settings

    if not bool(logits.amax(-1).isfinite().all()):
        raise XinyeError("the model computes what is no number: its weights or its config are damaged", exit_code=1)
    if sampling.repetition_penalty != 1.0:  # Keskar et al. 2019, arXiv:1909.05858
        logits = logits.clone()
        for row, tokens in enumerate(history):
            seen = torch.tensor(tokens, dtype=torch.long, device=logits.device)
            values = logits[row, seen]
            penalty = sampling.repetition_penalty
            logits[row, seen] = torch.where(values < 0, values * penalty, values / penalty)
    if sampling.temperature == 0:
        return logits.argmax(-1)
    # where a random share of the sum falls; `torch.multinomial` draws a random number for each token of the vocabulary
    sums = shares(logits, sampling).cpu().cumsum(-1, dtype=torch.float64)
    points = torch.rand(len(sums), 1, dtype=torch.float64, generator=generator) * sums[:, -1:]
    drawn = torch.searchsorted(sums, points, right=True)[:, 0]
    return drawn.clamp(max=sums.shape[1] - 1).to(logits.device)


def shares(logits: Tensor, sampling: Sampling) -> Tensor:
    """What each token's probability is proportional to, (B, V).

    The order is that of `transformers`: temperature, top-k, top-p, min-p.
    """
    logits = logits.float()
    result = ((logits - logits.amax(-1, keepdim=True)) / sampling.temperature).softmax(
        -1
    )  # a tiny one must not overflow
    if sampling.top_k is not None and sampling.top_k < logits.shape[-1]:
        result = _at_least(result.topk(sampling.top_k).values[:, -1:], result)
    if sampling.top_p is not None and sampling.top_p < 1:
        result = _at_least(_least_of_nucleus(result, sampling.top_p), result)
    if sampling.min_p is not None:  # Nguyen et al. 2024, arXiv:2407.01082
        result = _at_least(sampling.min_p * result.amax(-1, keepdim=True), result)
    return result


def _at_least(least: Tensor, result: Tensor) -> Tensor:
    return result.masked_fill(result < least, 0.0)


def _least_of_nucleus(result: Tensor, top_p: float) -> Tensor:
    """The smallest among the likeliest tokens that together reach this share of all (Holtzman et al. 2020,
    arXiv:1904.09751). Most often they are few: the vocabulary is not sorted further than they reach."""
    size, count = result.shape[-1], 64
    wanted = top_p * result.sum(-1, keepdim=True)
    while True:
        ordered = result.topk(min(count, size)).values
        before = ordered.cumsum(-1) - ordered  # what the likelier tokens take; the first is always kept
        if count >= size or bool((before[:, -1:] >= wanted).all()):
            return ordered.gather(-1, (before < wanted).sum(-1, keepdim=True) - 1)
        count *= 8
