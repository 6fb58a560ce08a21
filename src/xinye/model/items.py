"""A GPT over items instead of words: it reads a user's history and predicts the next item."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT, Linear
from xinye.model.heads import IGNORED

NEVER = -1e4  # the logit of items that cannot come again
TOGETHER = 2**14  # items of histories that are computed together


class Pieces(Protocol):
    """Items (B, T), and those that follow."""

    @property
    def tokens(self) -> Tensor: ...

    @property
    def targets(self) -> Tensor: ...


class ItemGPT(nn.Module):
    """A GPT whose vocabulary is items. The row of an item is a learned vector of its own plus a
    projection of the features of its text; the output head has the same rows.

    While it is trained, each batch drops the own vectors of a share `id_dropout` of the items. They
    get the vector `embed_new` instead, which they share. So rows from text alone are trained to
    stand beside complete ones, and new items get such rows (Volkovs et al. 2017, "DropoutNet").
    Items that a user had cannot come again, so they are left out of the softmax.

    >>> config = GPTConfig("modern", 9, 32, 1, 1, 1, 32, 64, 20)
    >>> ItemGPT(config, torch.randn(9, 4)).scores([np.array([1, 2])]).shape
    (1, 9)
    """

    features: Tensor  # (n, F), of the items' texts

    def __init__(
        self,
        config: GPTConfig,
        features: Tensor,
        id_dropout: float = 0.0,
        label_smoothing: float = 0.0,
    ) -> None:
        super().__init__()
        self.gpt = GPT(config)
        self.embed_text = Linear(features.shape[1], config.hidden_size, bias=False)
        self.embed_new = nn.Parameter(torch.zeros(config.hidden_size))
        self.register_buffer("features", features.float(), persistent=False)
        self.id_dropout, self.label_smoothing = id_dropout, label_smoothing
        self.mask_seen = True

    @property
    def config(self) -> GPTConfig:
        return self.gpt.config

    @property
    def device(self) -> torch.device:
        return self.gpt.device

    @property
    def compute_dtype(self) -> torch.dtype:
        return self.gpt.compute_dtype

    @compute_dtype.setter
    def compute_dtype(self, dtype: torch.dtype) -> None:
        self.gpt.compute_dtype = dtype

    @torch.no_grad()
    def initialize(self, seed: int) -> None:
        """Set random weights. Rows start from the texts alone, as rows of new items do."""
        self.gpt.initialize(seed)
        generator = torch.Generator().manual_seed(seed + 1)
        weight = self.embed_text.weight
        weight.copy_(torch.empty(weight.shape).normal_(0.0, 0.02, generator=generator))
        self.embed_new.zero_()

    def rows(self) -> Tensor:
        """The rows of all learned items, (n, C)."""
        own = self.gpt.model.embed_tokens.weight
        if self.training and self.id_dropout:
            dropped = torch.rand(len(own), 1, device=own.device) < self.id_dropout
            own = torch.where(dropped, self.embed_new, own)
        return own + self.embed_text(self.features)

    def vectors(self, features: Tensor) -> Tensor:
        """The rows of new items with these features (m, F) of their texts, (m, C)."""
        return self.embed_new + self.embed_text(features.to(self.embed_new))

    def forward(self, tokens: Tensor) -> Tensor:
        """The hidden states (B, T, C) after each item."""
        return self.gpt.hidden(tokens)

    def hidden(self, tokens: Tensor, rows: Tensor) -> Tensor:
        """The hidden states (B, T, C) of the GPT with other rows than its own."""
        return functional_call(self, {"gpt.model.embed_tokens.weight": rows}, (tokens,))

    def loss(self, batch: Pieces) -> Tensor:
        """The sum of the cross-entropies in nats over all targets but `IGNORED`, by a softmax over
        all items."""
        rows = self.rows()
        counted = batch.targets != IGNORED
        hidden = self.hidden(batch.tokens, rows)[counted]  # (N, C)
        logits = F.linear(hidden, rows.to(hidden.dtype)).float()
        targets = batch.targets[counted]
        if self.mask_seen:
            logits = logits.scatter(1, seen(batch.tokens, counted), NEVER)
        return F.cross_entropy(
            logits, targets, reduction="sum", label_smoothing=self.label_smoothing
        )

    @torch.no_grad()
    def scores(self, histories: Sequence[np.ndarray], new: Tensor | None = None) -> np.ndarray:
        """The logits of all items after each history, (B, n) in float32, and with the rows `new`
        (m, C) of new items (B, n + m).

        Histories may hold new items, numbered from n. Only the last items that fit into the context
        are read. After an empty history all logits are 0.
        """
        training = self.training
        self.eval()
        rows = self.rows()
        if new is not None:
            rows = torch.cat((rows, new.to(rows)))
        context = self.config.max_position_embeddings
        states = torch.zeros(len(histories), rows.shape[1], device=self.device)
        lengths = np.array([min(len(history), context) for history in histories])
        order = np.argsort(lengths, kind="stable")[int((lengths == 0).sum()) :]
        together = max(1, TOGETHER // max(1, int(lengths.max(initial=1))))
        for at in range(0, len(order), together):
            numbers = order[at : at + together]
            tokens = np.zeros((len(numbers), lengths[numbers].max()), np.int64)
            for row, number in enumerate(numbers):
                tokens[row, : lengths[number]] = histories[number][-context:]
            hidden = self.hidden(torch.from_numpy(tokens).to(self.device), rows)
            last = torch.from_numpy(lengths[numbers] - 1).to(self.device)
            states[numbers] = hidden[torch.arange(len(numbers)), last].float()
        self.train(training)
        return (states @ rows.float().T).cpu().numpy()


def seen(tokens: Tensor, counted: Tensor) -> Tensor:
    """The items that were read before each counted place, (N, T). The last one is repeated in place
    of later items."""
    row, place = counted.nonzero(as_tuple=True)
    columns = torch.arange(tokens.shape[1], device=tokens.device)
    return tokens[row].gather(1, torch.minimum(columns, place[:, None]))
