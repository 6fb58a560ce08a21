"""Chat: messages in, formatted by the model's chat template, and an answer out in pieces."""

from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable
from functools import partial
from pathlib import Path
from typing import Any

from xinye.data.files import read_json, write_json
from xinye.data.tokenizer import ROLES, Tokenizer
from xinye.data.tool_calls import Message, calls_in, id_in, tools_in
from xinye.data.tool_results import in_order_of_calls, unreadable_calls
from xinye.errors import XinyeError, not_unicode
from xinye.generation.engine import Engine
from xinye.generation.sampling import Sampling
from xinye.generation.sequence import Sequence

Fits = Callable[[list[Message]], bool]


def check_messages(messages: Any, where: str = "messages") -> list[Message]:
    """The messages as a list, their tools and calls in OpenAI's form, with arguments as objects,
    and the results of tools in the order of their calls. Raises `XinyeError` that names the first
    invalid one; `where` begins the error's text."""
    if not isinstance(messages, list | tuple):
        raise XinyeError(f"{where}: this is not a list of messages")
    checked: list[Message] = []
    for number, message in enumerate(messages, start=1):
        fields = message if isinstance(message, dict) else {}
        content = fields.get("content")
        if fields.get("role") not in ROLES or not isinstance(content, str):
            raise XinyeError(
                f"{where}: message {number} needs a role ({', '.join(ROLES)}) and a text as its "
                "content"
            )
        if reason := not_unicode(content):
            raise XinyeError(f"{where}: the content of message {number} is {reason}")
        calls = calls_in(fields.get("tool_calls"))
        if fields.get("tool_calls") and not (calls and fields["role"] == "assistant"):
            raise unreadable_calls(where, number)
        tools = tools_in(fields.get("tools"))
        if fields.get("tools") and not (tools and number == 1 and fields["role"] == "system"):
            raise XinyeError(
                f"{where}: the tools of message {number} must be a list of functions in the system "
                "message, which comes first"
            )
        known = {
            "tool_calls": calls,
            "tools": tools,
            "tool_call_id": id_in(fields.get("tool_call_id")),
        }
        others = {name: value for name, value in fields.items() if name not in known}
        checked.append(others | {name: value for name, value in known.items() if value})
    return in_order_of_calls(checked, where)


def save_messages(path: Path, messages: Iterable[Message]) -> None:
    """Write messages to a JSON file. Raises `XinyeError` rather than replace a file of something
    else."""
    if path.exists():
        try:
            load_messages(path)
        except XinyeError:
            raise XinyeError(
                f"{path}: the file exists and does not contain messages; choose another name"
            ) from None
    write_json(path, {"messages": list(messages)})


def load_messages(path: Path) -> list[Message]:
    """The messages in a JSON file that `save_messages` wrote. Raises `XinyeError` for another
    file."""
    return check_messages(read_json(path).get("messages"), str(path))


def start_answer(
    tokenizer: Tokenizer,
    messages: Iterable[Message],
    context: int,
    sampling: Sampling,
    number: int = 0,
) -> tuple[Sequence, int]:
    """The sequence that begins the answer to the last message, and the number of messages dropped.

    The oldest turns are dropped so that the answer has room for `max_tokens`, or for half of the
    context; the system message stays. `max_tokens` is limited to what is left of the context.
    `number` is that of the `Sequence`. Raises `XinyeError` if the last question alone is too long.
    """
    messages = check_messages(messages)
    if not messages:
        raise XinyeError("messages: the list is empty, so there is no question to answer")
    room = min(sampling.max_tokens, context // 2)
    kept = newest_turns(messages, lambda some: len(tokenizer.encode_chat(some)) + room <= context)
    tokens = tokenizer.encode_chat(kept)
    if len(tokens) >= context:
        raise XinyeError(
            f"the question has {len(tokens)} tokens, the system message included; this model "
            f"reads at most {context}: shorten it"
        )
    left = sampling.model_copy(
        update={"max_tokens": min(sampling.max_tokens, context - len(tokens))}
    )
    return Sequence(tokens, len(tokens), left, number), len(messages) - len(kept)


# -- truncation to the context ---------------------------------------------------------------------


def newest_turns(messages: list[Message], fits: Fits) -> list[Message]:
    """The messages without the oldest turns, so that the rest fits. The system message and the last
    turn always stay, even if they do not fit."""
    system = system_of(messages)
    questions = [number for number, message in enumerate(messages) if message["role"] == "user"]
    firsts = [len(system), *questions[1:]]
    fitting = bisect_left(firsts, True, key=lambda first: fits([*system, *messages[first:]]))
    return [*system, *messages[firsts[min(fitting, len(firsts) - 1)] :]]


def shortened(messages: list[Message], fits: Fits) -> list[Message]:
    """Messages that end with an answer, cut until they fit if that is possible.

    The oldest turns are dropped first, then the middle of the longest message before the answer,
    then the end of the answer.
    """
    messages = newest_turns(messages, fits)
    last, begin = len(messages) - 1, len(system_of(messages))
    longest = max(
        range(begin, last), key=lambda number: len(messages[number]["content"]), default=last
    )
    for number, from_middle in ((longest, True), (last, False)):
        if not fits(messages):
            shorter = partial(_without, messages, number, from_middle)
            counts = range(len(messages[number]["content"]) - 1)
            messages = shorter(bisect_left(counts, True, key=lambda count: fits(shorter(count))))
    return messages


def system_of(messages: list[Message]) -> list[Message]:
    """A list of the system message, or an empty one."""
    return [message for message in messages[:1] if message["role"] == "system"]


def _without(messages: list[Message], number: int, from_middle: bool, count: int) -> list[Message]:
    """The messages with `count` characters cut from message `number`, from its middle or its
    end."""
    text = messages[number]["content"]
    begin = len(text) - count
    if from_middle:
        begin = (begin + 1) // 2
    shorter = {**messages[number], "content": text[:begin] + text[begin + count :]}
    return [*messages[:number], shorter, *messages[number + 1 :]]


# -- conversations ---------------------------------------------------------------------------------


class Conversation:
    """A chat that keeps its messages. You may change `sampling` between answers."""

    def __init__(self, engine: Engine, sampling: Sampling, system: str = "") -> None:
        self.engine, self.sampling = engine, sampling
        self.messages: list[Message] = []
        self.system = system
        self.forgotten = 0  # the number of old messages that were dropped for the last answer
        self.reply: Sequence | None = None  # the last answer

    @property
    def system(self) -> str:
        """The system message; an empty string if there is none."""
        return "".join(message["content"] for message in system_of(self.messages))

    @system.setter
    def system(self, text: str) -> None:
        before = system_of(self.messages)
        rest, tools = self.messages[len(before) :], any("tools" in each for each in before)
        first = {"role": "system", **(before[0] if tools else {}), "content": text}
        self.messages = [first, *rest] if text or tools else rest

    def reset(self) -> None:
        """Drop all messages except the system message."""
        self.messages = system_of(self.messages)

    def answer(self, question: str) -> Generator[str, None, None]:
        """Yield the answer in pieces. At its end, or if the caller closes it early, question and
        answer are added to `messages`."""
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
