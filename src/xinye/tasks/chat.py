"""The task `chat`: conversations, of which the assistant's words are learned.

Records are messages as in OpenAI's API, ShareGPT's, Alpaca's, or a question and its answer in two
columns.
"""

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from xinye.data.columns import as_text
from xinye.data.notes import Notes
from xinye.data.records import Row
from xinye.data.tokenizer import ROLES
from xinye.errors import XinyeError
from xinye.generation.chat import Message
from xinye.runs.words import Both, TaskWords
from xinye.tasks.exercises import chats
from xinye.tasks.records import OnBad, expected, note_missing, note_unread, text_in, usual
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
CONTEXTS = ("context", "passage", "background", "上下文", "背景", "材料")  # of an answer
EARLIER = ("history", "历史")  # what was said before a question
WEIGHTS = ("weight", "train", "loss")  # that say whether an answer is trained
MEDIA = ("images", "image", "videos", "video", "audios", "audio")
NO_MEDIA = "only text can be learned; leave the record out, or write in words what it shows"
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
    def read_file(
        cls, path: Path, on_bad: OnBad, notes: Notes, **columns: str | None
    ) -> Iterator[Record]:
        """The records of a file that have something to train."""
        silent = []
        records = list(super().read_file(path, on_bad, notes))
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
    def record(cls, row: Any, place: str, notes: Notes) -> Record:
        """A row in whichever format it is."""
        if not isinstance(row, dict):
            raise expected(place, EXPECTED, row)
        for name in MEDIA:
            if row.get(name):
                raise XinyeError(f"{place}, field {name!r}: {NO_MEDIA}")
        read = Reader(place, notes)
        field = usual(LISTS, row)
        messages, kind = read.listed(row, field) if field else read.paired(row)
        if row.get("system") and messages[0]["role"] != "system":
            messages.insert(0, {"role": "system", "content": text_in(row, "system", place)})
        note_unread(row, (*read.fields, "system"), place, notes)
        return Record(tuple(messages), place, kind)

    @classmethod
    def counts(cls, records: Sequence[Record]) -> dict[str, int]:
        """Messages by role, the most frequent first."""
        roles = Counter(message["role"] for record in records for message in record.messages)
        return dict(roles.most_common())


class Reader:
    """What is made of one row, which stands at `place`; `fields` are those of it that were read."""

    def __init__(self, place: str, notes: Notes) -> None:
        self.place, self.notes = place, notes
        self.fields: list[str] = []

    def listed(self, row: Row, field: str) -> tuple[list[Message], str]:
        """The messages in a list, and what this format is called."""
        self.fields = [field, "rejected"]
        messages = self.messages(row, field)
        sharegpt = any("from" in each for each in row[field])
        kind = "ShareGPT" if sharegpt else "OpenAI messages"
        if "chosen" not in row or messages[-1]["role"] == "assistant":
            return messages, kind
        self.fields.append("chosen")
        chosen = row["chosen"]  # of preferences what was preferred
        if not isinstance(chosen, dict):
            chosen = {"role": "assistant", "content": chosen}
        preferred = self.messages({"chosen": [chosen]}, "chosen")
        return [*messages, *preferred], f"{kind} and 'chosen'"

    def paired(self, row: Row) -> tuple[list[Message], str]:
        """A question and its answer in columns of their own, with what was said before, and what
        the answer is to be found in, where there is any."""
        question = usual(QUESTIONS, row)
        answer = usual((name for name in ANSWERS if name != question), row)
        if question is None or answer is None:
            found = ", ".join(row)
            raise XinyeError(f"{self.place}: expected {EXPECTED}; found the fields {found}")
        context = usual((name for name in CONTEXTS if row.get(name)), row)
        used = [name for name in dict.fromkeys((context, question, "input")) if name]
        self.fields = [*used, answer, "rejected", *EARLIER]
        parts = [self.text(row, name) for name in used if row.get(name)]
        asked = "\n".join(part for part in parts if part.strip())
        turns = [turn for name in EARLIER if row.get(name) for turn in self.earlier(row, name)]
        messages: list[Message] = [
            *turns,
            {"role": "user", "content": asked},
            {"role": "assistant", "content": text_in(row, answer, self.place).strip()},
        ]
        kind = "Alpaca" if question == "instruction" else f"{question!r} and {answer!r}"
        added = [name for name in (context, *EARLIER) if name and row.get(name)]
        for message in messages:
            note_missing("text", message["content"], self.place, self.notes)
        return messages, kind + "".join(f" with {name!r}" for name in added)

    def text(self, row: Row, name: str) -> str:
        """The text in a field; of a context its passages, too."""
        passages = as_text(row[name]) if name in CONTEXTS else None
        return passages or text_in(row, name, self.place)

    def earlier(self, row: Row, name: str) -> list[Message]:
        """The turns before a question: messages, or pairs of a question and its answer."""
        turns = row[name]
        if isinstance(turns, str):  # in a table
            with suppress(ValueError, RecursionError):
                turns = json.loads(turns)
        if turns and isinstance(turns, list) and all(isinstance(turn, dict) for turn in turns):
            return self.messages({name: turns}, name)
        pairs = turns if isinstance(turns, list) else [None]
        messages: list[Message] = []
        for number, pair in enumerate(pairs, start=1):
            here = f"{self.place}, field {name!r}, turn {number}"
            if not isinstance(pair, list) or [type(text) for text in pair] != [str, str]:
                raise expected(here, "a question and its answer", pair or turns)
            messages.append({"role": "user", "content": pair[0]})
            messages.append({"role": "assistant", "content": pair[1].strip()})
        return messages

    def messages(self, row: Row, field: str) -> list[Message]:
        """The messages in the list of a field."""
        place = f"{self.place}, field {field!r}"
        rows = row[field]
        if not isinstance(rows, list) or not rows:
            raise expected(place, "a list of messages", rows)
        return [
            self.message(each, f"{place}, message {number}")
            for number, each in enumerate(rows, start=1)
        ]

    def message(self, row: Any, here: str) -> Message:
        if not isinstance(row, dict):
            raise expected(here, "a role and a content", row)
        given = str(row.get("role", row.get("from")))
        role = ROLE_OF.get(given, given)
        if role not in ROLES:
            known = ", ".join((*ROLES, *ROLE_OF))
            raise XinyeError(f"{here}: expected a role, one of {known}; found {given!r}")
        name = "value" if "value" in row and "content" not in row else "content"
        content = row.get(name)
        if isinstance(content, list):
            content = "".join(_text_of_part(part, here) for part in content)
        text = text_in({name: content}, name, here)
        weight = usual(WEIGHTS, row)
        note_unread(row, (name, "role", "from", *WEIGHTS), self.place, self.notes)
        if weight and row[weight] is not None and row[weight] not in (0, 1):
            raise XinyeError(
                f"{here}, field {weight!r}: expected 0 (not trained) or 1, found {row[weight]!r}"
            )
        message = {"role": role, "content": text.strip() if role == "assistant" else text}
        if role == "assistant" and weight and row[weight] == 0:
            self.notes.add(self.place, f"an answer of {weight!r} 0 is read, and not trained")
            message["weight"] = "0"
        return message


def _text_of_part(part: Any, here: str) -> str:
    """The text of a part of a content, as OpenAI's API has them. What is no text is refused: the
    answer would be trained without what it is about."""
    text = part.get("text") if isinstance(part, dict) else part
    if isinstance(text, str):
        return text
    kind = part.get("type", part) if isinstance(part, dict) else part
    raise XinyeError(f"{here}: a part of the type {str(kind)[:40]!r}: {NO_MEDIA}")
