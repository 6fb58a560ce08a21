"""Speculative decoding: tokens are guessed, so that one step of the model confirms several
(Leviathan et al. 2023, arXiv:2211.17192).

A step samples as usual and continues as long as the result equals the guess. So the text is the
same as without guessing, at any temperature: each guess is a single token, not a distribution, so
this is exact rejection sampling.

Guesses come from the grammar of a constraint, where only one text can follow, such as the names of
a JSON schema; from the text itself, where its last tokens occurred before; or from a small draft
model. Each guess costs a row of the step, so Xinye guesses only if enough earlier guesses were
right. What a lookup would have guessed counts as well, because it costs nothing.
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

GRAM = 3  # the number of last tokens that are looked up in the text
# The cost of one more row, in steps of one row: the median with the compiled decoder, 12 layers ×
# 512 on a processor with AVX-512, eight rows against one, rounded up.
ROW_COST = {torch.float32: 0.14, torch.bfloat16: 0.1}
QUANTIZED_ROW_COST = 0.3
# the first estimate for what is looked up, and for what a draft model writes
LOOKED_UP, DRAFTED = 0.35, 0.5
MEMORY = 0.1  # the weight of each new outcome


@dataclass
class _Record:
    """What is known about guessing for one text."""

    likely: float  # the estimated chance that a guess is right if those before it are
    guessed: list[int] = field(default_factory=list)
    length: int = 0  # the tokens of the text when these were guessed
    # for each GRAM tokens, the position after their last occurrence
    places: dict[tuple[int, ...], int] = field(default_factory=dict)
    searched: int = GRAM  # the tokens of the text that are in `places`
    drafted: int = 0  # the tokens of the window that the draft model has read
    blocks: list[int] | None = None  # the blocks that the draft model read them into


class Speculation:
    """The guesses of an engine, as a `Guess` of its scheduler. `speculate` installs it."""

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

    def __call__(self, sequence: Sequence) -> list[int]:
        """The guesses for the next tokens of a text; none if they are not worth the rows of a
        step, or while the decoder is being compiled."""
        if self.engine.runner.decoder is None:
            return []
        first = LOOKED_UP if self.drafter is None else DRAFTED
        record = self._records.setdefault(sequence, _Record(first))
        self._learn(record, sequence.tokens)
        room = min(
            sequence.sampling.max_tokens - sequence.completion_tokens - 1,
            self.engine.context - len(sequence.window),
            FEW - 1,
        )
        forced = [] if sequence.constraint is None else sequence.constraint.forced(room)
        if forced:  # these are certain, so each is worth its row, and there is nothing to learn
            record.guessed = []
            return forced
        worth = self._worth(record.likely)
        if self.drafter is None:
            guesses = _looked_up(record, sequence.tokens, room)
        else:
            guesses = self._drafted(record, sequence, min(room, worth))
        if not guesses:
            record.likely += (first - record.likely) * MEMORY / 10  # slowly forget bad luck
        record.guessed, record.length = guesses, len(sequence.tokens)
        return guesses[:worth]

    def _learn(self, record: _Record, tokens: list[int]) -> None:
        """Learn which of the last guesses were right, whether a step verified them or not."""
        for guess, token in zip(record.guessed, tokens[record.length :], strict=False):
            record.likely += ((guess == token) - record.likely) * MEMORY
            if guess != token:
                break

    def _worth(self, likely: float) -> int:
        """The number of guesses that pay off: each row must gain more tokens than the other rows of
        the step do on average."""
        running = len(self.engine.running)
        least = self.guess_cost * running / (1 + self.row_cost * (running - 1))
        count = 0
        while count < FEW and likely ** (count + 1) >= least:
            count += 1
        return count

    def _drafted(self, record: _Record, sequence: Sequence, count: int) -> list[int]:
        """The draft model's likeliest tokens. It keeps its keys and values in blocks of the same
        numbers."""
        assert self.drafter is not None
        if record.blocks is not sequence.blocks:
            record.drafted, record.blocks = 0, sequence.blocks
        record.drafted = min(record.drafted, sequence.read)
        count = min(count, self.context - len(sequence.window))
        if count < 1 or not self.engine.cache.extend(sequence, len(sequence.window) + count):
            return []
        tokens, guesses = sequence.window[record.drafted :], list[int]()
        for _ in range(count):
            # A runner needs only these fields of a sequence.
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
    """Let an engine guess tokens, with a draft model or else by lookup in the text.

    This has an effect only with the compiled decoder on a CPU, the case where it was measured to be
    faster. Raises `XinyeError` if the draft model or its tokenizer does not fit the engine's.
    """
    if draft is not None:
        assert tokenizer is not None
        if not (isinstance(draft, GPT) and isinstance(engine.model, GPT)):
            raise XinyeError(
                "speculative decoding: both models must be GPTs; an LSTM cannot be used"
            )
        if (
            tokenizer.token_bytes != engine.tokenizer.token_bytes
            or tokenizer.stop_ids != engine.tokenizer.stop_ids
        ):
            raise XinyeError(
                "speculative decoding: the draft model's tokenizer "
                f"({tokenizer.vocab_size:,} tokens) differs from the model's "
                f"({engine.tokenizer.vocab_size:,}); both must have the same tokenizer"
            )
    model = engine.model
    if isinstance(model, GPT) and model.device.type == "cpu" and model.compute_dtype in ROW_COST:
        engine.scheduler.guess = Speculation(engine, draft)


def _looked_up(record: _Record, tokens: list[int], count: int) -> list[int]:
    """The tokens that followed the last earlier occurrence of the final tokens (prompt lookup)."""
    for end in range(record.searched, len(tokens)):
        record.places[tuple(tokens[end - GRAM : end])] = end
    record.searched = max(record.searched, len(tokens))
    begin = record.places.get(tuple(tokens[-GRAM:]))
    if begin is None:
        return []
    guesses = list[int]()
    # At the end of the text the guesses themselves are copied on.
    while len(guesses) < count:
        at = begin + len(guesses)
        guesses.append(tokens[at] if at < len(tokens) else guesses[at - len(tokens)])
    return guesses


def _bytes(model: torch.nn.Module) -> int:
    return sum(each.nbytes for each in [*model.parameters(), *model.buffers()])
