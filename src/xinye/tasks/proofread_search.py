"""Weighs the possible edits of texts with a language model.

An edit is weighed by how much more probable it makes its text, as in a noisy channel (Kernighan,
Church and Gale 1990, "A Spelling Correction Program Based on a Noisy Channel Model"). All edits of
a text are computed together: the text is read once, and then the tokens of each edit and those that
follow it, which attend to what stands before the edit and to each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from xinye.data.tokenizer import Tokenizer
from xinye.evaluation.edits import applied, same_length
from xinye.model.cache import KeyValueCache
from xinye.model.gpt import GPT
from xinye.tasks.proofread_candidates import Confusable, Option, Reading
from xinye.tasks.tag_spans import trimmed
from xinye.tasks.text_windows import windows

WINDOW = 128  # tokens of a text that are read at once
FIRST_LOOK, LOOK = 1, 16  # tokens behind an edit that are computed: for all edits, and for the best
BEST = 48  # edits of a text that are computed further
LOGITS = 2**23  # computed at a time: 32 MiB


@dataclass(frozen=True)
class Branch:
    """The tokens of an edited text that differ from `begin` on, and as many of those behind them as
    are computed; `end` is where the text's own tokens end that they stand for."""

    begin: int
    tokens: list[int]
    end: int


def branch_of(own: Sequence[int], edited: Sequence[int], look: int) -> Branch:
    """The branch of an edited text, with `look` tokens behind what differs."""
    same = same_length(own, edited)
    rest = min(len(own), len(edited)) - same
    behind = min(same_length(own[::-1], edited[::-1]), rest)
    more = min(look, behind)
    return Branch(same, [*edited[same : len(edited) - behind + more]], len(own) - behind + more)


@dataclass(frozen=True)
class Weighed:
    """An edit with what the language model says of it, in nats: the `gain` of the whole text, that
    of the first token that differs (`left`), and the log-probabilities of the text's `own` token
    there and of the `next` one."""

    option: Option
    gain: float
    left: float
    own: float
    next: float


@dataclass(frozen=True)
class Weighing:
    """A part of a text, where it starts, and its best edits with their places in the whole text."""

    text: str
    start: int
    edits: Sequence[Weighed]


class Search:
    """Weighs edits with a model that reads `context` tokens."""

    def __init__(
        self, model: GPT, tokenizer: Tokenizer, confusable: Confusable, context: int
    ) -> None:
        self.model, self.tokenizer, self.confusable = model, tokenizer, confusable
        # a text begins as in training; without such a token, behind the end of another
        self.before = [*tokenizer.prefix] or [tokenizer.eos_id]
        self.window = min(WINDOW, context // 2)
        self.room = max(LOOK + WINDOW, LOGITS // model.config.vocab_size)  # tokens read at a time

    def weighed(self, text: str) -> list[Weighing]:
        """The best edits of each part of a text. Parts end behind sentences if possible."""
        found, start = [], 0
        parts = windows(text, lambda some: len(self.tokenizer.encode(some)) <= self.window)
        for before, part in parts:
            start += len(before)
            found.append(self.weighed_part(part, start))
            start += len(part)
        return found

    def weighed_part(self, text: str, start: int) -> Weighing:
        """The best edits of a part that begins at `start`."""
        return Weighing(text, start, self._weighed(text, start) if text else [])

    @torch.no_grad()
    def _weighed(self, text: str, start: int) -> list[Weighed]:
        reading, cache = self._read(text)
        options = self.confusable.options(reading)
        if not options:
            return []
        tokens = self.tokenizer.encode_batch([applied(text, [each.edit]) for each in options])
        edited = [[*each, self.tokenizer.eos_id] for each in tokens]
        # a tokenizer may not see a difference, such as that of capitals
        seen = [at for at, each in enumerate(edited) if each != reading.tokens]
        options, edited = [options[at] for at in seen], [edited[at] for at in seen]
        branches = [branch_of(reading.tokens, each, FIRST_LOOK) for each in edited]
        gains = self._gains(reading, cache, branches)
        best = sorted(range(len(options)), key=lambda at: -gains[at])[:BEST]
        branches = [branch_of(reading.tokens, edited[at], LOOK) for at in best]
        gains = self._gains(reading, cache, branches)
        return [
            self._weigh(reading, options[at].moved(start), branch, gain)
            for at, branch, gain in zip(best, branches, gains, strict=True)
        ]

    def _weigh(self, reading: Reading, option: Option, branch: Branch, gain: float) -> Weighed:
        at, own = branch.begin, [*reading.own, 0.0]
        left = float(reading.table[at, branch.tokens[0]]) - own[at]
        return Weighed(option, gain, left, own[at], own[at + 1])

    def _read(self, text: str) -> tuple[Reading, KeyValueCache]:
        """The text as the model reads it, and the cache with all of its tokens but the last."""
        [encoding] = self.tokenizer.encodings([text])
        tokens = [*encoding.ids, self.tokenizer.eos_id]
        whole = torch.tensor([[*self.before, *tokens[:-1]]], device=self.model.device)
        cache = self.model.new_cache(1, whole.shape[1] + self.room)
        hidden = self.model.hidden(whole, cache=cache)[0, len(self.before) - 1 :]
        table = self.model.lm_head(hidden).float().log_softmax(-1).cpu()
        places: dict[int, int] = {}
        for number, (start, end) in enumerate(trimmed(text, encoding.offsets)):
            if start < end:
                places.setdefault(start, number)
        return Reading(text, tokens, places, table), cache

    def _gains(
        self, reading: Reading, cache: KeyValueCache, branches: Sequence[Branch]
    ) -> list[float]:
        """By how much each branch is more probable than the text's own tokens."""
        own = np.cumsum([0.0, *reading.own])
        groups: list[list[Branch]] = []
        room = 0
        for branch in branches:
            room -= len(branch.tokens)
            if room < 0:
                groups.append([])
                room = self.room - len(branch.tokens)
            groups[-1].append(branch)
        sums = [each for group in groups for each in self._sums(reading, cache, group)]
        return [
            total - float(own[branch.end] - own[branch.begin])
            for branch, total in zip(branches, sums, strict=True)
        ]

    def _sums(
        self, reading: Reading, cache: KeyValueCache, branches: Sequence[Branch]
    ) -> list[float]:
        """The log-probability of the tokens of each branch. The first is known from the text; the
        others are read at once."""
        before, length = len(self.before), cache.length
        sums = [float(reading.table[each.begin, each.tokens[0]]) for each in branches]
        tokens = [token for branch in branches for token in branch.tokens[:-1]]
        if not tokens:
            return sums
        positions: list[int] = []
        mask = torch.zeros(len(tokens), length + len(tokens), dtype=torch.bool)
        ends = [0]
        for branch in branches:
            count, at = len(branch.tokens) - 1, ends[-1]
            positions += range(before + branch.begin, before + branch.begin + count)
            mask[at : at + count, : before + branch.begin] = True
            own = torch.ones(count, count, dtype=torch.bool).tril()
            mask[at : at + count, length + at : length + at + count] = own
            ends.append(at + count)
        device = self.model.device
        placed = torch.tensor([[tokens], [positions]], device=device)  # (2, 1, N)
        hidden = self.model.hidden(placed[0], placed[1], mask.to(device), cache)
        cache.length = length
        logits = self.model.lm_head(hidden[0]).float().cpu()
        right = torch.tensor([token for branch in branches for token in branch.tokens[1:]])
        found = logits.gather(1, right[:, None])[:, 0] - logits.logsumexp(-1)
        totals = np.cumsum([0.0, *found.tolist()])
        return [
            first + float(totals[end] - totals[begin])
            for first, begin, end in zip(sums, ends, ends[1:], strict=False)
        ]
