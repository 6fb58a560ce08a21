"""The grammar of a text with calls of tools, and a reader that finds the calls while the text is
written.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from xinye.data.tool_calls import CallFormat, as_json
from xinye.generation.json_schemas import with_bounds
from xinye.generation.sampling import Schema, Tools
from xinye.generation.stream import overlap

MOST_CALLS = 128  # in one answer; a request may have as many in a message


def grammar_of_calls(tools: Tools, json_style: Mapping[str, Any]) -> str:
    """The grammar of a text with calls, for llguidance. Once the text has the opening of a call,
    the call must be complete and follow its schema. Line N is the call of the Nth tool.
    """
    quoted = partial(json.dumps, ensure_ascii=False)
    opening, rules = tools.format.opening, []
    for number, (name, schema) in enumerate(tools.schemas.items()):
        head = tools.format.begin(name).removeprefix(opening)
        arguments = f"%json {json.dumps(with_bounds(_closed(schema)) | {'x-guidance': json_style})}"
        rules.append(f"tool_{number}: {quoted(head)} {arguments} {quoted(tools.format.end)}")
    more = MOST_CALLS - 1
    if tools.required:
        start = f'call ("\\n" call){{0,{more}}}' if tools.parallel else "call"
        opened = f"opened: {quoted(opening)}"
    else:
        # After the last call there is no text, which could have an opening.
        start = f"call{{0,{more}}} TEXT | call{{{MOST_CALLS}}}" if tools.parallel else "call | TEXT"
        # lazy: it ends with the first opening
        opened = f"opened[lazy]: TEXT {quoted(opening)}\nTEXT: /(.|\\n)*/"
    names = " | ".join(f"tool_{number}" for number in range(len(rules)))
    return "\n".join([*rules, f"start: {start}", opened, f"call: opened ({names})", ""])


def _closed(schema: Schema) -> Schema:
    """The schema of arguments as an object. Parameters that are not in it are not allowed, unless
    it says something else: a small model invents some.
    """
    others = {"patternProperties", "unevaluatedProperties", "$ref", "allOf", "anyOf", "oneOf", "if"}
    if schema.keys() & others:
        return schema
    return {"type": "object", "properties": {}, "additionalProperties": False} | schema


@dataclass(frozen=True)
class CallPart:
    """A part of the call number `index` of a text. The first part has the tool's `name`, the others
    a piece of the `arguments` in JSON.
    """

    index: int
    name: str = ""
    arguments: str = ""


class CallReader:
    """Splits a text, which comes in pieces, into its content and its calls.

    What may become a call is held back. A call of an unknown tool, or one that is malformed before
    its arguments, stays content. The line break before a call belongs to neither.
    """

    def __init__(self, call_format: CallFormat, names: Iterable[str]) -> None:
        self.format = call_format
        self.calls = 0  # calls whose name was read
        self._begins = {call_format.begin(name): name for name in names}
        self._in_call = self._cut = False
        self._pending = ""

    def push(self, text: str, final: bool = False, cut: bool = False) -> Iterator[str | CallPart]:
        """The parts that are certain with this piece; with the `final` one, all that are left. In a
        text that is `cut` off, a call whose name is not complete is left out.
        """
        self._cut = cut
        self._pending += text
        going = True
        while going:
            step = self._call if self._in_call else self._content
            part, going = step(final)
            if part:
                yield part

    def _content(self, final: bool) -> tuple[str | CallPart, bool]:
        """The next content, or the beginning of a call, and whether there may be more."""
        opening = self.format.opening
        at = self._pending.find(opening)
        if at < 0:
            held = max(overlap(self._pending, mark) for mark in (opening, "\n" + opening))
            # A few characters, such as "<", are probably text.
            begun = held > len(opening) // 2 and self._cut
            return self._take(len(self._pending) - (held if begun or not final else 0)), False
        before = at - self._pending.startswith("\n", max(at - 1, 0), at)
        if before > 0:
            return self._take(before), True
        call = self._pending[at : at + max(map(len, self._begins))]
        if begin := next((begin for begin in self._begins if call.startswith(begin)), ""):
            self._take(at + len(begin))
            self._in_call = True
            self.calls += 1
            return CallPart(self.calls - 1, self._begins[begin]), True
        possible = [name for begin, name in self._begins.items() if begin.startswith(call)]
        if possible and not final:
            return "", False
        if possible and self._cut:
            self._take(len(self._pending))
            if as_json(possible[0]) not in call:
                return "", False
            self.calls += 1
            return CallPart(self.calls - 1, possible[0]), False
        return self._take(at + len(opening)), True

    def _call(self, final: bool) -> tuple[str | CallPart, bool]:
        """The next piece of a call's arguments, and whether there may be more."""
        arguments, end, rest = self._pending.partition(self.format.end)
        if end:
            self._in_call, self._pending = False, rest
        else:
            held = overlap(arguments, self.format.end)
            # In a text that is cut off, a last brace may belong to the arguments.
            held = 0 if final and held == 1 else held
            arguments = self._take(len(arguments) - held)
        return CallPart(self.calls - 1, arguments=arguments) if arguments else "", bool(end)

    def _take(self, length: int) -> str:
        """Remove so many characters from what is pending."""
        taken, self._pending = self._pending[:length], self._pending[length:]
        return taken
