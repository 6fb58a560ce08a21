"""Continuous batching: in each step of an `Engine`, every running text gets its next token.

sequence → scheduler (which, how many tokens) → cache (which blocks) → runner (logits) → next_token
→ sequence
"""

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from xinye import machine
from xinye.data.tokenizer import Tokenizer
from xinye.errors import XinyeError
from xinye.generation.cache import BlockCache
from xinye.generation.constraint import constraint_for
from xinye.generation.next_token import finite_rows, log_probabilities, next_tokens
from xinye.generation.runner import Runner
from xinye.generation.sampling import Sampling
from xinye.generation.scheduler import Guess, Part, Scheduler
from xinye.generation.sequence import Sequence
from xinye.generation.stream import TextStream
from xinye.model.build import LanguageModel
from xinye.model.gpt import GPT

BLOCK = 32  # tokens in a block of the cache
SHARE = 4  # the cache takes at most a quarter of the free memory


class Engine:
    """Generates many texts at once. It is not thread-safe. An error ends only the sequence that
    caused it, which has it in `error`."""

    def __init__(
        self,
        model: LanguageModel,
        tokenizer: Tokenizer,
        cache_tokens: int | None = None,
        max_running: int = 32,
        chunk: int = 256,
        guess: Guess | None = None,
    ) -> None:
        """`cache_tokens` is the size of the cache in tokens; by default `max_running` full
        contexts, if memory allows. `max_running` is the number of texts generated at once, `chunk`
        the most prompt tokens read in a step. `guess` proposes the next tokens of a text, which one
        step verifies (not for an LSTM, because its state cannot go back)."""
        self.model, self.tokenizer = model, tokenizer
        context = model.config.max_position_embeddings
        recurrent = not isinstance(model, GPT)  # an LSTM's state is one block, which never fills
        assert guess is None or not recurrent
        block = context + 1 if recurrent else min(BLOCK, context)
        if cache_tokens is None:
            cache_tokens = affordable_tokens(model, max_running * max(context, block))
        self.cache = BlockCache(-(-cache_tokens // block), block)
        self.context = min(context, self.cache.total)
        self.scheduler = Scheduler(self.cache, max_running, chunk, guess)
        self.runner = Runner(model, self.cache.blocks, block)

    @property
    def running(self) -> list[Sequence]:
        return self.scheduler.running

    @property
    def waiting(self) -> list[Sequence]:
        return [*self.scheduler.waiting]

    @property
    def busy(self) -> bool:
        return bool(self.scheduler.running or self.scheduler.waiting)

    def check(self, sequence: Sequence) -> None:
        """Raise `XinyeError` if a sequence can never run."""
        sampling, size = sequence.sampling, self.tokenizer.vocab_size
        for token in (*sampling.logit_bias, *sampling.stop_token_ids):
            if not 0 <= token < size:
                raise XinyeError(
                    f"there is no token {token}; this model has tokens 0 to {size - 1}"
                )
        if len(sequence.window) > self.context:
            raise XinyeError(
                f"the prompt has {len(sequence.window)} tokens; this model reads at most "
                f"{self.context}: shorten it"
            )

    def add(self, sequence: Sequence) -> None:
        """Let a sequence join at the next step. Raises `XinyeError` if it can never run."""
        self.check(sequence)
        sequence.stream = TextStream(self.tokenizer.token_bytes, sequence.sampling.stop)
        sequence.ends = self.tokenizer.stop_ids.union(sequence.sampling.stop_token_ids)
        sequence.constraint = constraint_for(self.tokenizer, sequence.sampling)
        self.scheduler.waiting.append(sequence)

    def cancel(self, sequence: Sequence) -> None:
        """Remove a sequence at once, whether it has ended or not."""
        self.scheduler.remove(sequence)

    @torch.inference_mode()
    def step(self) -> list[tuple[Sequence, str]]:
        """Run one step for all sequences; returns those that have new text or have ended, with that
        text."""
        if self.model.training:
            self.model.eval()
        parts = sorted(self.scheduler.schedule(), key=lambda part: len(part.tokens))
        if not parts:
            return []
        logits = self.runner.run(parts)[:, : self.tokenizer.vocab_size].float()  # (R, V)
        going, row = list[tuple[Part, int]](), 0
        for part in parts:
            part.sequence.drafted += part.guesses
            self._has_read(part.sequence, len(part.tokens) - part.guesses)
            if part.wanted:
                going.append((part, row))
                row += part.wanted
        at = 0
        # A sequence is written once, however many guesses were right: its last text has its end.
        written = dict[Sequence, str]()
        while going:  # one token after the known ones, then one after each guess that was right
            sequences, rows = [part.sequence for part, _ in going], [row + at for _, row in going]
            some = logits if len(rows) == len(logits) else logits[rows]
            for sequence, text in self._write(sequences, some):
                written[sequence] = written.get(sequence, "") + text
            going = [(part, row) for part, row in going if self._guessed(part, at)]
            at += 1
        return [*written.items()]

    def _has_read(self, sequence: Sequence, tokens: int) -> None:
        sequence.read += tokens
        self.cache.keep(sequence)

    def _guessed(self, part: Part, at: int) -> bool:
        """Whether the last token equals guess number `at`, so that the logits after it are valid,
        too."""
        sequence = part.sequence
        if (
            sequence.ended
            or at == part.guesses
            or sequence.tokens[-1] != part.tokens[at - part.guesses]
        ):
            return False
        sequence.accepted += 1
        self._has_read(sequence, 1)
        return True

    def _write(self, sequences: list[Sequence], logits: Tensor) -> Iterator[tuple[Sequence, str]]:
        """Append a token to each sequence, drawn from its row of the logits."""
        for sequence, finite in zip(sequences, finite_rows(logits), strict=True):
            if not finite:
                damaged = (
                    "the output of the model is not finite: its weights or its config are damaged"
                )
                sequence.error = XinyeError(damaged, exit_code=1)
            elif sequence.constraint is not None:
                try:
                    sequence.constraint.allowed()
                except XinyeError as error:
                    sequence.error = error
        tokens = next_tokens(logits, sequences).tolist()
        for row, (sequence, token) in enumerate(zip(sequences, tokens, strict=True)):
            text = ""
            if sequence.error is None:
                if sequence.sampling.logprobs is not None:
                    sequence.logprobs.append(
                        log_probabilities(logits[row], token, sequence.sampling.logprobs)
                    )
                if sequence.constraint is not None:
                    sequence.constraint.accept(token)
                text = sequence.append(token)
            if sequence.ended:
                self.scheduler.remove(sequence)
            elif len(sequence.window) > self.context:
                self._forget(sequence)
            if text or sequence.ended:
                yield sequence, text

    def _forget(self, sequence: Sequence) -> None:
        """When the context is full, drop the older half. The rest is read again after the
        prefix."""
        self.cache.release(sequence)
        sequence.window = [
            *self.tokenizer.prefix,
            *sequence.tokens[len(sequence.tokens) - self.context // 2 :],
        ]

    def generate(self, sequences: Iterable[Sequence]) -> Iterator[tuple[int, str]]:
        """Run these sequences to their ends, next to all others; yields (index of the sequence, new
        text).

        Raises the error of a sequence that fails. Closing the generator cancels the sequences.
        """
        sequences = [*sequences]
        shown = [0] * len(sequences)
        try:
            for sequence in sequences:
                self.add(sequence)
            while True:
                for number, sequence in enumerate(sequences):
                    for piece in sequence.pieces[shown[number] :]:
                        shown[number] += 1
                        yield number, piece
                    if sequence.error is not None:
                        raise sequence.error
                if all(sequence.ended for sequence in sequences):
                    return
                self.step()
        finally:
            for sequence in sequences:
                self.cancel(sequence)


def affordable_tokens(model: LanguageModel, wanted: int) -> int:
    """`wanted` tokens of cache, or as many as fit into a share of the free memory, but at least one
    context."""
    if not isinstance(model, GPT):
        return wanted
    bytes_per_token = model.config.cache_bytes_per_token(model.compute_dtype.itemsize)
    free = model.free_memory or machine.memory_bytes(model.device)
    affordable = free // SHARE // bytes_per_token
    return min(wanted, max(affordable, model.config.max_position_embeddings))


# -- shortcuts: from prompts to text -------------------------------------------------------------


def start(
    tokenizer: Tokenizer, prompt: str, context: int, sampling: Sampling, number: int = 0
) -> Sequence:
    """A sequence that begins with a prompt. Raises `XinyeError` if the prompt is longer than the
    context."""
    tokens = [*tokenizer.prefix, *tokenizer.encode(prompt)] or [tokenizer.bos_id]
    if len(tokens) > context:
        raise XinyeError(
            f"the prompt has {len(tokens)} tokens; this model reads at most {context}: shorten it"
        )
    return Sequence(tokens, len(tokens), sampling, number)


def generate(
    model: LanguageModel, tokenizer: Tokenizer, sequences: Iterable[Sequence]
) -> Iterator[tuple[int, str]]:
    """Run all sequences to their ends in a new engine; yields (index of the sequence, new text)."""
    sequences, was_training = [*sequences], model.training
    context = model.config.max_position_embeddings
    most = sum(
        min(len(each.window) + each.sampling.max_tokens, context) + BLOCK for each in sequences
    )
    engine = Engine(model, tokenizer, affordable_tokens(model, most), max(1, len(sequences)))
    try:
        yield from engine.generate(sequences)
    finally:
        model.train(was_training)


def finish(model: LanguageModel, tokenizer: Tokenizer, sequences: list[Sequence]) -> list[Sequence]:
    """Run all sequences to their ends in a new engine, and return them."""
    for _ in generate(model, tokenizer, sequences):
        pass
    return sequences
