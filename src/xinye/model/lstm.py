"""A recurrent language model, to show what attention gains: embedding, LSTM layers, output head.

It has the interface of `GPT` (`forward`, `loss`, `initialize`, `new_cache`), so that training,
evaluation and generation use the same code. The state is reset wherever a position is 0, because a
document begins there. Shapes: B batch, T tokens, C hidden size, V vocabulary.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xinye.model.config import LSTMConfig
from xinye.model.gpt import TokenModel


class State:
    """The state after `length` tokens: for each layer hidden state and cell, (B, C) each."""

    def __init__(
        self, config: LSTMConfig, batch: int, dtype: torch.dtype, device: torch.device
    ) -> None:
        shape = (config.num_hidden_layers, 2, batch, config.hidden_size)
        self.tensors = torch.zeros(shape, dtype=dtype, device=device)
        self.length = 0


class LSTMLayer(nn.Module):
    """A layer of long short-term memory (Hochreiter & Schmidhuber 1997; with a forget gate, Gers et
    al. 2000).

    The gates are in PyTorch's order: input, forget, cell, output.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight_ih = nn.Parameter(torch.empty(4 * size, size))
        self.weight_hh = nn.Parameter(torch.empty(4 * size, size))
        self.bias = nn.Parameter(torch.empty(4 * size))

    def forward(self, x: Tensor, positions: Tensor | None, state: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs (B, T, C) for inputs (B, T, C), and the state (2, B, C) after them."""
        inward, recurrent, bias = (
            weight.to(x.dtype) for weight in (self.weight_ih, self.weight_hh, self.bias)
        )
        if positions is None:  # each row is one document, so PyTorch's fused kernel can be used
            weights = (inward, recurrent, bias, torch.zeros_like(bias))
            hidden, cell = state[:, None].contiguous()
            y, hidden, cell = torch.lstm(
                x, (hidden, cell), weights, True, 1, 0.0, self.training, False, True
            )
            return y, torch.cat((hidden, cell))
        gates_of_inputs = F.linear(x, inward, bias).unbind(1)
        keep = (positions != 0).to(x.dtype).expand(x.shape[:2])[..., None].unbind(1)
        hidden, cell = state
        outputs = []
        for gates, kept in zip(gates_of_inputs, keep, strict=True):
            hidden, cell = hidden * kept, cell * kept
            enter, forget, candidate, leave = torch.addmm(gates, hidden, recurrent.T).chunk(
                4, dim=1
            )
            cell = forget.sigmoid() * cell + enter.sigmoid() * candidate.tanh()
            hidden = leave.sigmoid() * cell.tanh()
            outputs.append(hidden)
        return torch.stack(outputs, dim=1), torch.stack((hidden, cell))


class LSTMBackbone(nn.Module):
    def __init__(self, config: LSTMConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(
            LSTMLayer(config.hidden_size) for _ in range(config.num_hidden_layers)
        )


class LSTM(TokenModel):
    """A recurrent model that maps tokens to the logits of the next token. A state is passed from
    token to token."""

    config: LSTMConfig
    model: LSTMBackbone

    def __init__(self, config: LSTMConfig) -> None:
        super().__init__(config, LSTMBackbone(config))

    @torch.no_grad()
    def initialize(self, seed: int) -> None:
        """Set random weights as in `GPT.initialize`; the forget gates start open (Jozefowicz et al.
        2015)."""
        generator = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            if weight.ndim == 1:
                weight.zero_()
                weight.view(4, -1)[1].fill_(1.0)
            else:
                deviation = weight.shape[1] ** -0.5 if "layers" in name else 0.02
                weight.copy_(torch.empty(weight.shape).normal_(0.0, deviation, generator=generator))

    def new_cache(self, batch: int, capacity: int | None = None) -> State:
        """An empty state for each of `batch` sequences. Its size does not depend on `capacity`."""
        return State(self.config, batch, self.compute_dtype, self.device)

    def hidden(
        self,
        tokens: Tensor,
        positions: Tensor | None = None,
        mask: Any = None,
        cache: State | None = None,
    ) -> Tensor:
        """The hidden states before the output head, (B, T, C). `mask` is not used."""
        before = self.new_cache(tokens.shape[0]) if cache is None else cache
        x = F.dropout(
            self.model.embed_tokens(tokens).to(self.compute_dtype),
            self.config.dropout,
            self.training,
        )
        after = []
        for layer, state in zip(self.model.layers, before.tensors, strict=True):
            x, state = layer(x, positions, state)
            x = F.dropout(x, self.config.dropout, self.training)
            after.append(state)
        if cache is not None:
            cache.tensors, cache.length = torch.stack(after), cache.length + tokens.shape[1]
        return x
