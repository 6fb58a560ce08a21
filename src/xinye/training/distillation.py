"""Knowledge distillation: a small model learns from the predictions of a larger one, not only from
the next token of the text.

A prediction says more than the token itself: it also says which other tokens were likely (Hinton,
Vinyals & Dean 2015, "Distilling the knowledge in a neural network", arXiv:1503.02531).
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from xinye.data.batches import IGNORED, Batch
from xinye.model.build import LanguageModel


def distillation_loss(
    student: LanguageModel,
    teacher: LanguageModel,
    temperature: float,
    alpha: float,
    label_smoothing: float = 0.0,
    compiled: bool = False,
) -> Callable[[Batch], Tensor]:
    """The loss function of a student: alpha · T² · KL(teacher ‖ student) + (1 − alpha) ·
    cross-entropy.

    It maps a batch to the sum over its counted targets, in nats. The temperature T softens both
    distributions of the first term; T² keeps the size of its gradient independent of T. The teacher
    is not trained.
    """
    teacher.eval().requires_grad_(False)

    def both(batch: Batch) -> Tensor:
        def logits_of(model: LanguageModel) -> Tensor:  # (B · T, V)
            mask = model.apart(batch.documents, batch.borders)
            return model(batch.tokens, batch.positions, mask).flatten(0, 1).float()

        with torch.no_grad():
            teacher_logits = logits_of(teacher)
        logits, targets = logits_of(student), batch.targets.flatten()
        hard = F.cross_entropy(logits, targets, reduction="sum", label_smoothing=label_smoothing)
        soft = divergence(logits, teacher_logits, temperature) * (targets != IGNORED)
        return alpha * soft.sum() + (1 - alpha) * hard

    return torch.compile(both) if compiled else both


def divergence(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² · KL(teacher ‖ student) in nats for each row of logits, (N, V) to (N,).

    The two may have different numbers of columns; extra ones stand for no token and are left out.
    """
    tokens = min(student.shape[-1], teacher.shape[-1])
    ours, theirs = (
        F.log_softmax(logits[:, :tokens] / temperature, dim=-1) for logits in (student, teacher)
    )
    return temperature**2 * F.kl_div(ours, theirs, reduction="none", log_target=True).sum(-1)
