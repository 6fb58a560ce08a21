"""How much each token of a text speaks for what a head has decided: input × gradient (Shrikumar et
al. 2016, arXiv:1605.01713).

The score of a token is its embedding times the gradient of the decision with respect to it. Plain,
this fails here: a network whose layers begin with a norm does not see how long an embedding is, so
the gradient along the embedding is almost zero. So norms, attention weights and the gates of
feed-forward layers count as constants, as in layer-wise relevance propagation (Ali et al. 2022,
arXiv:2202.07304; Achtibat et al. 2024, arXiv:2402.05602). What is left is linear in the embeddings,
except for GELU.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from xinye.model.gpt import Attention, RMSNorm
from xinye.model.heads import Head

Score = Callable[[Tensor], Tensor]  # of the logits of one text, (L,) or (T, L); returns a number


def input_times_gradient(model: Head, tokens: list[int], score: Score) -> tuple[Tensor, float]:
    """The part of each token in a score of the head's logits, (T,) in float32 on the CPU, and the
    score itself."""
    model.eval()
    device = next(model.parameters()).device
    with torch.enable_grad(), _linear(model), _embeddings(model) as embeddings:
        logits = model(
            torch.tensor([tokens], device=device), torch.tensor([len(tokens)], device=device)
        )
        value = score(logits[0])
        [gradient] = torch.autograd.grad(value, embeddings)
    parts = (gradient * embeddings[0].detach()).sum(-1)[0]  # (T,)
    return parts.float().cpu(), float(value.detach())


@contextmanager
def _embeddings(model: Head) -> Iterator[list[Tensor]]:
    """Within this context, the embeddings (1, T, C) that the model reads are put into the list, as
    what gradients are taken of."""
    read: list[Tensor] = []

    def keep(layer: nn.Module, inputs: Any, embeddings: Tensor) -> Tensor:
        read.append(embeddings.detach().requires_grad_())
        return read[-1]

    table: Any = model.gpt.model.embed_tokens
    with table.register_forward_hook(keep):
        yield read


@contextmanager
def _linear(model: Head) -> Iterator[None]:
    """Within this context, norms, attention weights and gates are constants for gradients."""
    with ExitStack() as hooks:
        for layer in model.modules():
            if isinstance(layer, RMSNorm | nn.LayerNorm):
                hooks.enter_context(layer.register_forward_hook(_with_constant_length))
            if isinstance(layer, Attention):
                hooks.enter_context(layer.q_proj.register_forward_hook(_constant))
                hooks.enter_context(layer.k_proj.register_forward_hook(_constant))
            if gate := getattr(layer, "gate_proj", None):
                hooks.enter_context(gate.register_forward_hook(_constant))
        yield


def _constant(layer: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return output.detach()


def _with_constant_length(norm: Any, inputs: tuple[Tensor], output: Tensor) -> Tensor:
    """The output of a norm, whose gradient takes the length that it divides by as given."""
    [x] = inputs
    if isinstance(norm, nn.LayerNorm):
        x = x - x.mean(-1, keepdim=True)
    length = (x.detach().pow(2).mean(-1, keepdim=True) + norm.eps).sqrt()
    through = x / length * norm.weight.to(x.dtype)
    return through + (output - through).detach()  # exactly the norm's own values
