"""The model's part of a step: reads tokens, returns logits, and stores keys and values in the
blocks of each sequence.

The compiled decoder (`decoder.py`) reads parts of a few tokens, PyTorch reads longer ones. Without
a compiled decoder, or until it is compiled, PyTorch reads all of them.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xinye.generation.decoder import decoder_for
from xinye.generation.scheduler import Part
from xinye.model.build import LanguageModel
from xinye.model.gpt import GPT
from xinye.model.quantization import QuantizedLinear
from xinye.native.library import THIS

# Up to this many tokens of a text the compiled decoder is faster than PyTorch.
FEW, FEW_QUANTIZED = 8, 32
# oneDNN keeps code for each shape of a bf16 product, so it gets only multiples of this length.
LENGTHS = 32


class Runner:
    """Runs a model on parts of sequences. `blocks` is the number of cache blocks, `block` the
    tokens in each."""

    def __init__(self, model: LanguageModel, blocks: int, block: int) -> None:
        self.model = model
        self.memory = model.new_cache(
            blocks, block
        ).tensors  # (layers, 2, blocks, K, block, D); LSTM: (…, blocks, C)
        self._look_for_decoder()
        self.few = FEW_QUANTIZED if isinstance(model.lm_head, QuantizedLinear) else FEW
        by_onednn = model.compute_dtype == torch.bfloat16 and model.device.type == "cpu"
        self.multiple = LENGTHS if by_onednn and isinstance(model, GPT) else 1

    def run(self, parts: Sequence[Part]) -> Tensor:
        """Read the parts, which are sorted by length; returns the logits that they want, one after
        another, (R, V)."""
        if not self._settled:
            self._look_for_decoder()

        def length(part: Part) -> int:
            return (
                0 if self.decoder is not None and len(part.tokens) <= self.few else len(part.tokens)
            )

        found = [
            self._plain([*group]) if count else self._compiled([*group])
            for count, group in groupby(parts, length)
        ]
        return found[0] if len(found) == 1 else torch.cat([logits.float() for logits in found])

    def _look_for_decoder(self) -> None:
        """Have the compiled decoder, or look again at the next step if it is being compiled."""
        self._settled = THIS.settled()
        self.decoder = decoder_for(self.model)

    def _compiled(self, parts: Sequence[Part]) -> Tensor:
        """Read short parts with the compiled decoder. Each token is a row of its batch; it stores
        all keys of a layer before it reads any."""
        assert self.decoder is not None
        tokens, positions, blocks, wanted = list[int](), list[int](), list[list[int]](), list[int]()
        for part in parts:
            begin = part.sequence.read
            tokens += part.tokens
            wanted += range(len(tokens) - part.wanted, len(tokens))
            positions += range(begin, begin + len(part.tokens))
            blocks += [part.sequence.blocks] * len(part.tokens)
        logits = self.decoder(tokens, positions, blocks, self.memory)
        return logits if len(wanted) == len(tokens) else logits[wanted]

    def _plain(self, parts: Sequence[Part]) -> Tensor:
        """Read parts of equal length with PyTorch."""
        device = self.model.device
        tokens = torch.tensor([part.tokens for part in parts], device=device)  # (B, T)
        begin = torch.tensor([part.sequence.read for part in parts], device=device)
        length = tokens.shape[1]
        if self.decoder is None and self.memory.ndim == 4:
            states = self._recurrent(parts, tokens, begin)
        else:
            extra = -length % self.multiple if length > FEW else 0
            padded = F.pad(tokens, (0, extra))  # no token attends to those after it
            positions = begin[:, None] + torch.arange(padded.shape[1], device=device)
            blocks = [part.sequence.blocks for part in parts]
            cache: Any = _Rows(self.memory, blocks, positions, length)
            # Scaled rotary embeddings depend on the last position, and none may leave the context.
            positions = positions.minimum(positions[:, length - 1 : length])
            states = self.model.hidden(padded, positions, cache.mask, cache)[:, :length]
        if not any(part.wanted for part in parts):
            return states.new_empty(0, self.model.config.vocab_size)
        wanted = [row[len(row) - part.wanted :] for row, part in zip(states, parts, strict=True)]
        return self.model.lm_head(torch.cat(wanted))

    def _recurrent(self, parts: Sequence[Part], tokens: Tensor, begin: Tensor) -> Tensor:
        """The hidden states of an LSTM. The block of a text holds the state after all tokens
        read."""
        blocks = [part.sequence.blocks[0] for part in parts]
        cache: Any = self.model.new_cache(len(parts))
        cache.tensors = self.memory[:, :, blocks].where((begin > 0)[:, None], cache.tensors)
        states = self.model.hidden(tokens, cache=cache)
        self.memory[:, :, blocks] = cache.tensors
        return states


class _Rows:
    """The keys and values of a batch of texts, read from their blocks, with the interface of a
    `KeyValueCache`.

    There are N blocks of P tokens in all, and B texts, of which T tokens each are read and up to S
    attended to. Only the first `length` of the T tokens are stored; the rest pads them.
    """

    def __init__(
        self, memory: Tensor, blocks: Sequence[list[int]], positions: Tensor, length: int
    ) -> None:
        self.memory, self.length, device = memory, 0, memory.device
        size, self.seen, self.begins = (
            memory.shape[4],
            int(positions.max()) + 1,
            not bool(positions[:, 0].any()),
        )
        count = -(-self.seen // size)
        rows = [(row + [0] * count)[:count] for row in blocks]
        self.blocks = torch.tensor(rows, device=device)  # (B, S / P)
        stored = positions[:, :length]
        self.at, self.offset = self.blocks.gather(1, stored // size), stored % size  # (B, length)
        self.mask: Tensor | None = None
        self.unwritten: Tensor | None = (
            None  # places that no text of this batch has written, which may hold NaN
        )
        if not self.begins and positions.numel() > 1:
            places = torch.arange(self.seen, device=device)
            self.mask = (places <= positions[..., None])[:, None]  # (B, 1, T, S)
            if len(positions) > 1 or length < positions.shape[1]:
                self.unwritten = (places > stored[:, -1:])[:, None, :, None]  # (B, 1, S, 1)

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store keys and values (B, K, T, D); returns those of the whole texts, (B, K, S, D)."""
        stored = self.memory[layer]  # (2, N, K, P, D)
        length = self.at.shape[1]
        stored[0, self.at, :, self.offset] = keys[:, :, :length].transpose(1, 2)
        stored[1, self.at, :, self.offset] = values[:, :, :length].transpose(1, 2)
        if self.begins:
            return keys, values
        whole = (
            stored[:, self.blocks].transpose(2, 3).flatten(3, 4)[:, :, :, : self.seen]
        )  # (2, B, K, S, D)
        if self.unwritten is not None:
            whole = whole.masked_fill(self.unwritten, 0)
        return whole[0], whole[1]
