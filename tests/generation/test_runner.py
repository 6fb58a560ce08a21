"""PyTorch reads parts of texts in padded lengths, and their logits stay the same."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from xinye.generation.runner import LENGTHS, Runner
from xinye.generation.scheduler import Part
from xinye.model.config import Architecture, GPTConfig
from xinye.model.gpt import GPT
from xinye.model.rope import RopeScaling

CONTEXT, BLOCK, TEXTS = 96, 32, 2
# where a part begins, and its tokens: a prompt, one behind a prompt, the end of the context
PARTS = [(0, 37), (37, 1), (38, 9), (47, 49)]


@torch.inference_mode()
def logits_of(model: GPT, multiple: int) -> list[Tensor]:
    """Of the last two tokens of each part, read by PyTorch in multiples of a length, behind each
    other, by texts together and by one alone."""
    blocks = CONTEXT // BLOCK
    runner = Runner(model, TEXTS * blocks, BLOCK)
    runner.few, runner.multiple = 0, multiple
    runner.memory.fill_(torch.nan)  # what no text has written
    found = []
    for begin, length in PARTS:
        parts = []
        for number in range(TEXTS):
            own = [*range(number * blocks, (number + 1) * blocks)]
            text: Any = SimpleNamespace(read=begin, blocks=own)
            tokens = [(31 * number + 7 * at) % 50 for at in range(begin, begin + length)]
            parts.append(Part(text, tokens, wanted=min(length, 2)))
        found += [runner.run(parts), runner.run(parts[:1])]
    return found


@pytest.mark.parametrize("kind", ["gpt2", "llama", "dynamic"])
def test_a_padded_length_changes_no_logits(kind: str) -> None:
    scaling = RopeScaling("dynamic", 2.0) if kind == "dynamic" else None
    architecture: Architecture = "gpt2" if kind == "gpt2" else "llama"
    torch.manual_seed(0)
    config = GPTConfig(architecture, 50, 32, 2, 2, 2, 16, 64, CONTEXT, rope_scaling=scaling)
    model = GPT(config).eval()
    for own, padded in zip(logits_of(model, 1), logits_of(model, LENGTHS), strict=True):
        torch.testing.assert_close(padded, own, rtol=1e-5, atol=1e-6)
