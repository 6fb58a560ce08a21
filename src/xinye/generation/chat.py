"""A conversation: messages in, by the model's own chat template, and an answer out, piece by piece."""

from bisect import bisect_left
from collections.abc import Generator, Iterable
from pathlib import Path
from typing import Any

from xinye.checkpoints.huggingface import write_json
from xinye.data.files import read_json
from xinye.data.tokenizer import ROLES, Tokenizer
from xinye.errors import XinyeError, not_unicode
from xinye.generation.engine import Engine
from xinye.generation.sampling import Sampling
from xinye.generation.sequence import Sequence

Message = dict[str, str]  # `role` and `content`, as in OpenAI's API


def check_messages(messages: Any, where: str = "messages") -> list[Message]:
    """The messages, where they are messages; else a `XinyeError` that names the first that is not."""
    if not isinstance(messages, list | tuple):
        raise XinyeError(f"{where}: there is no list of messages")
    for number, message in enumerate(messages, start=1):
        role, content = (
            (message.get("role"), message.get("content"))
            if isinstance(message, dict)
            else (None, None)
        )
        if role not in ROLES or not isinstance(content, str):
            raise XinyeError(
                f"{where}: message {number} must have a role ({', '.join(ROLES)}) and a content, a text"
            )
        if reason := not_unicode(content):
            raise XinyeError(f"{where}: the content of message {number} is {reason}")
    return list(messages)


def save_messages(path: Path, messages: Iterable[Message]) -> None:
    """Write messages as JSON; another file than one of messages is not replaced."""
    if path.exists():
        try:
            load_messages(path)
        except XinyeError:
            raise XinyeError(f"{path}: exists and holds no messages; choose another name") from None
    write_json(path, {"messages": list(messages)})


def load_messages(path: Path) -> list[Message]:
    return check_messages(read_json(path).get("messages"), str(path))


def start_answer(
    tokenizer: Tokenizer,
    messages: Iterable[Message],
    context: int,
    sampling: Sampling,
    number: int = 0,
) -> tuple[Sequence, int]:
    """What the answer to the last message begins from, with `max_tokens` held within the context.

    Returns the sequence and the number of the oldest messages that are left out so that an answer has room:
    `max_tokens`, or half of the context. Whole turns are left out, never the system message. Raises `XinyeError` where
    the last question alone is too long.
    """
    messages = check_messages(messages)
    if not messages:
        raise XinyeError("messages: there is none to answer")
    system = messages[:1] if messages[0]["role"] == "system" else []
    questions = [i for i, message in enumerate(messages) if message["role"] == "user"]
    room = min(sampling.max_tokens, context // 2)

    def read_from(first: int) -> list[int]:
        return tokenizer.encode_chat([*system, *messages[first:]])

    firsts = [len(system), *questions[1:]]
    fitting = bisect_left(firsts, True, key=lambda first: len(read_from(first)) + room <= context)
    first = firsts[min(fitting, len(firsts) - 1)]
    tokens = read_from(first)
    if len(tokens) >= context:
        raise XinyeError(
            f"the question has {len(tokens)} tokens with all that belongs to it; this model reads at most {context}: "
            "shorten it"
        )
    left = sampling.model_copy(
        update={"max_tokens": min(sampling.max_tokens, context - len(tokens))}
    )
    return Sequence(tokens, len(tokens), left, number), first - len(system)


class Conversation:
    """The messages so far, and the next answer to them. `sampling` may be changed between answers."""

    def __init__(self, engine: Engine, sampling: Sampling, system: str = "") -> None:
        self.engine, self.sampling = engine, sampling
        self.messages: list[Message] = []
        self.system = system
        self.forgotten = 0  # messages that were too old for the last answer
        self.reply: Sequence | None = None  # the last answer

    @property
    def system(self) -> str:
        """The system message; empty for none."""
        return (
            self.messages[0]["content"]
            if self.messages and self.messages[0]["role"] == "system"
            else ""
        )

    @system.setter
    def system(self, text: str) -> None:
        rest = self.messages[1:] if self.system else self.messages
        self.messages = [{"role": "system", "content": text}, *rest] if text else rest

    def reset(self) -> None:
        """Forget all but the system message."""
        self.messages = self.messages[:1] if self.system else []

    def answer(self, question: str) -> Generator[str, None, None]:
        """The answer as it is written. Once it is whole, or was closed half-way, it stands in the messages."""
        messages = [*self.messages, {"role": "user", "content": question}]
        engine = self.engine
        reply, self.forgotten = start_answer(
            engine.tokenizer, messages, engine.context, self.sampling
        )
        self.reply = reply
        try:
            for _, piece in engine.generate([reply]):
                yield piece
        finally:
            if reply.finish_reason or reply.pieces:
                self.messages = [*messages, {"role": "assistant", "content": reply.text}]
