"""Texts from a model: prompts in, pieces of text out as they are written."""

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.generation.sampling import Sampling, next_tokens
from xinye.generation.stream import TextStream
from xinye.model.build import LanguageModel


@dataclass
class Continuation:
    """One text that is being written."""

    tokens: list[int]  # the tokenizer's prefix, such as `<bos>`, the prompt, and what was written
    prompt_tokens: int
    forgotten: int = 0  # where what is still read begins; before it, only the prefix is
    finish_reason: Literal["stop", "length"] | None = None
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def completion_tokens(self) -> int:
        return len(self.tokens) - self.prompt_tokens


def start(tokenizer: Tokenizer, prompt: str, context: int) -> Continuation:
    """A sequence that begins with a prompt; raises `XinyeError` where that alone fills the context."""
    try:
        tokens = [*tokenizer.prefix, *tokenizer.encode(prompt)] or [tokenizer.bos_id]
    except TypeError:  # half a character, such as a terminal that is not UTF-8 hands over
        raise XinyeError("the prompt is not valid Unicode text; type it in a terminal set to UTF-8") from None
    if len(tokens) > context:
        raise XinyeError(f"the prompt has {len(tokens)} tokens; this model reads at most {context}: shorten it")
    return Continuation(tokens, len(tokens))


@torch.inference_mode()
def generate(
    model: LanguageModel, tokenizer: Tokenizer, sequences: Sequence[Continuation], sampling: Sampling
) -> Iterator[tuple[int, str]]:
    """Go on writing all sequences at once; yields (number of the sequence, new text) until each has ended.

    A text ends with a stop token, such as `<eos>`, or a stop string, which counts as "stop", or after `max_tokens`,
    "length". Where the context is full, its older half is forgotten and writing goes on.
    """
    device, context = model.lm_head.weight.device, model.config.max_position_embeddings
    generator = torch.Generator().manual_seed(secrets.randbits(63) if sampling.seed is None else sampling.seed)
    streams = [TextStream(tokenizer.token_bytes, sampling.stop) for _ in sequences]
    was_training = model.training
    model.eval()
    try:
        logits, cache, padding = _read(model, tokenizer, sequences, device)
        while True:
            chosen = next_tokens(
                logits[:, : tokenizer.vocab_size], sampling, [sequence.tokens for sequence in sequences], generator
            )
            for number, (sequence, stream, token) in enumerate(zip(sequences, streams, chosen.tolist(), strict=True)):
                if sequence.finish_reason is not None:
                    continue
                sequence.tokens.append(token)
                text = stream.push(token)
                if token in tokenizer.stop_ids or stream.stopped:
                    sequence.finish_reason = "stop"
                elif sequence.completion_tokens >= sampling.max_tokens:
                    sequence.finish_reason = "length"
                if sequence.finish_reason is not None:
                    text += stream.finish()
                if text:
                    sequence.pieces.append(text)
                    yield number, text
            if all(sequence.finish_reason is not None for sequence in sequences):
                return
            if cache.length == context:
                logits, cache, padding = _read(model, tokenizer, sequences, device)
            else:
                logits = _step(model, chosen, cache, padding)
    finally:
        model.train(was_training)


def _read(
    model: LanguageModel, tokenizer: Tokenizer, sequences: Sequence[Continuation], device: torch.device
) -> tuple[Tensor, Any, Tensor]:
    """Read all sequences into a new cache. Returns logits (B, V), the cache, and the padding before each row (B,).

    Of a sequence that fills the context its last half is read, behind the prefix.
    """
    context = model.config.max_position_embeddings
    rows = []
    for sequence in sequences:
        again = len(tokenizer.prefix) if sequence.forgotten else 0
        if again + len(sequence.tokens) - sequence.forgotten > context:
            sequence.forgotten = len(sequence.tokens) - context // 2
        rows.append([*(tokenizer.prefix if sequence.forgotten else ()), *sequence.tokens[sequence.forgotten :]])
    length = max(map(len, rows))
    padding = torch.tensor([length - len(row) for row in rows], device=device)
    tokens = torch.tensor([[tokenizer.pad_id] * (length - len(row)) + row for row in rows], device=device)
    cache: Any = model.new_cache(len(rows))  # of the model's own kind
    positions = (torch.arange(length, device=device) - padding[:, None]).clamp(min=0)
    mask = None
    if bool(padding.any()):
        visible = torch.arange(length, device=device) >= padding[:, None]  # (B, T)
        itself = torch.eye(
            length, dtype=torch.bool, device=device
        )  # so that padding, which nobody reads, sees something
        mask = (visible[:, None, :] & torch.ones(length, length, dtype=torch.bool, device=device).tril()) | itself
        mask = mask[:, None]
    states = model.hidden(tokens, positions, mask, cache)[:, -1]
    return model.lm_head(states), cache, padding


def _step(model: LanguageModel, tokens: Tensor, cache: Any, padding: Tensor) -> Tensor:
    """Read one more token of each row; returns logits (B, V)."""
    positions = (cache.length - padding)[:, None]
    mask = None
    if bool(padding.any()):
        mask = (torch.arange(cache.length + 1, device=tokens.device) >= padding[:, None])[:, None, None]
    return model(tokens[:, None], positions, mask, cache)[:, -1]
