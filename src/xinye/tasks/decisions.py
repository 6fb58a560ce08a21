"""What a model has decided about a text, in the form that `jobs/explain.py` asks a task for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Place = tuple[int, int, int]  # which text of the input (0, or 1), and from where to where in it


@dataclass(frozen=True)
class Decision:
    """A label, a span or an answer that a model has chosen, and how it read the text.

    `places` has the place of each token in the text, None for tokens without text. `log_odds`
    computes from the logits of these tokens, (L,) or (T, L), how sure the decision is: log p / (1 -
    p). `start` and `end` are those of a span. `cut` counts the tokens that were left out.
    """

    name: str
    probability: float
    tokens: list[int]
    places: list[Place | None]
    log_odds: Callable[[Tensor], Tensor]
    start: int | None = None
    end: int | None = None
    cut: int = 0


def log_odds(logits: Tensor, chosen: Sequence[int]) -> Tensor:
    """The log-odds of the labels with these indices against all others, from logits (…, L)."""
    others = torch.ones(logits.shape[-1], dtype=torch.bool, device=logits.device)
    others[chosen] = False
    return logits[..., ~others].logsumexp(-1) - logits[..., others].logsumexp(-1)


def place_in(texts: Sequence[str], number: int | None, offsets: tuple[int, int]) -> Place | None:
    """The place of a token in the text with this number, without spaces at its ends; None if the
    token has no text."""
    if number is None:
        return None
    start, end = offsets
    piece = texts[number][start:end]
    start += len(piece) - len(piece.lstrip())
    end -= len(piece) - len(piece.rstrip())
    return (number, start, end) if start < end else None
