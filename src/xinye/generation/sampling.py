"""From logits to the next token."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from xinye.libraries import need

if TYPE_CHECKING:
    from torch import Tensor

    from xinye.generation.sequence import LogProbability, Sequence

Bias = Annotated[float, Field(ge=-100, le=100)]


class Sampling(BaseModel):
    """How the next token is chosen and when a text ends."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_tokens: int = Field(200, ge=1, description="at most this many new tokens")
    min_tokens: int = Field(
        0, ge=0, description="no token ends the text before this many; a stop string does"
    )
    temperature: float = Field(
        0.8, ge=0, description="0 always takes the likeliest token; higher is more varied"
    )
    top_k: int | None = Field(None, ge=1, description="choose among the k likeliest tokens")
    top_p: float | None = Field(
        None, gt=0, le=1, description="choose among the likeliest tokens that reach this share"
    )
    min_p: float | None = Field(
        None, ge=0, le=1, description="drop tokens less likely than this share of the likeliest"
    )
    repetition_penalty: float = Field(
        1.0, gt=0, description="above 1, tokens that stand in the text become less likely"
    )
    presence_penalty: float = Field(
        0.0,
        ge=-2,
        le=2,
        description="above 0, tokens that were written already become less likely (OpenAI's)",
    )
    frequency_penalty: float = Field(
        0.0, ge=-2, le=2, description="the same for each time that a token was written"
    )
    logit_bias: dict[int, Bias] = Field(
        {}, description="what is added to the logits of these tokens, by number"
    )
    stop: tuple[str, ...] = Field((), description="end before any of these strings")
    stop_token_ids: tuple[int, ...] = Field((), description="end at any of these tokens")
    logprobs: int | None = Field(
        None,
        ge=0,
        le=20,
        description="tell the log-probability of each token, and of this many likeliest ones",
    )
    seed: int | None = Field(None, ge=0, lt=2**63, description="the same seed gives the same texts")
    json_schema: dict[str, Any] | None = Field(
        None, description="write JSON that fulfils this schema"
    )
    regex: str | None = Field(
        None, description="write what this regular expression matches as a whole"
    )
    choices: tuple[str, ...] | None = Field(None, description="write one of these: a,b,c")

    @field_validator("choices", mode="before")
    @classmethod
    def _choices(cls, value: Any) -> Any:
        """Several choices in one string, or each in its own."""
        if isinstance(value, str):
            value = [part.strip() for part in re.split("[,，]", value)]
        if isinstance(value, list | tuple) and (not value or "" in value):
            raise ValueError("name at least one, and none that is empty")
        return value

    @model_validator(mode="after")
    def _one_constraint(self) -> Self:
        given = [
            name for name in ("json_schema", "regex", "choices") if getattr(self, name) is not None
        ]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)}: give one of them")
        if given and (self.stop or self.stop_token_ids):
            raise ValueError(
                f"stop: with {given[0]} a text ends where it is complete; nothing else may end it"
            )
        for name in given:
            need(name, "llguidance")
        return self

    @cached_property
    def shifts(self) -> bool:
        """Whether it changes logits, other than by the temperature."""
        return bool(
            self.repetition_penalty != 1
            or self.presence_penalty
            or self.frequency_penalty
            or self.logit_bias
            or self.min_tokens
        )


class ChatSampling(Sampling):
    """The same for an answer, which usually ends by itself."""

    max_tokens: int = Field(1000, ge=1, description="an answer has at most this many tokens")


def next_tokens(logits: Tensor, sequences: list[Sequence]) -> Tensor:
    """One token for each row: (B, V) logits in fp32 to (B,) tokens, as the sampling of its sequence says.

    The order is OpenAI's, then that of `transformers`: bias, penalties, temperature, top-k, top-p, min-p.
    """
    import torch  # not above: `xinye generate --help` needs only the settings

    logits = shifted(logits, sequences)
    chosen = logits.argmax(-1)
    drawn = [row for row, sequence in enumerate(sequences) if sequence.sampling.temperature > 0]
    if drawn:
        some, drawing = (
            (logits if len(drawn) == len(sequences) else logits[drawn]),
            [sequences[row] for row in drawn],
        )
        # where a random share of the sum falls; `torch.multinomial` draws a random number for each token
        sums = (
            shares(some, [sequence.sampling for sequence in drawing])
            .cpu()
            .cumsum(-1, dtype=torch.float64)
        )
        random = torch.tensor(
            [[sequence.random.random()] for sequence in drawing], dtype=torch.float64
        )
        tokens = torch.searchsorted(sums, random * sums[:, -1:], right=True)[:, 0].clamp(
            max=sums.shape[1] - 1
        )
        chosen[drawn] = tokens.to(chosen.device)
    return chosen


def shifted(logits: Tensor, sequences: list[Sequence]) -> Tensor:
    """The logits with bias and penalties, and without what may not come now; those given stay as they are."""
    rows = [
        row
        for row, sequence in enumerate(sequences)
        if sequence.sampling.shifts or sequence.constraint
    ]
    if rows:
        logits = logits.clone()
        for row in rows:
            _shift(logits[row], sequences[row])
    return logits


def _shift(logits: Tensor, sequence: Sequence) -> None:
    """Change the logits (V,) of a sequence, in place: bias, penalties, and what may not come now."""
    import torch

    sampling, device = sequence.sampling, logits.device
    if sampling.logit_bias:
        biased = torch.tensor([*sampling.logit_bias], device=device)
        logits[biased] += torch.tensor([*sampling.logit_bias.values()], device=device)
    if sampling.repetition_penalty != 1:  # Keskar et al. 2019, arXiv:1909.05858
        seen = torch.tensor(sequence.tokens, device=device)
        values = logits[seen]
        penalty = sampling.repetition_penalty
        logits[seen] = torch.where(values < 0, values * penalty, values / penalty)
    if sampling.presence_penalty or sampling.frequency_penalty:
        written, times = torch.tensor(sequence.tokens[sequence.prompt_tokens :]).unique(
            return_counts=True
        )
        penalties = sampling.presence_penalty + sampling.frequency_penalty * times
        logits[written.long().to(device)] -= penalties.to(device)
    if sequence.constraint is not None and sequence.error is None:
        logits[~sequence.constraint.allowed().to(device)] = -torch.inf
    elif sequence.completion_tokens < sampling.min_tokens:
        logits[[*sequence.ends]] = -torch.inf


def shares(logits: Tensor, samplings: list[Sampling]) -> Tensor:
    """What each token's probability is proportional to, (B, V), for (B, V) logits in fp32."""
    import torch

    def column(values: list[Any]) -> Tensor:
        return torch.tensor(values, device=logits.device)[:, None]

    temperature = column(
        [max(sampling.temperature, 1e-30) for sampling in samplings]
    )  # a tiny one must not overflow
    result = ((logits - logits.amax(-1, keepdim=True)) / temperature).softmax(-1)
    if any(
        most := [sampling.top_k or 0 for sampling in samplings]
    ):  # 0, here and below: without effect
        ordered = result.topk(min(max(most), result.shape[-1])).values
        last = (column(most) - 1).clamp(0, ordered.shape[1] - 1)
        result = _at_least(ordered.gather(-1, last) * (column(most) > 0), result)
    nucleus = [0.0 if sampling.top_p in (None, 1) else sampling.top_p for sampling in samplings]
    if any(nucleus):
        result = _at_least(
            _least_of_nucleus(result, column(nucleus)) * (column(nucleus) > 0), result
        )
    if any(
        least := [sampling.min_p or 0.0 for sampling in samplings]
    ):  # Nguyen et al. 2024, arXiv:2407.01082
        result = _at_least(column(least) * result.amax(-1, keepdim=True), result)
    return result


def _at_least(least: Tensor, result: Tensor) -> Tensor:
    return result.masked_fill(result < least, 0.0)


def _least_of_nucleus(result: Tensor, top_p: Tensor) -> Tensor:
    """The smallest among the likeliest tokens that together reach this share of all (Holtzman et al. 2020,
    arXiv:1904.09751), both (B, 1). Most often they are few: the vocabulary is not sorted further than they reach."""
    size, count = result.shape[-1], 64
    wanted = top_p * result.sum(-1, keepdim=True)
    while True:
        ordered = result.topk(min(count, size)).values
        before = (
            ordered.cumsum(-1) - ordered
        )  # what the likelier tokens take; the first is always kept
        if count >= size or bool((before[:, -1:] >= wanted).all()):
            return ordered.gather(-1, ((before < wanted).sum(-1, keepdim=True) - 1).clamp(min=0))
        count *= 8


def log_probabilities(logits: Tensor, token: int, count: int) -> LogProbability:
    """Of a token, and of the `count` likeliest, by the model's own logits (V,) before any sampling."""
    logs = logits.log_softmax(-1)
    likeliest = logs.topk(min(count, len(logs)))
    return (
        token,
        float(logs[token]),
        list(zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)),
    )
