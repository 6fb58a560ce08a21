"""The first weights of a proofreader's head."""

import math

import torch

from xinye.data.scripts import is_han
from xinye.data.tokenizer import Tokenizer
from xinye.model.gpt import GPT
from xinye.model.heads import IGNORED, Head
from xinye.tasks.proofread_tokens import DELETE, INSERT, KEEP, SPECIAL
from xinye.tasks.records import Examples

# How probable the labels are before training; all units that could be written share the rest.
FIRST = {KEEP: 0.02, DELETE: 0.01, INSERT: 0.01}
SAMPLED = 64  # examples from which the weights of these labels are computed
RIDGE = 1e-3


@torch.no_grad()
def begin_head(model: Head, base: GPT, tokenizer: Tokenizer, examples: Examples) -> None:
    """Let a new head begin with what the base model knows.

    The score of "=x" is the base model's own for the first token of x, so the probabilities of all
    x begin as those of the language model. The other labels get, by least squares over some
    examples, the log of the sum of these scores, and with it their share in `FIRST`. If they began
    at zero, the first steps of training would push all scores of the language model down, and
    destroy what it knows.
    """
    labels = model.config.labels
    weight, bias = model.score.weight, model.score.bias
    rows, places = [], []
    for at, label in enumerate(labels):
        unit = label[1:]
        if label not in SPECIAL:
            tokens = tokenizer.encode(unit if is_han(unit) else f" {unit}")
            # the first token may be the space alone
            named = [each for each in tokens if tokenizer.token_bytes[each].strip()]
            if named:
                rows.append(named[0])
                places.append(at)
    weight[places] = base.lm_head.weight[rows].to(weight)
    states, sums = [], []
    model.eval()
    for batch in examples.micro_batches(0, min(SAMPLED, len(examples)), 8):
        decided = batch.targets != IGNORED
        found = model.states(batch.tokens.to(weight.device), batch.lengths.to(weight.device))
        states.append(found[decided].float())
        sums.append((states[-1] @ weight[places].T).logsumexp(-1))
    model.train()
    known = torch.cat(states)
    known = torch.cat([known, torch.ones_like(known[:, :1])], dim=1)  # (N, C + 1)
    normal = known.T @ known + RIDGE * len(known) * torch.eye(known.shape[1])
    fitted = torch.linalg.solve(normal, known.T @ torch.cat(sums))  # (C + 1,)
    others = 1 - sum(FIRST.values())
    for label, share in FIRST.items():
        weight[labels.index(label)] = fitted[:-1]
        bias[labels.index(label)] = fitted[-1] + math.log(share / others)
