"""How well a language model predicts text it was not trained on."""

import math
from collections.abc import Iterable

import numpy as np
import torch

from xinye.data.batches import IGNORED, Batch
from xinye.model.build import LanguageModel


@torch.no_grad()
def evaluate(
    model: LanguageModel, batches: Iterable[Batch], token_lengths: np.ndarray
) -> dict[str, float]:
    """Loss in nats per token, and bits per byte of text, which does not depend on the tokenizer.

    `<eos>` counts as a token and has no bytes. Returns `loss`, `bits_per_byte`, `tokens`, `bytes`.
    """
    device = model.device
    was_training = model.training
    model.eval()
    lengths = torch.from_numpy(token_lengths)
    nats, tokens, size = 0.0, 0, 0
    for batch in batches:
        counted = batch.targets[batch.targets != IGNORED]
        tokens += counted.numel()
        size += int(lengths[counted].sum())
        moved = batch.to(device)
        nats += float(model.loss(moved.tokens, moved.targets, moved.positions, moved.documents))
    model.train(was_training)
    return {
        "loss": nats / max(1, tokens),
        "bits_per_byte": nats / math.log(2) / max(1, size),
        "tokens": tokens,
        "bytes": size,
    }
