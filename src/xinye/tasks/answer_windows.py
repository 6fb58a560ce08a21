"""Questions with passages as a network reads them.

A window is the question and as much of the passage as fits the context; a long passage is read in
windows that overlap by a third, so that nothing of it is left out. The first token stands for "not
in this passage": there begin and end point if the window has no answer (as in BERT, Devlin et al.
2019, arXiv:1810.04805).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from tokenizers import processors

from xinye.data.tokenizer import Tokenizer
from xinye.tasks.answer_records import Question
from xinye.tasks.heads import with_borders

SHORT = 128  # tokens of a window: to match a question with a few sentences is learned soonest
OVERLAP = 3  # a third of a window is also in the next one
QUESTION_SHARE = 3  # at most a third of the context is for the question


@dataclass(frozen=True)
class Window:
    """A question and a part of its passage as tokens. `first` is the index of the passage's first
    token, and `offsets` are the places of the passage's tokens in its text, in characters. `cut`
    counts the tokens of the question that were left out."""

    tokens: list[int]
    first: int
    offsets: list[tuple[int, int]]
    cut: int = 0

    def targets(self, span: tuple[int, int] | None) -> tuple[int, int]:
        """The first and the last token of a span of characters; (0, 0) if it is not in here."""
        if span is None:
            return 0, 0
        inside = [
            at
            for at, (start, end) in enumerate(self.offsets, self.first)
            if start < span[1] and end > span[0]
        ]
        if not inside or span[0] < self.offsets[0][0]:
            return 0, 0
        # An answer that fills a window and more is learned as far as the window goes.
        if span[1] > self.offsets[-1][1] and inside[0] > self.first:
            return 0, 0
        return inside[0], inside[-1]


def pair_tokenizer(tokenizer: Tokenizer) -> Tokenizer:
    """A copy of the tokenizer that puts `<eos>` before the question, between it and the passage and
    at the end, and makes each Han character and each mark a token of its own."""
    changed = with_borders(tokenizer)
    eos = tokenizer.backend.id_to_token(tokenizer.eos_id) or ""
    changed.backend.post_processor = processors.TemplateProcessing(
        single=[eos, "$A", eos],
        pair=[eos, "$A", eos, "$B:1", eos],
        special_tokens=[(eos, tokenizer.eos_id)],
    )
    return changed


def windows_of(tokenizer: Tokenizer, question: str, passage: str, context: int) -> list[Window]:
    """The windows of a question and its passage, each of at most `context` tokens."""
    pair = _Pair.of(tokenizer, question, passage, min(context, SHORT))
    return [pair.window(at) for at in _starts(len(pair.ids), pair.room)]


def window_around(tokenizer: Tokenizer, record: Question, context: int) -> Window:
    """The one window to learn from: `record.at` of it comes before the answer; if the passage has
    none, `record.at` of the passage comes before the window."""
    pair = _Pair.of(tokenizer, record.question, record.passage, min(context, SHORT))
    share = record.at or 0.0
    beyond = max(0, len(pair.ids) - pair.room)
    if record.span is None:
        return pair.window(round(share * beyond))
    first = next(at for at, (_, end) in enumerate(pair.offsets) if end > record.start)
    last = sum(start < record.span[1] for start, _ in pair.offsets)
    free = max(0, pair.room - (last - first))
    return pair.window(min(beyond, max(0, first - round(share * free))))


@dataclass(frozen=True)
class _Pair:
    """A question as the tokens before a passage, and the passage's tokens with their places; of
    these `room` fit into a window."""

    before: list[int]
    ids: list[int]
    offsets: list[tuple[int, int]]
    room: int
    end: int
    cut: int

    @classmethod
    def of(cls, tokenizer: Tokenizer, question: str, passage: str, context: int) -> "_Pair":
        asked, read = tokenizer.encodings([question, passage])
        most, eos = max(1, context // QUESTION_SHARE), tokenizer.eos_id
        before = [eos, *asked.ids[:most], eos]
        room = max(1, context - len(before) - 1)
        return cls(before, read.ids, read.offsets, room, eos, max(0, len(asked.ids) - most))

    def window(self, at: int) -> Window:
        """The window whose part of the passage begins at a token."""
        part = slice(at, at + self.room)
        tokens = [*self.before, *self.ids[part], self.end]
        return Window(tokens, len(self.before), self.offsets[part], self.cut)


def _starts(length: int, room: int) -> Iterator[int]:
    """Where windows of `room` tokens begin: each overlaps the one before by a third, the last ends
    with the passage."""
    yield 0
    at = 0
    while at + room < length:
        at = min(at + max(1, room - room // OVERLAP), length - room)
        yield at
