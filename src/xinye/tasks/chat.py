"""The task `chat`: conversations, of which the assistant's words are learned.

Records are messages as in OpenAI's API, ShareGPT's, Alpaca's, or a question and its answer in two
columns.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xinye.data.records import Row
from xinye.data.tokenizer import ROLES
from xinye.errors import XinyeError
from xinye.generation.chat import Message
from xinye.runs.words import Both, TaskWords
from xinye.tasks.exercises import chats
from xinye.tasks.records import OnBad, expected, text_in, usual
from xinye.tasks.task import Exercise
from xinye.tasks.writing import WRITTEN, Record, Writing

LISTS = ("messages", "conversations", "conversation", "dialog", "dialogue")
ROLE_OF = {
    "human": "user", "usr": "user", "gpt": "assistant", "chatgpt": "assistant", "bot": "assistant",
    "model": "assistant", "observation": "tool",
}  # fmt: skip
QUESTIONS = ("prompt", "question", "query", "instruction", "ask", "input", "问题", "提问", "指令")
ANSWERS = ("response", "answer", "completion", "output", "reply", "chosen", "回答", "答案", "回复")
EXPECTED = (
    'messages ({"messages": [{"role": "user", "content": …}, …]}), ShareGPT ({"conversations": '
    '[{"from": "human", '
    '"value": …}, …]}), Alpaca ({"instruction": …, "input": …, "output": …}), or a prompt and its '
    "response "
    '({"prompt": …, "response": …})'
)
NAMED = 8  # lines of records without an answer that an error names
# the share of the ways to ask that no conversation of the exercise's training has
NEW_QUESTIONS = 0.2


def asks_anew(row: Row) -> bool:
    """Whether a question stands in a conversation of the exercise that is kept for the end."""
    questions = [message["content"] for message in row["messages"] if message["role"] == "user"]
    return any(random.Random(question).random() < NEW_QUESTIONS for question in questions)


class Chat(Writing):
    """A network that answers in a conversation."""

    verb = "chat"
    records_name = "conversations"
    counted = "messages by role"
    counts_name = "roles"
    words = TaskWords(
        figures=WRITTEN,
        unit="tokens",
        has_labels=False,
        does="Answers in conversations like those it learned from.",
        use=Both("To talk with it:", "和它对话："),
        command="xinye chat {folder}",
        python='print(model.chat([{"role": "user", "content": "…"}]))',
        transformers=(
            'print(pipeline("text-generation", "{folder}")'
            '([{"role": "user", "content": "…"}])[0]["generated_text"][-1])'
        ),
    )
    exercise = Exercise(
        make=chats,
        begin=Both(
            "A GPT will learn to answer the customers of a tea shop.",
            "一个 GPT 要学会回答茶铺顾客的问题。",
        ),
        baseline=Both("the base as it was", "没学过这个任务的基座模型"),
        line=lambda row: "  ".join(message["content"] for message in row["messages"][1:]),
        text=lambda row: "\n".join(message["content"] for message in row["messages"][1:]),
        questions={
            "en": ["What does the oolong cost?", "And white tea?", "Can I send it back?"],
            "zh": ["你好，乌龙茶一斤多少钱？", "那白茶呢？", "拆开了还能退吗？"],
        },
        kept=asks_anew,
        asked=Both(
            " Each of the {held_out:,} asks something in words that no other record has.",
            "这 {held_out:,} 条里，每一条都有别处没有过的问法。",
        ),
        training=400,
        context=256,
        epochs=6,
    )

    @classmethod
    def read_file(cls, path: Path, on_bad: OnBad, **columns: str | None) -> Iterator[Record]:
        """The records of a file that have something to train."""
        silent = []
        records = list(super().read_file(path, on_bad))
        for record in records:
            if any(record.contents[number] for number in record.answers):
                yield record
            else:
                silent.append(record.place.rpartition(" ")[2])
        if silent:
            more = f" and {len(silent) - NAMED:,} more" if len(silent) > NAMED else ""
            on_bad(
                XinyeError(
                    f"{path}, line{'s' * (len(silent) > 1)} {', '.join(silent[:NAMED])}{more}: no "
                    "answer of the assistant, so that there is no token to train; of "
                    f"{len(records):,} records leave {len(silent):,} out"
                )
            )

    @classmethod
    def record(cls, row: Any, place: str) -> Record:
        """A row in whichever format it is."""
        if not isinstance(row, dict):
            raise expected(place, EXPECTED, row)
        field = usual(LISTS, row)
        messages, kind = _listed(row, field, place) if field else _paired(row, place)
        if row.get("system") and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": text_in(row, "system", place)})
        return Record(tuple(messages), place, kind)

    @classmethod
    def counts(cls, records: Sequence[Record]) -> dict[str, int]:
        """Messages by role, the most frequent first."""
        roles = Counter(message["role"] for record in records for message in record.messages)
        return dict(roles.most_common())


def _listed(row: Row, field: str, place: str) -> tuple[list[Message], str]:
    """The messages in a list, and what this format is called."""
    messages = list(_messages(row[field], f"{place}, field {field!r}"))
    sharegpt = any("from" in each for each in row[field])
    kind = "ShareGPT" if sharegpt else "OpenAI messages"
    if "chosen" not in row or messages[-1]["role"] == "assistant":
        return messages, kind
    chosen = row["chosen"]  # of preferences what was preferred
    if not isinstance(chosen, dict):
        chosen = {"role": "assistant", "content": chosen}
    return [*messages, *_messages([chosen], f"{place}, field 'chosen'")], f"{kind} and 'chosen'"


def _paired(row: Row, place: str) -> tuple[list[Message], str]:
    """A question and its answer in columns of their own."""
    question = usual(QUESTIONS, row)
    answer = usual((name for name in ANSWERS if name != question), row)
    if question is None or answer is None:
        raise XinyeError(f"{place}: expected {EXPECTED}; found the fields {', '.join(row)}")
    columns = [name for name in dict.fromkeys((question, "input")) if row.get(name)]
    parts = [text_in(row, name, place) for name in columns]
    asked = "\n".join(part for part in parts if part.strip())
    messages: list[Message] = [
        {"role": "user", "content": asked},
        {"role": "assistant", "content": text_in(row, answer, place).strip()},
    ]
    kind = "Alpaca" if question == "instruction" else f"{question!r} and {answer!r}"
    return messages, kind


def _messages(rows: Any, place: str) -> Iterator[Message]:
    if not isinstance(rows, list) or not rows:
        raise expected(place, "a list of messages", rows)
    for number, row in enumerate(rows, start=1):
        here = f"{place}, message {number}"
        if not isinstance(row, dict):
            raise expected(here, "a role and a content", row)
        given = str(row.get("role", row.get("from")))
        role = ROLE_OF.get(given, given)
        if role not in ROLES:
            raise XinyeError(
                f"{here}: expected a role, one of {', '.join((*ROLES, *ROLE_OF))}; found {given!r}"
            )
        name = "value" if "value" in row and "content" not in row else "content"
        content = row.get(name)
        if isinstance(content, list):  # OpenAI's parts
            parts = [part for part in content if isinstance(part, dict)]
            content = "".join(str(part.get("text", "")) for part in parts)
        text = text_in({name: content}, name, here)
        yield {"role": role, "content": text.strip() if role == "assistant" else text}
