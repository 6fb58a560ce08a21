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
    """One token for each row: (B, V) logits to (B,) tokens; `history` holds the tokens of each row so far.

    The order is that of `transformers`: repetition penalty, temperature, top-k, top-p, min-p.
    """
    import torch  # not above: `xinye generate --help` needs only the settings

    logits = logits.to(torch.float32, copy=True)
    if not bool(logits.amax(-1).isfinite().all()):
        raise XinyeError("the model computes what is no number: its weights or its config are damaged", exit_code=1)
    if sampling.repetition_penalty != 1.0:  # Keskar et al. 2019, arXiv:1909.05858
        for row, tokens in enumerate(history):
            seen = torch.tensor(sorted(set(tokens)), device=logits.device)
            values = logits[row, seen]
            penalty = sampling.repetition_penalty
            logits[row, seen] = torch.where(values < 0, values * penalty, values / penalty)
    if sampling.temperature == 0:
        return logits.argmax(-1)
    logits = (logits - logits.amax(-1, keepdim=True)) / sampling.temperature  # a tiny one must not make infinities
    if sampling.top_k is not None and sampling.top_k < logits.shape[-1]:
        least = logits.topk(sampling.top_k).values[:, -1:]
        logits = logits.masked_fill(logits < least, float("-inf"))
    if sampling.top_p is not None and sampling.top_p < 1:  # Holtzman et al. 2020, arXiv:1904.09751
        ordered, order = logits.sort(descending=True)
        probabilities = ordered.softmax(-1)
        before = probabilities.cumsum(-1) - probabilities  # what the likelier tokens take; the first is always kept
        logits = logits.masked_fill(
            (before >= sampling.top_p).scatter(1, order, before >= sampling.top_p), float("-inf")
        )
    if sampling.min_p is not None:  # Nguyen et al. 2024, arXiv:2407.01082
        probabilities = logits.softmax(-1)
        least = sampling.min_p * probabilities.max(-1, keepdim=True).values
        logits = logits.masked_fill(probabilities < least, float("-inf"))
    return torch.multinomial(logits.softmax(-1).cpu(), 1, generator=generator)[:, 0].to(logits.device)
