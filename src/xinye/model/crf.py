"""A chain of labels: the probability of a whole sequence of labels, from the score of each label at
each place and of each step from a label to the next (Lafferty, McCallum & Pereira 2001,
"Conditional random fields").

Shapes: B texts, T places, L labels. `scores` are (B, T, L). `real` (B, T) is True where a text has
a label; all other places, such as padding, are passed over. `transitions` are (L + 2, L): rows 0 to
L − 1 are the steps from one label to the next, row L those from the beginning of a text to its
first label, and row L + 1 those from its last label to its end. Everything is computed in float32.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

FORBIDDEN = -1e4  # the score of a step that no sequence has
# Of probabilities beside the largest: a forbidden step costs at least 85 nats.
SMALLEST = 1e-37


def log_likelihood(scores: Tensor, real: Tensor, transitions: Tensor, labels: Tensor) -> Tensor:
    """The log-probability of the labels (B, T) of each text in nats, (B,). It is 0 for a text
    without any label."""
    scores, transitions = scores.float(), transitions.float()
    beginning, end = scores.shape[-1], scores.shape[-1] + 1
    labels = labels.where(real, 0)
    before, last = _neighbours(labels, real, beginning)
    of_labels = scores.gather(2, labels[..., None]).squeeze(2) + transitions[before, labels]
    of_end = transitions[end].expand(len(scores), -1).gather(1, last).squeeze(1)
    path = (of_labels * real).sum(1) + of_end * real.any(1)
    return path - log_partition(scores, real, transitions)


def log_partition(scores: Tensor, real: Tensor, transitions: Tensor) -> Tensor:
    """The logarithm of the sum of exp(score) over all sequences of labels of each text, (B,)."""
    scores = scores.float().masked_fill(~real[..., None], 0.0)  # of any size where it is ignored
    found: Tensor = _LogPartition.apply(scores, real, transitions.float())
    return found


@torch.enable_grad()
def marginals(scores: Tensor, real: Tensor, transitions: Tensor) -> Tensor:
    """The probability of each label at each place, (B, T, L), summed over all sequences. It is 0 at
    places that are passed over.

    It is the gradient of the log-partition with respect to the scores.
    """
    scores = scores.detach().float().requires_grad_()
    total = log_partition(scores, real, transitions.detach()).sum()
    [gradient] = torch.autograd.grad(total, scores)
    return gradient


class _LogPartition(torch.autograd.Function):
    """`log_partition`, whose gradient is computed by the forward-backward algorithm, which is
    several times faster than to follow each operation of the forward pass back."""

    @staticmethod
    def forward(ctx: Any, scores: Tensor, real: Tensor, transitions: Tensor) -> Tensor:
        factors, beginning, end = transitions[:-2].exp(), transitions[-2], transitions[-1]
        begun = F.pad(real.cumsum(1) > 0, (1, 0))[..., None]  # (B, T + 1, 1): before each place
        sums = torch.zeros_like(scores[:, 0])  # (B, L): over the sequences that end in each label
        before = []
        for at in range(scores.shape[1]):
            before.append(sums)
            reached = _summed(sums, factors).where(begun[:, at], beginning)
            sums = (reached + scores[:, at]).where(real[:, at, None], sums)
        total = (sums + end).logsumexp(-1)
        ctx.save_for_backward(scores, real, transitions, torch.stack([*before, sums], 1), total)
        return total.where(begun[:, -1, 0], 0.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, Tensor]:
        scores, real, transitions, before, total = ctx.saved_tensors
        steps, end = transitions[:-2], transitions[-1]
        factors = steps.exp().T
        after = [end.expand_as(before[:, 0])]  # (B, L): over the ways from each label to the end
        for at in reversed(range(1, scores.shape[1])):
            back = _summed(after[-1] + scores[:, at], factors)
            after.append(back.where(real[:, at, None], after[-1]))
        rest = torch.stack(after[::-1], 1) - total[:, None, None]  # (B, T, L)
        weight = (gradient[:, None] * real)[..., None]  # (B, T, 1)
        labels = (before[:, 1:] + rest).exp() * weight
        begun = F.pad(real.cumsum(1)[:, :-1] > 0, (1, 0))[..., None]
        pairs = (before[:, :-1, :, None] + (scores + rest)[:, :, None] + steps).exp()
        of_steps = (pairs * (weight * begun)[..., None]).sum((0, 1))
        of_beginning = (labels * ~begun).sum((0, 1))
        last = (before[:, -1] + end - total[:, None]).exp()
        of_end = (last * (gradient * real.any(1))[:, None]).sum(0)
        return labels, None, torch.cat([of_steps, of_beginning[None], of_end[None]])


@torch.no_grad()
def likeliest(scores: Tensor, real: Tensor, transitions: Tensor) -> Tensor:
    """The most probable sequence of labels of each text, (B, T), by Viterbi's algorithm. A place
    that is passed over has the label before it."""
    scores, transitions = scores.float(), transitions.float()
    steps, beginning, end = transitions[:-2], transitions[-2], transitions[-1]
    begun = real.cumsum(1) > 0
    same = torch.arange(scores.shape[-1], device=scores.device).expand_as(scores[:, 0])
    best, origins = torch.zeros_like(scores[:, 0]), []  # (B, L)
    for at in range(scores.shape[1]):
        if at:
            reached, origin = (best[:, :, None] + steps).max(1)
            reached = reached.where(begun[:, at - 1, None], beginning)
            origins.append(origin.where(real[:, at, None], same))
        else:
            reached = beginning.expand_as(best)
        best = (reached + scores[:, at]).where(real[:, at, None], best)
    path = [(best + end).argmax(-1)]
    for origin in reversed(origins):
        path.append(origin.gather(1, path[-1][:, None]).squeeze(1))
    return torch.stack(path[::-1], 1)


def _summed(logarithms: Tensor, factors: Tensor) -> Tensor:
    """The logarithms of exp(logarithms) @ factors, (B, L). A result that float32 cannot hold beside
    the largest of its row counts as `SMALLEST` times that one."""
    largest = logarithms.amax(1, keepdim=True)
    return ((logarithms - largest).exp() @ factors).clamp(min=SMALLEST).log() + largest


def _neighbours(labels: Tensor, real: Tensor, beginning: int) -> tuple[Tensor, Tensor]:
    """The label at the last real place before each place, (B, T), and before the end, (B, 1);
    `beginning` if there is none."""
    places = torch.arange(labels.shape[1], device=labels.device)
    latest = F.pad(places.where(real, -1).cummax(1).values, (1, 0), value=-1)  # (B, T + 1)
    found = labels.gather(1, latest.clamp(min=0)).where(latest >= 0, beginning)
    return found[:, :-1], found[:, -1:].clamp(max=beginning - 1)
