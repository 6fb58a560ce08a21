"""Choose the next token from logits."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from xinye.generation.sampling import Sampling
from xinye.generation.sequence import LogProbability, Sequence


def next_tokens(logits: Tensor, sequences: list[Sequence]) -> Tensor:
    """The next token of each sequence, (B,), drawn from logits (B, V) in fp32 with its own
    sampling.

    The settings apply in the order of OpenAI and then of `transformers`: bias, penalties,
    temperature, top-k, top-p, min-p.
    """
    logits = shifted(logits, sequences)
    drawn = [row for row, sequence in enumerate(sequences) if sequence.sampling.temperature > 0]
    if len(drawn) == len(sequences):
        chosen = torch.empty(len(drawn), dtype=torch.long, device=logits.device)
    elif logits.is_cpu:  # NumPy's is ten times as fast as PyTorch's on a CPU
        chosen = torch.from_numpy(logits.numpy().argmax(-1))
    else:
        chosen = logits.argmax(-1)
    if drawn:
        some, drawing = (
            (logits if len(drawn) == len(sequences) else logits[drawn]),
            [sequences[row] for row in drawn],
        )
        # One random number for each text picks a place in the cumulative sum. `torch.multinomial`
        # would draw one for each token of the vocabulary.
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


def finite_rows(logits: Tensor) -> list[bool]:
    """Whether the largest number in each row of logits (B, V) is finite; a NaN is the largest."""
    if logits.is_cpu:  # NumPy's takes a few microseconds and PyTorch's a tenth of a millisecond
        finite: list[bool] = np.isfinite(logits.numpy().max(-1)).tolist()
        return finite
    return logits.amax(-1).isfinite().tolist()


def shifted(logits: Tensor, sequences: list[Sequence]) -> Tensor:
    """The logits with bias, penalties and constraints applied. The tensor given is not changed."""
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
    """Apply bias, penalties and constraints to the logits (V,) of a sequence, in place."""
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
    """The tokens' probabilities up to a factor for each row, (B, V), after temperature, top-k,
    top-p and min-p, for logits (B, V) in fp32. Tokens that are cut off get 0."""

    def column(values: list[Any]) -> Tensor:
        return torch.tensor(values, device=logits.device)[:, None]

    # A tiny temperature must not overflow.
    temperature = column([max(sampling.temperature, 1e-30) for sampling in samplings])
    result = ((logits - logits.amax(-1, keepdim=True)) / temperature).softmax(-1)
    # Here and below 0 means that the setting is off.
    if any(most := [sampling.top_k or 0 for sampling in samplings]):
        ordered = result.topk(min(max(most), result.shape[-1])).values
        last = (column(most) - 1).clamp(0, ordered.shape[1] - 1)
        result = _at_least(ordered.gather(-1, last) * (column(most) > 0), result)
    nucleus = [0.0 if sampling.top_p in (None, 1) else sampling.top_p for sampling in samplings]
    if any(nucleus):
        result = _at_least(
            _least_of_nucleus(result, column(nucleus)) * (column(nucleus) > 0), result
        )
    # Nguyen et al. 2024, arXiv:2407.01082
    if any(least := [sampling.min_p or 0.0 for sampling in samplings]):
        result = _at_least(column(least) * result.amax(-1, keepdim=True), result)
    return result


def _at_least(least: Tensor, result: Tensor) -> Tensor:
    return result.masked_fill(result < least, 0.0)


def _least_of_nucleus(result: Tensor, top_p: Tensor) -> Tensor:
    """The probability of the least likely token in the nucleus, (B, 1): the smallest set of
    likeliest tokens whose sum is at least `top_p` (B, 1) of the row (Holtzman et al. 2020,
    arXiv:1904.09751).

    The nucleus is usually small, so only as many tokens as needed are sorted.
    """
    size, count = result.shape[-1], 64
    wanted = top_p * result.sum(-1, keepdim=True)
    while True:
        ordered = result.topk(min(count, size)).values
        # The sum of all likelier tokens. It is 0 for the first one, which is always kept.
        before = ordered.cumsum(-1) - ordered
        if count >= size or bool((before[:, -1:] >= wanted).all()):
            return ordered.gather(-1, ((before < wanted).sum(-1, keepdim=True) - 1).clamp(min=0))
        count *= 8


def log_probabilities(logits: Tensor, token: int, count: int) -> LogProbability:
    """The log-probabilities of a token and of the `count` likeliest tokens, from the model's logits
    (V,) before sampling."""
    logs = logits.log_softmax(-1)
    likeliest = logs.topk(min(count, len(logs)))
    return (
        token,
        float(logs[token]),
        list(zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)),
    )
