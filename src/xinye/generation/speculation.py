"""Guessing the next tokens, so that one step of the model confirms several (Leviathan et al. 2023,
arXiv:2211.17192).

A step draws what it would draw anyway and goes on while that is what was guessed. So a text is the
same as without, at any temperature: for guesses that are one token each, and no distribution, this
is exact rejection sampling.

Guesses come from the text itself, where its last tokens stood before, or from a small draft model.
They cost rows of a step, and so are made only where the share of them that came true so far is
worth it.
"""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from weakref import WeakKeyDictionary

import torch

from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.generation.engine import Engine
from xinye.generation.runner import FEW, Runner
from xinye.generation.scheduler import Part
from xinye.generation.sequence import Sequence
from xinye.model.build import LanguageModel
from xinye.model.gpt import GPT
from xinye.model.quantization import QuantizedLinear

GRAM = 3  # the last so many tokens are looked for
# What one more row costs, in steps of one row: benchmarks/generation.py, one text against eight, on
# the compiled step.
ROW_COST = {torch.float32: 0.12, torch.bfloat16: 0.25}
QUANTIZED_ROW_COST = 0.4
HOPE, MEMORY = 0.5, 0.1  # how likely the first guess is held to be, and what each outcome counts


@dataclass
class _Record:
    """What is known of guessing for one text."""

    likely: float = HOPE  # that a guess comes true, where those before it did
    guessed: list[int] = field(default_factory=list)
    length: int = 0  # tokens of the text when these were guessed
    # where it went on behind some tokens, the last time
    places: dict[tuple[int, ...], int] = field(default_factory=dict)
    searched: int = GRAM  # tokens that `places` knows of
    drafted: int = 0  # tokens of the window that the draft model has read
    blocks: list[int] | None = None  # into these blocks


class Speculation:
    """The guesses of an engine; call `speculate`."""

    def __init__(self, engine: Engine, draft: GPT | None) -> None:
        model = engine.model
        quantized = any(isinstance(module, QuantizedLinear) for module in model.modules())
        self.engine = engine
        self.row_cost = QUANTIZED_ROW_COST if quantized else ROW_COST[model.compute_dtype]
        self.guess_cost = self.row_cost
        self.drafter: Runner | None = None
        if draft is not None:
            self.drafter = Runner(draft.eval(), engine.cache.blocks, engine.cache.block)
            self.context = min(engine.context, draft.config.max_position_embeddings)
            self.guess_cost += _bytes(draft) / _bytes(model)
        self._records: WeakKeyDictionary[Sequence, _Record] = WeakKeyDictionary()
        self.guessed = self.confirmed = 0  # tokens in all

    def __call__(self, sequence: Sequence) -> list[int]:
        """How a text may go on: few tokens, or none where that is not worth a step's rows."""
        record = self._records.setdefault(sequence, _Record())
        self._learn(record, sequence.tokens)
        room = min(
            sequence.sampling.max_tokens - sequence.completion_tokens - 1,
            self.engine.context - len(sequence.window),
            FEW - 1,
            self._worth(record.likely),
        )
        if self.drafter is None:
            guesses = _looked_up(record, sequence.tokens, room)
        else:
            guesses = self._drafted(record, sequence, room)
        if not guesses:
            record.likely += (HOPE - record.likely) * MEMORY / 10  # times change
        record.guessed, record.length = guesses, len(sequence.tokens)
        return guesses

    def _learn(self, record: _Record, tokens: list[int]) -> None:
        """See which of the last guesses came true."""
        for guess, token in zip(record.guessed, tokens[record.length :], strict=False):
            record.likely += ((guess == token) - record.likely) * MEMORY
            self.guessed, self.confirmed = self.guessed + 1, self.confirmed + (guess == token)
            if guess != token:
                break

    def _worth(self, likely: float) -> int:
        """How many guesses pay: each row must bring more tokens than the rows of a step do without
        it."""
        running = len(self.engine.running)
        least = self.guess_cost * running / (1 + self.row_cost * (running - 1))
        count = 0
        while count < FEW and likely ** (count + 1) >= least:
            count += 1
        return count

    def _drafted(self, record: _Record, sequence: Sequence, count: int) -> list[int]:
        """What the draft model would write, always its likeliest token. Its keys and values lie in
        the same blocks."""
        assert self.drafter is not None
        if record.blocks is not sequence.blocks:
            record.drafted, record.blocks = 0, sequence.blocks
        record.drafted = min(record.drafted, sequence.read)
        count = min(count, self.context - len(sequence.window))
        if count < 1 or not self.engine.cache.extend(sequence, len(sequence.window) + count):
            return []
        tokens, guesses = sequence.window[record.drafted :], list[int]()
        for _ in range(count):
            # all that a runner needs of a text
            place: Any = SimpleNamespace(read=record.drafted, blocks=sequence.blocks)
            part = Part(place, tokens, wanted=1)
            guesses.append(
                int(self.drafter.run([part])[0, : self.engine.tokenizer.vocab_size].argmax())
            )
            record.drafted += len(tokens)
            tokens = guesses[-1:]
        return guesses


def speculate(
    engine: Engine, draft: LanguageModel | None = None, tokenizer: Tokenizer | None = None
) -> None:
    """Let an engine guess, by a draft model or else by looking up, where that was measured to be
    faster: with the compiled step on a CPU. Raises `XinyeError` where the draft model and its
    tokenizer do not fit the engine's."""
    if draft is not None:
        assert tokenizer is not None
        if not (isinstance(draft, GPT) and isinstance(engine.model, GPT)):
            raise XinyeError("the draft: both models must be GPTs; an LSTM cannot speculate")
        if (
            tokenizer.token_bytes != engine.tokenizer.token_bytes
            or tokenizer.stop_ids != engine.tokenizer.stop_ids
        ):
            raise XinyeError(
                f"the draft: its tokenizer ({tokenizer.vocab_size:,} tokens) differs from the "
                f"model's ({engine.tokenizer.vocab_size:,}); both must have the same tokenizer"
            )
    if engine.runner.decoder is not None:
        engine.scheduler.guess = Speculation(engine, draft)


def _looked_up(record: _Record, tokens: list[int], count: int) -> list[int]:
    """What followed where the last tokens stood before (prompt lookup)."""
    for end in range(record.searched, len(tokens)):
        record.places[tuple(tokens[end - GRAM : end])] = end
    record.searched = max(record.searched, len(tokens))
    begin = record.places.get(tuple(tokens[-GRAM:]))
    if begin is None:
        return []
    guesses = list[int]()
    # where it would read past the end of the text, its own guesses follow
    while len(guesses) < count:
        at = begin + len(guesses)
        guesses.append(tokens[at] if at < len(tokens) else guesses[at - len(tokens)])
    return guesses


def _bytes(model: torch.nn.Module) -> int:
    return sum(each.nbytes for each in [*model.parameters(), *model.buffers()])
