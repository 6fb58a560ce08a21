"""How probable a model finds several continuations of one text, which it reads only once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xinye.model.cache import KeyValueCache
from xinye.model.gpt import GPT

AT_ONCE = 512  # tokens read at once
LOGITS = 2**23  # computed at a time: 32 MiB in fp32


@dataclass(frozen=True)
class Question:
    """A text as tokens: the part that all continuations share, and the rest of each."""

    trunk: list[int]
    branches: list[list[int]]

    @property
    def longest(self) -> int:
        """The number of tokens with the longest continuation."""
        return len(self.trunk) + max(map(len, self.branches))

    @property
    def size(self) -> int:
        """The number of tokens with all continuations."""
        return len(self.trunk) + sum(map(len, self.branches))


@torch.inference_mode()
def log_probabilities(
    model: GPT, prompt: Sequence[int], branches: Sequence[list[int]]
) -> list[float]:
    """The log-probability of each continuation of a prompt, in nats. The prompt and the longest
    continuation must fit into the context."""
    model.eval()
    *before, last = prompt
    questions = [Question([last], [branch]) for branch in branches]
    most = len(before) + max(AT_ONCE, max(question.size for question in questions))
    cache = KeyValueCache(model.config, 1, most, model.compute_dtype, model.device)
    if before:
        model.hidden(torch.tensor([before], device=model.device), cache=cache)
    found: list[float] = []
    for pack in packs(questions):
        cache.length = len(before)
        found += [float(scores[0]) for scores in score(model, pack, cache)]
    return found


def score(model: GPT, pack: Sequence[Question], cache: KeyValueCache) -> list[Tensor]:
    """The log-probability of each continuation, (branches,), for each question.

    All are read as one row of tokens, in which a continuation attends only to the cache, its own
    text and itself. So each text is read only once."""
    device, start = model.device, cache.length
    tokens: list[int] = []
    positions: list[int] = []
    parts: list[tuple[int, int]] = []  # the question of each token, and its branch or -1
    sources: list[int] = []  # the token before each token of a branch
    targets: list[int] = []
    for number, question in enumerate(pack):
        begin = len(tokens)
        stem = begin + len(question.trunk) - 1
        for branch, words in [(-1, question.trunk), *enumerate(question.branches)]:
            at = 0 if branch < 0 else len(question.trunk)
            if branch >= 0:
                sources += [stem, *range(len(tokens), len(tokens) + len(words) - 1)]
                targets += words
            tokens += words
            positions += range(start + at, start + at + len(words))
            parts += [(number, branch)] * len(words)
    of, branch_of = torch.tensor(parts, device=device).T
    seen = (of[:, None] == of) & ((branch_of == -1) | (branch_of[:, None] == branch_of))
    mask = torch.nn.functional.pad(seen.tril(), (start, 0), value=True)
    row, places = (torch.tensor([numbers], device=device) for numbers in (tokens, positions))
    states = model.hidden(row, places, mask, cache)[0, torch.tensor(sources, device=device)]
    found = []
    rows = max(1, LOGITS // model.config.vocab_size)
    for some, right in zip(
        states.split(rows), torch.tensor(targets, device=device).split(rows), strict=True
    ):
        logits = model.lm_head(some).float()
        found.append(logits.gather(1, right[:, None])[:, 0] - logits.logsumexp(-1))
    words_of = iter(
        torch.cat(found).cpu().split([len(b) for question in pack for b in question.branches])
    )
    return [torch.stack([next(words_of).sum() for _ in question.branches]) for question in pack]


def packs(questions: Sequence[Question]) -> Iterator[list[Question]]:
    """Groups of questions that are read together."""
    pack: list[Question] = []
    size = 0
    for question in questions:
        if pack and size + question.size > AT_ONCE:
            yield pack
            pack, size = [], 0
        pack.append(question)
        size += question.size
    yield pack
