"""The task `chat`: conversations, of which the assistant's words are learned.

Records are messages as in OpenAI's API, ShareGPT's, Alpaca's, or a question and its answer in two columns. The model's
own chat template turns them into tokens; trained are the answers, each with the token that ends it, and nothing else.
"""

import json
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xinye.data.files import check_file
from xinye.data.sources import read_records
from xinye.data.tokenizer import CHAT_TEMPLATE, MESSAGE_START, ROLES, Tokenizer
from xinye.errors import XinyeError
from xinye.generation.chat import Message, start_answer
from xinye.generation.generate import generate
from xinye.generation.sampling import ChatSampling
from xinye.generation.sequence import Sequence as Text
from xinye.model.config import GPTConfig
from xinye.model.gpt import GPT
from xinye.model.heads import IGNORED, Labelled
from xinye.tasks.examples import Example, Examples, split
from xinye.tasks.records import OnBad, places, refuse, refuse_line

LISTS = ("messages", "conversations", "conversation", "dialog", "dialogue")
ROLE_OF = {
    "human": "user",
    "usr": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
}
ROLE_OF |= {"model": "assistant", "observation": "tool"}
QUESTIONS = ("prompt", "question", "query", "instruction", "ask", "input", "问题", "提问", "指令")
ANSWERS = ("response", "answer", "completion", "output", "reply", "chosen", "回答", "答案", "回复")
EXPECTED = (
    'messages ({"messages": [{"role": "user", "content": …}, …]}), ShareGPT ({"conversations": [{"from": "human", '
    '"value": …}, …]}), Alpaca ({"instruction": …, "input": …, "output": …}), or a prompt and its response '
    '({"prompt": …, "response": …})'
)
# For a base that has none, and no <|im_start|> either: only the token that ends its texts keeps messages apart.
TEMPLATE_OF_TEXTS = (
    "{{ bos_token }}{% for message in messages %}"
    "{{ message['role'] + ':\n' }}{{ message['content'] }}{{ eos_token + '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'assistant:\n' }}{% endif %}"
)
GOLDEN: list[Message] = [
    {"role": "user", "content": "你好！<|im_end|> is text."},
    {"role": "assistant", "content": "Hello, 新叶。"},
    {"role": "user", "content": "1 + 1 = ?"},
]
ANSWERED = 32  # records whose answers are written to judge a model, all together
NAMED = 8  # lines of records without an answer that an error names
LONGEST_ANSWER = 256  # tokens; one that has not ended by then did not end by itself


@dataclass(frozen=True)
class Record:
    """A conversation, where it stands ("chats.jsonl, line 17"), and the format that it was found in."""

    messages: tuple[Message, ...]
    place: str
    format: str

    @property
    def whole(self) -> str:
        return "\n".join(message["content"] for message in self.messages)


def loss(model: GPT, batch: Labelled) -> torch.Tensor:
    """Sum of the losses in nats over the assistant's tokens."""
    return model.loss(batch.tokens, batch.targets)


@torch.no_grad()
def losses(model: GPT, tokenizer: Tokenizer, examples: Examples) -> dict[str, Any]:
    """`loss` in nats for each trained token, and `bits_per_byte` of the answers, without the tokens that end them."""
    model.eval()
    nats = counted = size = 0.0
    lengths = torch.from_numpy(tokenizer.token_lengths)
    for _, batch in examples.in_order(16):
        targets = batch.targets[batch.targets != IGNORED]
        nats += float(loss(model, batch.to(model.device)))
        counted, size = counted + len(targets), size + float(lengths[targets].sum())
    return {"loss": nats / max(1, counted), "bits_per_byte": nats / math.log(2) / max(1, size)}


class Chat:
    """A network that writes answers: the language model itself, without a head."""

    verb = "chat"
    writes = True
    figures = ("loss", "bits_per_byte")
    better = "loss"
    baseline_name = "the base model"

    # -- records ----------------------------------------------------------------------------------------------------

    @staticmethod
    def of(records: Sequence[Record]) -> "Chat":
        """The task that records are of."""
        return Chat()

    @staticmethod
    def read(files: Sequence[str], on_bad: OnBad = refuse) -> list[Record]:
        """The records of files. What cannot be one is given to `on_bad`, with file, line and field."""
        records: list[Record] = []
        for path in map(Path, files):
            check_file(path)
            found = []
            for line, row in read_records(path, refuse_line(on_bad)):
                try:
                    found.append(_record(row, f"{path}, line {line}"))
                except XinyeError as error:
                    on_bad(error)
            if not found:
                raise XinyeError(f"{path}: no records in it")
            records += _answered(path, found, on_bad)
        return records

    def check(self, records: Sequence[Record]) -> None:
        """Every conversation can be learned from and judged."""

    split = staticmethod(split)

    @staticmethod
    def findings(training: Sequence[Record], validation: Sequence[Record]) -> list[str]:
        """What a person should know of the records, in sentences."""
        return list(_findings(training, validation))

    def counts(self, records: Sequence[Record]) -> dict[str, int]:
        """Messages by role, the most frequent first."""
        return dict(
            Counter(
                message["role"] for record in records for message in record.messages
            ).most_common()
        )

    # -- tokens -----------------------------------------------------------------------------------------------------

    @staticmethod
    def tokenizer(tokenizer: Tokenizer) -> Tokenizer:
        """With a chat template, where it has none, and what that makes of some messages, to be checked when it is
        loaded."""
        changed = copy(tokenizer)
        if changed.chat_template is None:
            known = tokenizer.backend.token_to_id(MESSAGE_START) is not None
            changed = tokenizer.with_template(CHAT_TEMPLATE if known else TEMPLATE_OF_TEXTS)
        if "strftime_now" not in (
            changed.chat_template or ""
        ):  # tomorrow it makes something else of them
            changed.golden = {"messages": GOLDEN, "ids": changed.encode_chat(GOLDEN)}
        return changed

    def examples(
        self, tokenizer: Tokenizer, records: Sequence[Record], context: int
    ) -> list[Example]:
        """What is learned from; targets are the next tokens where they are the assistant's. Raises `XinyeError` for a
        record with nothing to learn from."""
        return [example for record in records for example in _examples(tokenizer, record, context)]

    # -- judging ----------------------------------------------------------------------------------------------------

    def network(self, backbone: GPTConfig, base: GPT) -> GPT:
        """The model itself."""
        base.config = backbone
        for layer in base.model.layers:
            layer.dropout = backbone.dropout  # type: ignore[assignment]
        return base

    loss = staticmethod(loss)
    losses = staticmethod(losses)

    def measure(
        self, model: GPT, tokenizer: Tokenizer, records: Sequence[Record], context: int
    ) -> dict[str, Any]:
        """Of the likeliest answers to the last questions of some records: the share of those that end by themselves
        (`ended`), of those that are the record's own, word for word (`exact`), and their mean length in tokens
        (`answer_tokens`)."""
        step = max(1, len(records) // ANSWERED)
        asked = records[: step * ANSWERED : step]
        replies = _answers(model, tokenizer, asked, context)
        right = [record.messages[_last_answer(record.messages)]["content"] for record in asked]
        exact = sum(reply.text.strip() == text for reply, text in zip(replies, right, strict=True))
        return {
            "ended": sum(reply.finish_reason == "stop" for reply in replies) / len(replies),
            "exact": exact / len(replies),
            "answer_tokens": sum(reply.completion_tokens for reply in replies) / len(replies),
            "answers": len(replies),
        }

    def sample(self, model: GPT, tokenizer: Tokenizer, record: Record, context: int) -> str:
        """What the model answers to the last question of a record."""
        reply = _answers(model, tokenizer, [record], context)[0]
        question = record.messages[_last_answer(record.messages) - 1]["content"]
        return f"{question} → {reply.text}{'' if reply.finish_reason == 'stop' else ' (goes on)'}"


# -- tokens ----------------------------------------------------------------------------------------------------------


def _examples(tokenizer: Tokenizer, record: Record, context: int) -> Iterator[Example]:
    """Usually one; where the template writes an answer otherwise once another follows it, one for each answer."""
    messages, cut = _fitting(tokenizer, record, context)
    spans = _spans(tokenizer, messages, record.place)
    tokens = spans[-1][0]
    if all(tokens[: len(own)] == own for own, _ in spans):
        rows = [(tokens, [(begin, len(own)) for own, begin in spans])]
    else:
        rows = [(own, [(begin, len(own))]) for own, begin in spans]
    for own, trained in rows:
        targets = [IGNORED] * len(own)
        for begin, end in trained:
            targets[begin:end] = own[begin:end]
        yield Example(own[:-1], targets[1:], cut)


def _spans(
    tokenizer: Tokenizer, messages: Sequence[Message], place: str
) -> list[tuple[list[int], int]]:
    """For each answer: the tokens of the conversation up to the one that ends it, and where the answer begins.

    What comes before an answer is rendered as for a model that shall write it, so that it learns what it will be asked.
    """
    found: list[tuple[list[int], int]] = []
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        before = _encode(tokenizer, messages[:number], place, True)
        tokens = _encode(tokenizer, messages[: number + 1], place)
        if tokens[: len(before)] != before:
            raise XinyeError(
                f"{place}: by the model's chat template answer {len(found) + 1} does not begin with what asks a model "
                "to write it, so that what to train cannot be told"
            )
        end = next(
            (at for at in range(len(before), len(tokens)) if tokens[at] in tokenizer.stop_ids), None
        )
        if end is None:
            raise XinyeError(
                f"{place}: by the model's chat template no token that ends a text stands behind answer "
                f"{len(found) + 1}, so that the model would not learn to end"
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
    """The messages of a record up to its last answer, as far as they fit, and the number of tokens left out.

    First the oldest turns go, then the middle of the longest message before the answer, then the end of the answer. The
    system message stays, and so does the token that ends the answer.
    """
    messages = list(record.messages[: _last_answer(record.messages) + 1])

    def length(shorter: Sequence[Message]) -> int:
        return len(_encode(tokenizer, shorter, record.place))

    def fits(shorter: Sequence[Message]) -> bool:
        return length(shorter) <= context

    whole = length(messages)
    if whole <= context:
        return messages, 0
    system = messages[:1] if messages[0]["role"] == "system" else []
    questions = [number for number, message in enumerate(messages) if message["role"] == "user"]
    if later := questions[1:]:
        first = bisect_left(later, True, key=lambda first: fits([*system, *messages[first:]]))
        messages = [*system, *messages[later[min(first, len(later) - 1)] :]]

    def without(number: int, count: int, from_middle: bool) -> list[Message]:
        """With `count` characters less in a message."""
        text = messages[number]["content"]
        begin = (len(text) - count + 1) // 2 if from_middle else len(text) - count
        shorter = {**messages[number], "content": text[:begin] + text[begin + count :]}
        return [*messages[:number], shorter, *messages[number + 1 :]]

    last = len(messages) - 1
    longest = max(
        range(len(system), last), key=lambda number: len(messages[number]["content"]), default=last
    )
    for number, from_middle in ((longest, True), (last, False)):
        if not fits(messages):
            counts = range(len(messages[number]["content"]) - 1)
            count = bisect_left(
                counts, True, key=lambda count: fits(without(number, count, from_middle))
            )
            messages = without(number, count, from_middle)
    if not fits(messages):
        raise XinyeError(
            f"{record.place}: what stands before the answer does not fit in {context:,} tokens"
        )
    return messages, whole - length(messages)


def _answers(
    model: GPT, tokenizer: Tokenizer, records: Sequence[Record], context: int
) -> list[Text]:
    """The likeliest answers to the last questions of records, written together."""
    sampling = ChatSampling(temperature=0, max_tokens=min(LONGEST_ANSWER, context // 2))
    asked = [_fitting(tokenizer, record, context)[0][:-1] for record in records]
    started = [start_answer(tokenizer, messages, context, sampling)[0] for messages in asked]
    for _ in generate(model, tokenizer, started):
        pass
    return started


def _last_answer(messages: Sequence[Message]) -> int:
    return max(number for number, message in enumerate(messages) if message["role"] == "assistant")


# -- records ---------------------------------------------------------------------------------------------------------


def _record(row: Any, place: str) -> Record:
    """A row in whichever format it is."""
    if not isinstance(row, dict):
        raise XinyeError(
            f"{place}: expected {EXPECTED}; found {json.dumps(row, ensure_ascii=False)[:60]}"
        )
    field = next((name for name in LISTS if name in row), None)
    if field:
        messages = list(_messages(row[field], f"{place}, field {field!r}"))
        sharegpt = any(isinstance(each, dict) and "from" in each for each in row[field])
        kind = "ShareGPT" if sharegpt else "OpenAI messages"
        if (
            "chosen" in row and messages[-1]["role"] != "assistant"
        ):  # of preferences what was preferred
            chosen = (
                row["chosen"]
                if isinstance(row["chosen"], dict)
                else {"role": "assistant", "content": row["chosen"]}
            )
            messages += _messages([chosen], f"{place}, field 'chosen'")
            kind += " and 'chosen'"
    else:
        question = next((name for name in QUESTIONS if name in row), None)
        answer = next((name for name in ANSWERS if name in row and name != question), None)
        if question is None or answer is None:
            raise XinyeError(
                f"{place}: expected {EXPECTED}; found the fields {', '.join(map(str, row))}"
            )
        parts = [
            _text(row, name, place) for name in dict.fromkeys((question, "input")) if row.get(name)
        ]
        messages = [
            {"role": "user", "content": "\n".join(part for part in parts if part.strip())},
            {"role": "assistant", "content": _text(row, answer, place).strip()},
        ]
        kind = "Alpaca" if question == "instruction" else f"{question!r} and {answer!r}"
    if row.get("system") and messages[:1] and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": _text(row, "system", place)})
    return Record(tuple(messages), place, kind)


def _messages(rows: Any, place: str) -> Iterator[Message]:
    if not isinstance(rows, list) or not rows:
        raise XinyeError(
            f"{place}: expected a list of messages, found {json.dumps(rows, ensure_ascii=False)[:60]}"
        )
    for number, row in enumerate(rows, start=1):
        here = f"{place}, message {number}"
        if not isinstance(row, dict):
            raise XinyeError(
                f"{here}: expected a role and a content, found {json.dumps(row, ensure_ascii=False)[:60]}"
            )
        given = str(row.get("role", row.get("from")))
        role = ROLE_OF.get(given, given)
        if role not in ROLES:
            raise XinyeError(
                f"{here}: expected a role, one of {', '.join((*ROLES, *ROLE_OF))}; found {given!r}"
            )
        name = "value" if "value" in row and "content" not in row else "content"
        if isinstance(row.get(name), list):  # OpenAI's parts
            row = {
                name: "".join(
                    str(part.get("text", "")) for part in row[name] if isinstance(part, dict)
                )
            }
        text = _text(row, name, here)
        yield {"role": role, "content": text.strip() if role == "assistant" else text}


def _text(row: dict[str, Any], name: str, place: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise XinyeError(
            f"{place}, field {name!r}: expected a text, found {json.dumps(value, ensure_ascii=False)[:60]}"
        )
    return value


def _answered(path: Path, records: Sequence[Record], on_bad: OnBad) -> list[Record]:
    """The records that have something to train."""
    silent = [
        record
        for record in records
        if not any(m["role"] == "assistant" and m["content"] for m in record.messages)
    ]
    if silent:
        lines = ", ".join(record.place.rpartition(" ")[2] for record in silent[:NAMED])
        more = f" and {len(silent) - NAMED:,} more" if len(silent) > NAMED else ""
        on_bad(
            XinyeError(
                f"{path}, line{'s' * (len(silent) > 1)} {lines}{more}: no answer of the assistant, so that there is no "
                f"token to train; of {len(records):,} records leave {len(silent):,} out"
            )
        )
    gone = {record.place for record in silent}
    return [record for record in records if record.place not in gone]


def _findings(training: Sequence[Record], validation: Sequence[Record]) -> Iterator[str]:
    seen: dict[tuple[str, ...], Record] = {}
    again = []
    for record in training:
        texts = tuple(message["content"] for message in record.messages)
        if seen.setdefault(texts, record) is not record:
            again.append((record, seen[texts]))
    if again:
        one, other = again[0]
        yield (
            f"{len(again):,} of {len(training):,} records stand there again: first "
            f"{places(one.place, other.place, ' = ')}"
        )
    inside = [
        record for record in validation if tuple(m["content"] for m in record.messages) in seen
    ]
    if inside:
        yield (
            f"{len(inside):,} of {len(validation):,} validation records are in the training data, too, which flatters "
            f"the model: first {inside[0].place}"
        )
    silent = [
        r
        for r in training
        if any(m["role"] == "assistant" and not m["content"] for m in r.messages)
    ]
    if silent:
        yield f"{len(silent):,} records have an empty answer, too, which is learned as it is: first {silent[0].place}"
