"""One vector for each text: the mean of a network's hidden states."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from xinye.model.build import LanguageModel, Network
from xinye.model.heads import Head

BATCH = 8192  # tokens that are computed together


@torch.inference_mode()
def mean_states(network: Network, rows: Sequence[Sequence[int]], before: int = 0) -> Tensor:
    """The mean of the last layer's states over the tokens of each row after the first `before`,
    (rows, C) in fp32, on the CPU."""
    gpt = network.gpt if isinstance(network, Head) else network
    gpt.eval()
    means = torch.zeros(len(rows), gpt.config.hidden_size)
    for numbers in _batches(gpt, rows):
        lengths = torch.tensor([len(rows[number]) for number in numbers])
        tokens = torch.zeros(len(numbers), int(lengths.max()), dtype=torch.long)
        for place, number in enumerate(numbers):
            tokens[place, : len(rows[number])] = torch.tensor(rows[number])
        states = gpt.hidden(tokens.to(gpt.device)).float().cpu()  # (B, T, C)
        columns = torch.arange(tokens.shape[1])
        counted = (columns >= before) & (columns < lengths[:, None])  # (B, T)
        total = states.masked_fill(~counted[..., None], 0).sum(1)
        means[numbers] = total / counted.sum(1, keepdim=True)
    return means


def _batches(gpt: LanguageModel, rows: Sequence[Sequence[int]]) -> Iterator[list[int]]:
    """The numbers of rows that are computed together, the shortest first. A network that reads in
    both directions would read what fills up the shorter rows: its rows come one by one."""
    together = BATCH if getattr(gpt.config, "is_causal", True) else 0
    batch: list[int] = []
    for number in sorted(range(len(rows)), key=lambda number: len(rows[number])):
        if batch and (len(batch) + 1) * len(rows[number]) > together:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch
