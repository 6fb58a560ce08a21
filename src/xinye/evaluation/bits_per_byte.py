"""How well a language model predicts text it was not trained on."""

import math
from collections.abc import Iterable

import numpy as np
import torch

from xinye.data.batches import IGNORED, Batch
from xinye.model.build import LanguageModel


@torch.no_grad()
def evaluate(model: LanguageModel, batches: Iterable[Batch], token_lengths: np.ndarray) -> dict[str, float]:
    """Loss in nats per token, and bits per byte of text, which does not depend on the tokenizer.

    `<eos>` counts as a token and has no bytes. Returns `loss`, `bits_per_byte`, `tokens`, `bytes`.
    """
    device = model.lm_head.weight.device
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


@torch.no_grad()
def losses_by_position(model: LanguageModel, batches: Iterable[Batch]) -> list[dict[str, float]]:
    """Mean loss in nats per token by the number of tokens seen before, in buckets that double in width.

    Each bucket tells `from` (counted from 0, that token included), `to` (not included), `loss` and `tokens`.
    """
    device = model.lm_head.weight.device
    was_training = model.training
    model.eval()
    length = model.config.max_position_embeddings
    nats, counts = torch.zeros(length, dtype=torch.float64), torch.zeros(length, dtype=torch.float64)
    for batch in batches:
        losses = token_losses(model, batch.to(device)).cpu()
        positions = torch.arange(losses.shape[1]).expand_as(losses) if batch.positions is None else batch.positions
        counted = batch.targets != IGNORED
        nats.index_add_(0, positions[counted], losses[counted].double())
        counts.index_add_(0, positions[counted], torch.ones(int(counted.sum()), dtype=torch.float64))
    model.train(was_training)
    buckets = []
    for start in [0, *(2**i for i in range((length - 1).bit_length()))]:
        part = slice(start, min(length, max(1, 2 * start)))
        if tokens := int(counts[part].sum()):
            loss = float(nats[part].sum()) / tokens
            buckets.append({"from": part.start, "to": part.stop, "loss": round(loss, 4), "tokens": tokens})
    return buckets


def token_losses(model: LanguageModel, batch: Batch) -> torch.Tensor:
    """The cross-entropy of each target in nats, (B, T); 0 where a target is not counted."""
    mask = None
    if batch.documents is not None:
        mask = (batch.documents[:, :, None] == batch.documents[:, None, :]).tril()[:, None]
    logits = model(batch.tokens, batch.positions, mask).float()
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="none").view_as(
        batch.targets
    )
