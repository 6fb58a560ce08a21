"""The task `chat`: trains a model on the assistant's messages in conversations.

`conversations.py` reads a single record, and `conversation_files.py` finds the records in a file.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

from xinye.data.files import SUFFIXES
from xinye.data.notes import Notes, places_in
from xinye.data.records import Row
from xinye.data.tool_calls import as_text
from xinye.errors import plural
from xinye.planning.finetuning import Pace
from xinye.runs.words import Both, TaskWords
from xinye.tasks.bad_records import BadRecords
from xinye.tasks.conversation_files import is_conversation, read_conversations, without_header
from xinye.tasks.exercise import Exercise
from xinye.tasks.exercises import chats
from xinye.tasks.records import OnBad
from xinye.tasks.writing import WRITTEN, Writing
from xinye.tasks.writing_records import Named, Record, is_trained

NAMED = 8  # how many places of records without an answer an error names
# The share of the exercise's questions that are kept for the test set.
NEW_QUESTIONS = 0.2


def asks_anew(row: Row) -> bool:
    """True if a conversation of the exercise asks a question that is kept for testing."""
    questions = [message["content"] for message in row["messages"] if message["role"] == "user"]
    return any(random.Random(question).random() < NEW_QUESTIONS for question in questions)


class Chat(Writing):
    """Trains a model to answer in a conversation."""

    verb = "chat"
    suffixes = SUFFIXES  # in .txt, each line begins with its speaker
    columns: ClassVar[tuple[str, ...]] = (*Writing.columns, "assistant_name")
    # With few records, the full rates memorize answers before the first epoch ends.
    pace = Pace(rates=0.2, batch_sizes=(8, 16))
    counted = ("role of messages", "roles of messages")
    counts_name = "roles"
    words = TaskWords(
        figures=WRITTEN,
        unit="tokens",
        has_labels=False,
        does="Answers in conversations like those it learned from.",
        use=Both("To chat with it:", "与模型对话："),
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
            "训练一个 GPT，让它回答茶铺顾客的问题。",
        ),
        baseline=Both("the base model without fine-tuning", "未经微调的基座模型"),
        line=lambda row: "  ".join(message["content"] for message in row["messages"][1:]),
        text=lambda row: "\n".join(message["content"] for message in row["messages"][1:]),
        questions=(
            Both("What does the oolong cost?", "你好，乌龙茶一斤多少钱？"),
            Both("And white tea?", "那白茶呢？"),
            Both("Can I send it back?", "拆开了还能退吗？"),
        ),
        kept=asks_anew,
        asked=Both(
            " Each of the {held_out:,} asks its question in words that no other record uses.",
            "测试集的 {held_out:,} 条里，每一条都有训练集里没有的问法。",
        ),
        training=400,
        context=256,
        epochs=6,
        # the answers are those of a few templates, so the full rates teach them
        tuning={"batch_size": 32, "matrix_learning_rate": 0.02, "learning_rate": 0.014},
    )

    @classmethod
    def read_file(
        cls, path: Path, on_bad: OnBad, notes: Notes, **columns: str | None
    ) -> Iterator[Record]:
        """The conversations of a file that have an answer to train on. Those without one are passed
        to `on_bad`, together in a single error.
        """
        silent = []
        records = list(read_conversations(path, on_bad, Named(**columns), notes))
        for record in records:
            if any(as_text(message) for message in record.messages if is_trained(message)):
                if not is_trained(record.messages[-1]):
                    notes.add(record.place, "messages after the last answer are left out")
                yield record
            else:
                silent.append(record.place)
        if silent:
            more = " …" if len(silent) > NAMED else ""
            problem = (
                f"{places_in(silent[:NAMED])}{more}: there is no answer from the "
                f"assistant, so there is no token to train. Delete {len(silent):,} of "
                f"{plural(len(records), 'record')}"
            )
            on_bad(BadRecords(problem, len(silent)))

    @classmethod
    def is_record(cls, text: Path) -> bool:
        return is_conversation(text)

    @classmethod
    def without_header(cls, path: Path, **columns: str | None) -> str:
        return without_header(path, Named(**columns))

    @classmethod
    def counts(cls, records: Sequence[Record]) -> dict[str, int]:
        """The number of messages by role, the most frequent role first."""
        roles = Counter(message["role"] for record in records for message in record.messages)
        return dict(roles.most_common())
