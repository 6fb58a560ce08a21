"""The base class of tasks that train the language model itself, without a new head."""

from collections.abc import Sequence
from dataclasses import replace
from math import log
from typing import Any

import torch
from torch import Tensor

from xinye.data.tokenizer import Tokenizer
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.heads import Labelled
from xinye.model.loss import IGNORED
from xinye.tasks.records import Example, Examples
from xinye.tasks.task import Figures, Mark, Task


class LanguageTask(Task):
    """A task whose examples have the next tokens as their targets."""

    writes = True
    unused_settings = ("attention",)
    kept_of = "the records"

    def mixed(self, tokenizer: Tokenizer, records: Sequence[Any], context: int) -> list[Example]:
        examples = self.examples(tokenizer, records, context)
        return [replace(example, tokens=whole(example)) for example in examples]

    def marks(
        self, tokenizer: Tokenizer, example: Example
    ) -> tuple[str | None, list[tuple[int, Mark]]]:
        """Each token, and whether it is trained. A target is stored one place before its token."""
        targets = example.targets
        assert isinstance(targets, list)
        trained = [False, *(target != IGNORED for target in targets)]
        return None, list(zip(whole(example), trained, strict=True))

    # -- training and evaluation -------------------------------------------------------------------

    def network(self, backbone: GPTConfig, base: GPT) -> GPT:
        base.config = backbone
        for layer in base.model.layers:
            layer.dropout = backbone.dropout  # type: ignore[assignment]
        return base

    def loss(self, model: GPT, batch: Labelled) -> Tensor:
        """The sum of the losses in nats over the tokens that are trained."""
        return model.loss(batch.tokens, batch.targets)

    @torch.no_grad()
    def losses(self, model: GPT, tokenizer: Tokenizer, examples: Examples) -> Figures:
        """The mean `loss` in nats per trained token, and `bits_per_byte` of the text of these
        tokens, without those that end a text.
        """
        model.eval()
        nats = counted = size = 0.0
        lengths = torch.from_numpy(tokenizer.token_lengths)
        for _, batch in examples.in_order(16):
            targets = batch.targets[batch.targets != IGNORED]
            nats += float(self.loss(model, batch.to(model.device)))
            counted, size = counted + len(targets), size + float(lengths[targets].sum())
        return {"loss": nats / max(1, counted), "bits_per_byte": nats / log(2) / max(1, size)}


def whole(example: Example) -> list[int]:
    """All tokens of an example. Its last target is the token that ends the last text."""
    assert isinstance(example.targets, list)
    return [*example.tokens, int(example.targets[-1])]
