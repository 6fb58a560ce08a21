"""A GPT over items instead of words: it reads a user's history and predicts the next item."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT, Linear
from xinye.model.loss import IGNORED

NEVER = -1e4  # the logit of items that cannot come again
TOGETHER = 2**14  # items of histories that are computed together


class Pieces(Protocol):
    """A batch: items (B, T), and those that follow."""

    @property
    def tokens(self) -> Tensor: ...

    @property
    def targets(self) -> Tensor: ...


class ItemGPT(nn.Module):
    """A GPT whose vocabulary is items. The row of an item is a vector of its own plus a projection
    of the features of its text; the output head has the same rows.

    In training each batch drops the own vectors of a share `id_dropout` of the items. They get the
    vector `embed_new` instead, which they share. So rows from text alone learn to stand beside
    complete ones, and new items get such rows (after DropoutNet, Volkovs et al. 2017). Items that
    a user had do not come again, so the softmax leaves them out.

    Without features, (0, F), the rows of the GPT are complete already.

    >>> config = GPTConfig("modern", 9, 32, 1, 1, 1, 32, 64, 20)
    >>> network = ItemGPT(GPT(config), torch.randn(9, 4))
    >>> network.scores([np.array([1, 2])]).shape
    (1, 9)
    """

    features: Tensor  # (n, F), of the texts of the items
    name = "the GPT alone"  # beside other rankers

    def __init__(self, gpt: GPT, features: Tensor, id_dropout: float = 0.0) -> None:
        super().__init__()
        self.gpt = gpt
        # Names with "embed" are trained by AdamW, as all tables are (training/optimizers.py).
        self.embed_text = Linear(features.shape[1], gpt.config.hidden_size, bias=False)
        self.embed_new = nn.Parameter(torch.zeros(gpt.config.hidden_size))
        self.register_buffer("features", features.float(), persistent=False)
        self.id_dropout = id_dropout

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
        """Set random weights."""
        self.gpt.initialize(seed)
        generator = torch.Generator().manual_seed(seed + 1)
        weight = self.embed_text.weight
        weight.copy_(torch.empty(weight.shape).normal_(0.0, 0.02, generator=generator))
        self.embed_new.zero_()

    # -- rows --------------------------------------------------------------------------------------

    def rows(self) -> Tensor:
        """The rows of all items, (n, C); in training some of them without their own vectors."""
        own = self.gpt.model.embed_tokens.weight
        if not len(self.features):
            return own
        if self.training and self.id_dropout:
            dropped = torch.rand(len(own), 1, device=own.device) < self.id_dropout
            own = torch.where(dropped, self.embed_new, own)
        return own + self.embed_text(self.features)

    @torch.no_grad()
    def complete_rows(self) -> Tensor:
        """The rows of all items as they are outside of training, (n, C)."""
        with self._evaluating():
            return self.rows()

    @torch.no_grad()
    def vectors(self, features: Tensor) -> Tensor:
        """The rows of new items whose texts have these features (m, F), (m, C)."""
        return self.embed_new + self.embed_text(features.to(self.embed_new))

    def text_parts(self) -> dict[str, Tensor]:
        """The weights that make rows from texts, by name."""
        return {"embed_text.weight": self.embed_text.weight, "embed_new": self.embed_new}

    @torch.no_grad()
    def put_text_parts(self, parts: Mapping[str, Tensor]) -> None:
        """Set the weights that make rows from texts."""
        for name, weight in self.text_parts().items():
            weight.copy_(parts[name])

    # -- predictions -------------------------------------------------------------------------------

    def loss(self, batch: Pieces) -> Tensor:
        """The sum of the cross-entropies in nats over all targets but `IGNORED`, by a softmax over
        all items that the user has not had."""
        rows = self.rows()
        counted = batch.targets != IGNORED
        hidden = self.gpt.hidden(batch.tokens, rows=rows)[counted]  # (N, C)
        logits = F.linear(hidden, rows.to(hidden.dtype)).float()
        logits.scatter_(1, seen(batch.tokens, counted), NEVER)
        return F.cross_entropy(logits, batch.targets[counted], reduction="sum")

    @torch.no_grad()
    def scores(self, histories: Sequence[np.ndarray], new: Tensor | None = None) -> np.ndarray:
        """The logits of all items after each history, (B, n) in float32; with the rows `new` (m, C)
        of new items (B, n + m).

        Histories may hold new items, numbered from n. Only the last items are read, as many as fit
        into the context. After an empty history all logits are 0.
        """
        rows = self.complete_rows()
        if new is not None:
            rows = torch.cat((rows, new.to(rows)))
        states = self.states(histories, rows)
        scores: np.ndarray = (states @ rows.T).float().cpu().numpy()
        return scores

    @torch.no_grad()
    def states(self, histories: Sequence[np.ndarray], rows: Tensor) -> Tensor:
        """The hidden states after each history, (B, C) in fp32; 0 for an empty one."""
        context = self.config.max_position_embeddings
        states = torch.zeros(len(histories), rows.shape[1], device=self.device)
        lengths = np.array([min(len(history), context) for history in histories], np.int64)
        order = np.argsort(lengths, kind="stable")[int((lengths == 0).sum()) :]
        together = max(1, TOGETHER // int(lengths.max(initial=1)))
        for at in range(0, len(order), together):
            numbers = order[at : at + together]
            tokens = np.zeros((len(numbers), lengths[numbers].max()), np.int64)
            for row, number in enumerate(numbers):
                tokens[row, : lengths[number]] = histories[number][-context:]
            with self._evaluating():
                read = torch.from_numpy(tokens).to(self.device)
                hidden = self.gpt.hidden(read, rows=rows)
            last = torch.from_numpy(lengths[numbers] - 1).to(self.device)
            each = torch.arange(len(numbers), device=self.device)
            states[torch.from_numpy(numbers)] = hidden[each, last].float()
        return states

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Inside, the network is as it is outside of training. Walking through its modules takes a
        part of a request's time, so that is done only where it must be."""
        training = self.training
        if training:
            self.eval()
        try:
            yield
        finally:
            if training:
                self.train()


def seen(tokens: Tensor, counted: Tensor) -> Tensor:
    """The items that were read before each counted place, (N, T). In place of items that come
    later, the last one is repeated."""
    row, place = counted.nonzero(as_tuple=True)
    columns = torch.arange(tokens.shape[1], device=tokens.device)
    return tokens[row].gather(1, torch.minimum(columns, place[:, None]))
