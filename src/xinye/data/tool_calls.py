"""Tool calls in messages: OpenAI's fields, and the text in which models read and write them.

A message of the assistant may have `tool_calls`, each `{"type": "function", "function": {"name": …,
"arguments": {…}}}`. The tools that the assistant may call stand in the field `tools` of the system
message, which is empty if there is no other text in it.
"""

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]  # `role` and `content` as in OpenAI's API; `tool_calls`, `tools`
NO_PARAMETERS = {"type": "object", "properties": {}, "additionalProperties": False}


@dataclass(frozen=True)
class CallFormat:
    """How models write a call: `opening`, `head` with the tool's name in JSON for NAME, the
    arguments in JSON on one line, and `end`.

    `end` must have a line break: no JSON on one line has it, so the end of a call is certain.
    """

    opening: str
    head: str
    end: str

    def begin(self, name: str) -> str:
        """The text of a call up to its arguments."""
        return self.opening + self.head.replace("NAME", as_json(name))

    def text(self, name: str, arguments: Any) -> str:
        """The text of a call."""
        return self.begin(name) + as_json(arguments) + self.end

    @property
    def marks(self) -> tuple[str, str]:
        """What stands around a call. Some models have a token for each."""
        return self.opening, self.end.rpartition("\n")[2]


HERMES = CallFormat("<tool_call>", '\n{"name": NAME, "arguments": ', "}\n</tool_call>")
# A further format is one more line here. Which of them a model uses, its chat template shows.
FORMATS = (HERMES,)
MARKS = frozenset(mark for each in FORMATS for mark in each.marks)
# of the example that shows what a template writes
_NAME, _PURPOSE, _ARGUMENTS = "look_up", "find a word", {"word": "leaf 叶"}


def as_json(value: Any) -> str:
    """JSON as chat templates write it: on one line, with spaces, and Chinese characters as they
    are.
    """
    return json.dumps(value, ensure_ascii=False)


def example() -> list[Message]:
    """Messages with a tool and its call. What a chat template makes of them shows what it knows."""
    function = {"name": _NAME, "description": _PURPOSE, "parameters": NO_PARAMETERS}
    called = {"name": _NAME, "arguments": _ARGUMENTS}
    # Some templates want ids of nine letters or digits.
    call = {"id": "call00001", "type": "function", "function": called}
    tools = [{"type": "function", "function": function}]
    return [
        {"role": "system", "content": "", "tools": tools},
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
    ]


def format_of(text: str) -> CallFormat | None:
    """The format of the call in the text that a chat template made of the example; None if there is
    none, or one that is not in the table.
    """
    known = shows_tools(text)
    return next((each for each in FORMATS if known and each.text(_NAME, _ARGUMENTS) in text), None)


def shows_tools(text: str) -> bool:
    """Whether the text that a chat template made of the example has both the tool and the call."""
    return _PURPOSE in text and _ARGUMENTS["word"].split()[0] in text


def may_know_tools(template: str | None) -> bool:
    """False if a chat template names no tools or no calls. Other templates must be tried."""
    return {"tools", "tool_calls"} <= set(re.findall(r"\w+", template or ""))


def without_tools(messages: Sequence[Message]) -> tuple[list[Message], list[Any] | None]:
    """The messages without the tools, and the tools; None if there are none. A system message that
    is empty without them is left out.
    """
    if not messages or not messages[0].get("tools"):
        return list(messages), None
    first = {name: value for name, value in messages[0].items() if name != "tools"}
    return [*([first] if first["content"] else []), *messages[1:]], messages[0]["tools"]


def with_tools(messages: Sequence[Message], tools: Sequence[Any]) -> list[Message]:
    """The messages with tools in their system message."""
    has_system = bool(messages) and messages[0]["role"] == "system"
    first = messages[0] if has_system else {"role": "system", "content": ""}
    return [{**first, "tools": [*tools]}, *messages[has_system:]]


def as_text(message: Message) -> str:
    """The content of a message, with its tools and calls as text, for a chat template that does not
    know them.
    """
    parts = [message["content"]]
    if tools := message.get("tools"):
        listed = "\n".join(["<tools>", *map(as_json, tools), "</tools>"])
        parts = [f"{message['content']}\n\n{listed}" if message["content"] else listed]
    parts += [
        HERMES.text(call["function"]["name"], call["function"]["arguments"])
        for call in message.get("tool_calls") or ()
    ]
    return "\n".join(part for part in parts if part)


def textual(messages: Sequence[Message]) -> list[Message]:
    """The messages with tools and calls as text, and no others."""
    return [
        {name: value for name, value in message.items() if name not in ("tools", "tool_calls")}
        | {"content": as_text(message)}
        for message in messages
    ]


def calls_in(given: Any) -> list[Message]:
    """The calls in a value from outside: a call, a list of calls, or either as JSON text. Empty if
    there is anything else, as arguments that are no object.
    """
    given = parsed(given)
    calls = []
    for call in given if isinstance(given, list) else [given]:
        function = call.get("function", call) if isinstance(call, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            return []
        arguments = parsed(function.get("arguments") or {})
        if not isinstance(arguments, dict):
            return []
        called = {"name": function["name"], "arguments": arguments}
        identity = id_in(call.get("id"))
        calls.append(
            {**({"id": identity} if identity else {}), "type": "function", "function": called}
        )
    return calls


def id_in(given: Any) -> str:
    """The id of a call in a value from outside; an empty string if there is none."""
    return str(given) if isinstance(given, str) or type(given) is int else ""


def tools_in(given: Any) -> list[Message]:
    """The tools in a value from outside, a list or its JSON text, each in OpenAI's form. Empty if
    there is anything else.
    """
    given = parsed(given)
    if not isinstance(given, list) or not all(isinstance(tool, dict) for tool in given):
        return []
    return [
        tool if "function" in tool else {"type": "function", "function": tool} for tool in given
    ]


def parsed(value: Any) -> Any:
    """The value of a JSON text; anything else as it is."""
    if isinstance(value, str):
        with suppress(ValueError, RecursionError):
            return json.loads(value)
    return value
