"""Checks that the results of tools in a conversation fit the calls before them, and brings them
into the order of the calls.

The data to train on, the requests of a server, and the messages that a chat in Python or a file has
are checked here.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import groupby

from xinye.data.tool_calls import FORMATS, Message
from xinye.errors import XinyeError, plural

# what shows that a text without `tool_calls` holds a call
CALLS_AS_TEXT = ("{", *(each.opening for each in FORMATS))


def in_order_of_calls(messages: Sequence[Message], where: str = "messages") -> list[Message]:
    """The messages with the results of tools in the order of their calls, which is all that most
    chat templates show. `where` begins the error's text.

    Raises `XinyeError` for results that do not fit the calls of the assistant before them. Each
    call needs one result, or none of them has any. Results without ids go by their order; a single
    one may be that of all calls.
    """
    ordered: list[Message] = []
    said: list[Message] = []  # what the assistant said before the results
    for role, group in groupby(messages, lambda message: message["role"]):
        some = [*group]
        if role == "tool":
            some = _results_in_order(some, said, where, len(ordered) + 1)
        for number, message in enumerate(some, start=len(ordered) + 1):
            if again := _twice(call.get("id") for call in message.get("tool_calls") or ()):
                raise XinyeError(
                    f"{where}: message {number} has two calls with the id {again[:100]!r}"
                )
        said = some if role == "assistant" else []
        ordered += some
    return ordered


def _results_in_order(
    results: list[Message], said: Sequence[Message], where: str, number: int
) -> list[Message]:
    """The results in the order of the calls that were `said`. `number` is that of the first result.
    Raises `XinyeError` if they do not fit.
    """
    calls = [call for message in said for call in message.get("tool_calls") or ()]
    named = [result.get("tool_call_id") for result in results]
    if not calls:
        # In some data the calls are a part of the text.
        texts = [message.get("content", "") for message in said]
        if not any(named) and any(mark in text for text in texts for mark in CALLS_AS_TEXT):
            return results
        raise XinyeError(
            f"{where}: message {number} is the result of a tool, but the message before it calls "
            "no tool"
        )
    places = {call["id"]: place for place, call in enumerate(calls) if "id" in call}
    for place, identity in enumerate(named, start=number):
        if identity and places and identity not in places:
            raise XinyeError(
                f"{where}: message {place} names the call {identity[:100]!r}, which the "
                "assistant's message before it does not have"
            )
    if again := _twice(named):
        raise XinyeError(
            f"{where}: several results after message {number - 1} name the call {again[:100]!r}"
        )
    of_all = named == [None]
    if len(results) != len(calls) and not of_all:
        raise XinyeError(
            f"{where}: message {number - 1} has {plural(len(calls), 'call')}, but "
            f"{plural(len(results), 'result')} after it; give each call one result"
        )
    if places and all(named):
        return sorted(results, key=lambda result: places[result["tool_call_id"]])
    return results


def _twice(ids: Iterable[str | None]) -> str:
    """An id that occurs twice; an empty string if there is none."""
    return next((name for name, times in Counter(ids).items() if name and times > 1), "")


def unreadable_calls(where: str, number: int) -> XinyeError:
    """The error for calls of a message that `calls_in` cannot read."""
    return XinyeError(
        f"{where}: message {number} has tool_calls that cannot be read; each needs a name, and "
        "arguments that are a JSON object"
    )
