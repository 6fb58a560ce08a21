"""The base class of tasks that answer a text with a text: the language model itself is trained.

A record is a conversation, rendered by the model's own chat template. The model trains only on the
answers, each with the token that ends it. A summary or a translation is a conversation with one
turn: the text, and what the model should write.
"""

from collections.abc import Iterator, Sequence
from copy import copy
from functools import partial
from typing import Any, ClassVar

from xinye.data.chat_templates import TEMPLATE_OF_TEXTS, WITHOUT_TOOLS
from xinye.data.notes import Notes
from xinye.data.records import Row
from xinye.data.tokenizer import CHAT_TEMPLATE, MESSAGE_START, Tokenizer
from xinye.data.tool_calls import as_text
from xinye.errors import XinyeError, plural
from xinye.evaluation.written import exact_share
from xinye.generation import sequence
from xinye.generation.chat import Message, shortened, start_answer
from xinye.generation.engine import finish
from xinye.generation.sampling import ChatSampling
from xinye.model.gpt import GPT
from xinye.model.loss import IGNORED
from xinye.runs.words import Both, Figure
from xinye.tasks.language_task import LanguageTask
from xinye.tasks.records import (
    Example,
    beside,
    expected,
    leaks,
    note_unread,
    text_in,
)
from xinye.tasks.task import Figures
from xinye.tasks.writing_records import Named, Record, is_trained

GOLDEN: list[Message] = [
    {"role": "user", "content": "你好！<|im_end|> is text."},
    {"role": "assistant", "content": "Hello, 新叶。"},
    {"role": "user", "content": "1 + 1 = ?"},
]
ANSWERED = 32  # how many answers a measurement writes, all in one batch
LONGEST_ANSWER = 256  # tokens; a longer answer counts as one that does not end
WRITTEN = (  # the metrics of all tasks that write
    Figure(
        "loss",
        "loss",
        Both("loss on answers (nats per token)", "回答的损失（每 token 的 nat 数）"),
        lower_replaced=True,
    ),
    Figure(
        "bits_per_byte",
        "bits per byte",
        Both("bits per byte of the answers", "回答的每字节比特数"),
        lower_replaced=True,
    ),
    Figure(
        "ended", "ended", Both("answers that end by themselves", "自行结束的回答"), 0, percent=True
    ),
    Figure(
        "exact",
        "exact match",
        Both("answers that match exactly", "一字不差的回答"),
        0,
        percent=True,
    ),
    Figure("answer_tokens", "tokens", Both("tokens of an answer", "回答的 token 数"), 1),
)


class Writing(LanguageTask):
    """A task in which the language model writes answers, without a new head.

    A subclass lists in `sources` and `targets` the usual names of the columns for a text and its
    answer, or overrides `record`.
    """

    sources: ClassVar[tuple[str, ...]] = ("source", "text", "document", "input")
    targets: tuple[str, ...] = ("target", "output", "answer")

    figures = ("loss", "bits_per_byte")
    better = "loss"
    baseline_name = "the base model"
    baseline_is_base = True
    judges_untaught = True
    columns: ClassVar[tuple[str, ...]] = ("prompt_field", "answer_field")
    augmentations = ("mask",)
    cut = "their oldest turns are dropped, and if that is not enough, some words"

    # -- records -----------------------------------------------------------------------------------

    @classmethod
    def record(cls, row: Any, place: str, notes: Notes, **columns: str | None) -> Record:
        """A text and the answer to write, as a conversation. Raises `XinyeError` if one of them is
        missing.
        """
        found = row if isinstance(row, dict) else {}
        named = Named(**columns)
        named.check(found, place)
        source, target = named.find(found, cls.sources, cls.targets, endings=True)
        if source is None or target is None:
            raise XinyeError(
                f"{place}: expected the fields {cls.sources[0]!r} and {cls.targets[0]!r}; "
                f"found {', '.join(map(str, found)) or repr(row)[:60]}. Name other columns with "
                "--prompt-field and --answer-field"
            )
        for name in (source, target):
            if not text_in(found, name, place).strip():
                raise expected(f"{place}, field {name!r}", "a text", found[name])
        answer: Message = {"role": "assistant", "content": found[target].strip()}
        messages = (*cls.asked(found[source]), answer)
        note_unread(found, (source, target), place, notes)
        return Record(messages, place, f"{source!r} and {target!r}")

    @classmethod
    def findings(cls, training: Sequence[Record], validation: Sequence[Record]) -> Iterator[str]:
        first = {record.whole: record for record in reversed(training)}
        again = [record for record in training if first[record.whole] is not record]
        if again:
            place, before = again[0].place, first[again[0].whole].place
            yield (
                f"{plural(len(again), 'duplicate record')} of {len(training):,}: the first is "
                f"{place} = {beside(place, before)}"
            )
        yield from leaks(training, validation)
        silent = [
            record
            for record in training
            if not all(as_text(message) for message in record.messages if is_trained(message))
        ]
        if silent:
            yield (
                f"{plural(len(silent), 'record')} with an empty answer, which is learned like "
                f"the others: first {silent[0].place}"
            )

    # -- tokens ------------------------------------------------------------------------------------

    @classmethod
    def tokenizer(cls, tokenizer: Tokenizer) -> Tokenizer:
        """The tokenizer with a chat template, if it has none or our old one, and with an example
        chat and its tokens, to check when it is loaded.
        """
        changed = copy(tokenizer)
        if changed.chat_template in (None, WITHOUT_TOOLS):
            known = tokenizer.backend.token_to_id(MESSAGE_START) is not None
            changed = tokenizer.with_template(CHAT_TEMPLATE if known else TEMPLATE_OF_TEXTS)
        # A template with the date gives other tokens tomorrow.
        if "strftime_now" not in (changed.chat_template or ""):
            changed.golden = {"messages": GOLDEN, "ids": changed.encode_chat(GOLDEN)}
        return changed

    @classmethod
    def token_findings(
        cls,
        tokenizer: Tokenizer,
        theirs: Tokenizer,
        training: Sequence[Record],
        validation: Sequence[Record],
    ) -> Iterator[str]:
        """Roles whose messages the chat template leaves out: doubling such a message does not
        change the tokens. And tools, if the template does not know them.
        """
        called = [record for record in training if record.has_tools]
        if called and not tokenizer.knows_tools:
            yield (
                "the model's chat template does not know tools, so tools and calls are written "
                f"as text: first {called[0].place}"
            )
        seen: set[str] = set()
        for record in training:
            for number, message in enumerate(record.messages):
                if message["role"] in seen or not message["content"].strip():
                    continue
                seen.add(message["role"])
                twice = {**message, "content": message["content"] * 2}
                others = [*record.messages[:number], twice, *record.messages[number + 1 :]]
                if tokenizer.encode_chat(others) == tokenizer.encode_chat(record.messages):
                    yield (
                        f"the model's chat template leaves out messages of the role "
                        f"{message['role']!r}: first {record.place}"
                    )

    def examples(
        self, tokenizer: Tokenizer, records: Sequence[Record], context: int
    ) -> list[Example]:
        """The training examples. Targets are the next tokens where the assistant speaks, and
        `IGNORED` elsewhere. Raises `XinyeError` for a record that a model cannot learn from.
        """
        return [example for record in records for example in _examples(tokenizer, record, context)]

    # -- training and evaluation -------------------------------------------------------------------

    def measure(
        self, model: GPT, tokenizer: Tokenizer, records: Sequence[Record], context: int
    ) -> Figures:
        """Metrics of the greedy answers to the last question of some records: the share that end by
        themselves (`ended`), the share that equal the record's answer (`exact`), and their mean
        length in tokens (`answer_tokens`). `answers` is their number.
        """
        step = max(1, len(records) // ANSWERED)
        asked = records[: step * ANSWERED : step]
        replies = _replies(model, tokenizer, asked, context)
        right = [record.contents[record.answers[-1]] for record in asked]
        given = [self.answered(reply)["text"] for reply in replies]
        return {
            "ended": sum(reply.finish_reason == "stop" for reply in replies) / len(replies),
            "exact": exact_share(given, right),
            "answer_tokens": sum(reply.completion_tokens for reply in replies) / len(replies),
            "answers": len(replies),
        }

    def baseline(
        self, training: Sequence[Record], records: Sequence[Record], before: Figures | None
    ) -> Figures:
        """The metrics of the base model."""
        return before or {}

    def sample(self, model: GPT, tokenizer: Tokenizer, record: Record, context: int) -> str:
        [reply] = _replies(model, tokenizer, [record], context)
        ending = "" if reply.finish_reason == "stop" else " (goes on)"
        return f"{record.contents[record.answers[-1] - 1]} → {self.answered(reply)['text']}{ending}"

    # -- use ---------------------------------------------------------------------------------------

    def use(
        self,
        model: GPT,
        tokenizer: Tokenizer,
        inputs: Sequence[str],
        context: int,
        settings: Any = None,
    ) -> list[Row]:
        """The greedy answer to each text as `text`, and whether it `ended` by itself."""
        replies = _answers(model, tokenizer, [self.asked(text) for text in inputs], context)
        return [self.answered(reply) for reply in replies]

    @classmethod
    def told(cls, result: Row) -> Row:
        return {cls.verb: result["text"], "ended": result["ended"]}

    @classmethod
    def lines(cls, text: str, result: Row, alone: bool) -> list[str]:
        return [result["text"] if alone else f"{text}\t{result['text']}"]


# -- tokens ----------------------------------------------------------------------------------------


def _examples(tokenizer: Tokenizer, record: Record, context: int) -> Iterator[Example]:
    """Usually one example. If the template writes an answer differently once another one follows,
    one example for each answer.
    """
    messages, cut = _fitting(tokenizer, record, context)
    spans = _spans(tokenizer, messages, record.place)
    tokens = spans[-1][0]
    rows = [(own, [(begin, len(own))]) for own, begin in spans]
    if all(tokens[: len(own)] == own for own, _ in spans):
        rows = [(tokens, [(begin, len(own)) for own, begin in spans])]
    for own, trained in rows:
        targets = [IGNORED] * len(own)
        for begin, end in trained:
            targets[begin:end] = own[begin:end]
        yield Example(own[:-1], targets[1:], cut)


def _spans(
    tokenizer: Tokenizer, messages: Sequence[Message], place: str
) -> list[tuple[list[int], int]]:
    """For each answer: the tokens of the conversation up to the token that ends it, and where it
    begins.

    The text before an answer is rendered with the generation prompt, as in use, so the model trains
    on what it will see.
    """
    found: list[tuple[list[int], int]] = []
    for number, message in enumerate(messages):
        if not is_trained(message):
            continue
        before = _encode(tokenizer, messages[:number], place, True)
        tokens = _encode(tokenizer, messages[: number + 1], place)
        if tokens[: len(before)] != before:
            raise XinyeError(
                f"{place}: the model's chat template does not put answer {len(found) + 1} "
                "after the prompt that asks for it, so Xinye cannot tell which tokens to "
                "train"
            )
        end = next(
            (at for at in range(len(before), len(tokens)) if tokens[at] in tokenizer.stop_ids), None
        )
        if end is None:
            raise XinyeError(
                f"{place}: the model's chat template does not end answer {len(found) + 1} with a "
                "stop token, so the model would not learn to stop"
            )
        found.append((tokens[: end + 1], len(before)))
    return found


def _encode(
    tokenizer: Tokenizer, messages: Sequence[Message], place: str, asking: bool = False
) -> list[int]:
    try:
        return tokenizer.encode_chat(messages, asking)
    except XinyeError as error:
        raise XinyeError(f"{place}: {error}") from None


def _fitting(tokenizer: Tokenizer, record: Record, context: int) -> tuple[list[Message], int]:
    """The messages of a record up to its last answer, shortened to fit, and the number of tokens
    left out. The token that ends the answer stays.
    """
    encode = partial(_encode, tokenizer, place=record.place)
    messages = list(record.messages[: record.answers[-1] + 1])
    whole = length = len(encode(messages))
    if whole > context:
        messages = shortened(messages, lambda some: len(encode(some)) <= context)
        length = len(encode(messages))
    if length > context and "tool_calls" in messages[-1]:
        raise XinyeError(
            f"{record.place}: the last turn does not fit in {context:,} tokens, and its calls of "
            "tools cannot be cut; shorten it, or delete the record"
        )
    if length > context and record.has_tools:
        raise XinyeError(
            f"{record.place}: the tools and the messages before the answer do not fit in "
            f"{context:,} tokens; shorten them, delete the record, or pretrain a base with a "
            "larger --context and with --task-mix chat=FILE, so that its tokenizer knows JSON"
        )
    if length > context:
        raise XinyeError(
            f"{record.place}: the messages before the answer do not fit in {context:,} tokens; "
            "shorten them, or delete the record"
        )
    return messages, whole - length


def _replies(
    model: GPT, tokenizer: Tokenizer, records: Sequence[Record], context: int
) -> list[sequence.Sequence]:
    """The greedy answers to the last questions of records."""
    asked = [_fitting(tokenizer, record, context)[0][:-1] for record in records]
    return _answers(model, tokenizer, asked, context)


def _answers(
    model: GPT, tokenizer: Tokenizer, asked: Sequence[list[Message]], context: int
) -> list[sequence.Sequence]:
    """The greedy answers to messages, written in one batch."""
    sampling = ChatSampling(temperature=0, max_tokens=min(LONGEST_ANSWER, context // 2))
    started = [start_answer(tokenizer, messages, context, sampling)[0] for messages in asked]
    return finish(model, tokenizer, started)
