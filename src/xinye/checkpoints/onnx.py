"""Writes a GPT as one ONNX file with the inputs and outputs of Hugging Face's exporters.

Inputs are `input_ids` (B, T), `attention_mask` (B, past + T), `position_ids` (B, T) and for each
layer `past_key_values.N.key` and `.value` (B, K, past, D). Outputs are `logits` (B, T, V) and for
each layer `present.N.key` and `.value` (B, K, past + T, D). All sizes but the number of heads and
the head size may differ between calls, and `past` may be 0.
"""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xinye.data.files import written_beside
from xinye.model.gpt import GPT


class Past:
    """A cache for export, with the interface of `KeyValueCache`. It makes new tensors instead of
    filling its own, because they are inputs and outputs of the graph."""

    def __init__(self, tensors: list[Tensor]) -> None:
        self.tensors = tensors  # keys and values of layer 0, then of layer 1 …
        self.length = tensors[0].shape[2]

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        at = 2 * layer
        self.tensors[at : at + 2] = (
            torch.cat((self.tensors[at], keys), 2),
            torch.cat((self.tensors[at + 1], values), 2),
        )
        return self.tensors[at], self.tensors[at + 1]


class Graph(nn.Module):
    """The model as a function of tensors only, for export."""

    def __init__(self, model: GPT) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, position_ids: Tensor, past: list[Tensor]
    ) -> tuple[Tensor, ...]:
        cache: Any = Past(list(past))
        length = input_ids.shape[1]
        queries = torch.arange(length)[:, None] + cache.length  # (T, 1)
        keys = torch.arange(cache.length + length)[None]  # (1, S)
        # Padding attends to itself. A row that attends to nothing would be NaN, which would spread.
        mask = ((keys <= queries) & attention_mask.bool()[:, None]) | (keys == queries)  # (B, T, S)
        return self.model(input_ids, position_ids, mask[:, None], cache), *cache.tensors


def save_onnx(path: Path, model: GPT) -> None:
    """Write a model in float32 as an ONNX file. It is written under another name and renamed."""
    config, free = model.config, torch.export.Dim.DYNAMIC
    names = [
        f"{layer}.{part}" for layer in range(config.num_hidden_layers) for part in ("key", "value")
    ]
    past = torch.zeros(2, config.num_key_value_heads, 5, config.head_dim)
    seen = torch.ones(2, 8, dtype=torch.long)
    tokens = torch.zeros(2, 3, dtype=torch.long)
    # Each input is a tensor of its own: the exporter takes one that is given twice for one input.
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter warns about its own code
        program = torch.onnx.export(
            Graph(model).eval(),
            (tokens, seen, tokens.clone(), [past.clone() for _ in names]),
            dynamo=True,
            verbose=False,
            dynamic_shapes=(*[{0: free, 1: free}] * 3, [{0: free, 2: free}] * len(names)),
            input_names=[
                "input_ids",
                "attention_mask",
                "position_ids",
                *(f"past_key_values.{name}" for name in names),
            ],
            output_names=["logits", *(f"present.{name}" for name in names)],
        )
    assert program is not None
    with written_beside(path) as beside:
        program.save(beside, external_data=False)
