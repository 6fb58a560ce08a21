"""Log-probabilities of the tokens of a given text, for the API's `echo` with `logprobs` and for
benchmarks."""

from collections.abc import Iterator

import torch
from torch import Tensor

from xinye.generation.sequence import LogProbability
from xinye.model.build import LanguageModel

LOGITS = 2**23  # the logits computed at a time: 32 MiB in fp32


@torch.inference_mode()
def prompt_log_probabilities(
    model: LanguageModel, vocab_size: int, count: int, prompts: list[list[int]]
) -> list[list[LogProbability]]:
    """For each prompt, the log-probability of each token after the first, with the `count`
    likeliest tokens in its place."""
    model.eval()
    rows = [torch.tensor(prompt, device=model.device) for prompt in prompts]
    # Shorter prompts are padded at the end, where none of their tokens attends.
    states = model.hidden(torch.nn.utils.rnn.pad_sequence(rows, batch_first=True))  # (B, T, C)
    return [
        [*_scores(model, vocab_size, count, tokens, its)]
        for tokens, its in zip(rows, states, strict=True)
    ]


def _scores(
    model: LanguageModel, vocab_size: int, count: int, tokens: Tensor, states: Tensor
) -> Iterator[LogProbability]:
    """The same for one prompt, from its tokens (T,) and its hidden states (at least T, C)."""
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
