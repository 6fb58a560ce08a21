"""A chain of labels: the probability of a whole sequence of labels, from the score of each label at
each place and of each step from a label to the next (Lafferty, McCallum & Pereira 2001,
"Conditional random fields").

Shapes: B texts, T places, L labels. `scores` are (B, T, L). `real` (B, T) is True where a text has
a label; all other places, such as padding, are passed over. `transitions` are (L + 2, L): rows 0 to
L − 1 are the steps from one label to the next, row L those from the beginning of a text to its
first label, and row L + 1 those from its last label to its end. Everything is computed in float32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

FORBIDDEN = -1e4  # the score of a step that no sequence has


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
    scores, transitions = scores.float(), transitions.float()
    steps, beginning, end = transitions[:-2], transitions[-2], transitions[-1]
    begun = real.cumsum(1) > 0
    # Parts of `unbind` share one gradient; each index would make one as large as the whole.
    places = zip(
        *(each.unbind(1) for each in (scores, real[..., None], begun[..., None])), strict=True
    )
    sums = torch.zeros_like(scores[:, 0])  # (B, L): over the sequences that end in each label
    begun_before = torch.zeros_like(begun[:, :1])
    for row, here, begun_now in places:
        reached = (sums[:, :, None] + steps).logsumexp(1).where(begun_before, beginning)
        sums = (reached + row).where(here, sums)
        begun_before = begun_now
    return (sums + end).logsumexp(-1).where(begun_before[:, 0], 0.0)


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


def _neighbours(labels: Tensor, real: Tensor, beginning: int) -> tuple[Tensor, Tensor]:
    """The label at the last real place before each place, (B, T), and before the end, (B, 1);
    `beginning` if there is none."""
    places = torch.arange(labels.shape[1], device=labels.device)
    latest = F.pad(places.where(real, -1).cummax(1).values, (1, 0), value=-1)  # (B, T + 1)
    found = labels.gather(1, latest.clamp(min=0)).where(latest >= 0, beginning)
    return found[:, :-1], found[:, -1:].clamp(max=beginning - 1)
