"""How likely a model finds the tokens of a text that is already there: what the API's `echo` with
`logprobs` shows, and what judges a model on a benchmark."""

from collections.abc import Iterator

import torch
from torch import Tensor

from xinye.generation.sequence import LogProbability
from xinye.model.build import LanguageModel

LOGITS = 2**23  # computed at a time: 32 MiB in fp32


@torch.inference_mode()
def prompt_log_probabilities(
    model: LanguageModel, vocab_size: int, count: int, prompts: list[list[int]]
) -> list[list[LogProbability]]:
    """Of each token of each prompt but its first, before which nothing stands; with the `count`
    likeliest in its place."""
    model.eval()
    rows = [torch.tensor(prompt, device=model.device) for prompt in prompts]
    # What fills up the shorter ones stands behind them, where no token of theirs sees it.
    states = model.hidden(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True))  # (B, T, C)
    return [
        [*_scores(model, vocab_size, count, tokens, its)]
        for tokens, its in zip(rows, states, strict=True)
    ]


def _scores(
    model: LanguageModel, vocab_size: int, count: int, tokens: Tensor, states: Tensor
) -> Iterator[LogProbability]:
    """Of each of the tokens (T,) but the first, from the states (T, C) or more."""
    positions = max(1, LOGITS // vocab_size)
    for begin in range(0, len(tokens) - 1, positions):
        following = tokens[1:][begin : begin + positions]
        logits = model.lm_head(states[begin : begin + len(following)])[:, :vocab_size]
        logs = logits.float().log_softmax(-1)  # (P, V)
        own = logs.gather(-1, following[:, None])[:, 0]
        likeliest = logs.topk(min(count, vocab_size))
        columns = (following, own, likeliest.indices, likeliest.values)
        for token, log, others, their in zip(*(each.tolist() for each in columns), strict=True):
            yield token, log, [*zip(others, their, strict=True)]
