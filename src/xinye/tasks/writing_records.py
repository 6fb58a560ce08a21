"""Records for tasks that write: conversations, and the columns of a prompt and its answer."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from xinye.data.columns import find_column
from xinye.data.records import Row
from xinye.data.tool_calls import as_text
from xinye.errors import XinyeError, did_you_mean
from xinye.generation.chat import Message


def is_trained(message: Message) -> bool:
    """True for an assistant's message that the model trains on; one with `weight` 0 is only
    read.
    """
    return message["role"] == "assistant" and message.get("weight") != "0"


@dataclass(frozen=True)
class Record:
    """A conversation. `place` is for messages ("chats.jsonl, line 17"), and `format` describes how
    the record was read.
    """

    messages: tuple[Message, ...]
    place: str
    format: str

    @property
    def whole(self) -> str:
        """The content of all messages, to compare records."""
        return "\n".join(self.contents)

    @property
    def contents(self) -> tuple[str, ...]:
        """The content of each message, with its tools and calls as text."""
        return tuple(map(as_text, self.messages))

    @property
    def has_tools(self) -> bool:
        """True if the record has tools or calls."""
        return any("tools" in message or "tool_calls" in message for message in self.messages)

    @property
    def answers(self) -> list[int]:
        """The indices of the assistant's messages that the model trains on."""
        return [number for number, message in enumerate(self.messages) if is_trained(message)]


class Named(NamedTuple):
    """The columns of prompt and answer that a person named, and the names of those who answer,
    separated by commas.
    """

    prompt_field: str | None = None
    answer_field: str | None = None
    assistant_name: str | None = None

    @property
    def columns(self) -> list[str]:
        """The columns that were named."""
        return [name for name in self[:2] if name]

    @property
    def assistants(self) -> list[str]:
        """The names of those who answer."""
        names = re.split("[,，]", self.assistant_name or "")
        return [name.strip() for name in names if name.strip()]

    def check(
        self, row: Row, place: str, settings: Sequence[str] = ("prompt_field", "answer_field")
    ) -> None:
        """Raises `XinyeError` if the row lacks a column that was named. `settings` are the names of
        the settings that name the two columns.
        """
        for name, setting in zip(self[:2], settings, strict=True):
            if name and name not in row:
                flag = f"--{setting.replace('_', '-')}"
                there = ", ".join(map(str, row))
                near = did_you_mean(name, [*map(str, row)])
                raise XinyeError(f"{place}: no field {name!r} ({flag}); there are {there}{near}")

    def find(
        self,
        row: Iterable[str],
        prompts: Iterable[str],
        answers: Iterable[str],
        endings: bool = False,
    ) -> tuple[str | None, str | None]:
        """The columns of a prompt and its answer: as named, or by these usual names, as
        `find_column` finds them. None for one that is missing.
        """
        others = [column for column in row if column != self.answer_field]
        prompt = self.prompt_field or find_column(others, prompts, endings)
        answer = self.answer_field
        if not answer:
            others = [column for column in row if column != prompt]
            answer = find_column(others, answers, endings)
        return prompt, answer


UNNAMED = Named()
