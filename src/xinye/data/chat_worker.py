"""Fills in chat templates, in a separate process that `chat.py` starts and can kill.

A template is a program that comes with a model. Jinja's sandbox hides attributes and files from it,
but does not stop endless loops or filling the memory, and Python cannot stop a thread. So a
separate process reads one request per line from standard input and writes one answer per line to
standard output, both in JSON. It imports nothing else from this package.
"""

import json
import re
import sys
from collections.abc import Callable, Mapping, Set
from contextlib import suppress
from datetime import datetime
from functools import lru_cache, partial
from typing import Any

from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

MEMORY = 2**30  # bytes of address space
LONGEST = 10_000_000  # characters of a chat


class Generation(Extension):
    """The tag `{% generation %}`, with which other tools mark what an assistant said. Here its
    content is ordinary text.
    """

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class PlainNamespace(Namespace):
    """Jinja's namespace without names that begin with an underscore. The original would store
    `__class__` and then report a different class.
    """

    def __init__(*arguments: Any, **values: Any) -> None:
        Namespace.__init__(*arguments, **values)
        if any(
            str(name).startswith("_")
            for name in (*values, *(name for each in arguments[1:] for name in each))
        ):
            raise SecurityError("a namespace cannot hold names that begin with _")

    def __setitem__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            raise SecurityError("a namespace cannot hold names that begin with _")
        Namespace.__setitem__(self, name, value)


def raise_exception(message: str) -> None:
    raise TemplateError(message)


def tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    """JSON without Jinja's escapes for HTML, as in transformers."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


@lru_cache(maxsize=4)
def compiled(source: str) -> tuple[Template, list[str], set[str]]:
    """The compiled template, set up as in transformers, all string constants that it contains, and
    the names by which it may look up values.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals |= {
        "raise_exception": raise_exception,
        "strftime_now": lambda form: datetime.now().strftime(form),
        "namespace": PlainNamespace,
    }
    parsed = environment.parse(source)
    constants = [node.value for node in parsed.find_all(nodes.Const) if isinstance(node.value, str)]
    names = {node.attr for node in parsed.find_all(nodes.Getattr)} | {*constants}
    return environment.from_string(source), constants, names


def marking(control: list[str], known: list[str]) -> re.Pattern[str]:
    """The pattern of all characters that need a mark behind them: those that begin a control token.
    With marks there, no part of a message can form a control token, whatever a template cuts out of
    it.

    A `known` word, such as `</think>` that the template looks for, gets no mark at its beginning,
    unless that word could begin a control token.
    """
    firsts = "".join({token[0] for token in control})
    words = {
        word
        for text in known
        for word in re.findall(rf"[{re.escape(firsts)}][^{re.escape(firsts)}]*", text)
    }
    harmless = sorted(
        re.escape(word)
        for word in words
        if not any(word.startswith(token) or token.startswith(word) for token in control)
    )
    unless = f"(?!{'|'.join(harmless)})" if harmless else ""
    return re.compile(f"{unless}[{re.escape(firsts)}]")


def marked(value: Any, mark: Callable[[str], str], kept: Set[str]) -> Any:
    """The same value with marks in all its strings, except names of fields in `kept`."""
    if isinstance(value, str):
        return mark(value)
    if isinstance(value, list):
        return [marked(each, mark, kept) for each in value]
    if isinstance(value, dict):
        return {
            name if name in kept else mark(name): marked(each, mark, kept)
            for name, each in value.items()
        }
    return value


def fill_in(request: Mapping[str, Any]) -> str:
    """The text of a request. Raises whatever the template raises, and `TemplateError` if the text
    is longer than `LONGEST` characters.
    """
    template, constants, names = compiled(request["template"])
    messages, variables = request["messages"], request["variables"]
    control = request["control"]
    if control:
        pattern = marking(control, [*constants, *request["plain"]])
        mark = partial(pattern.sub, lambda found: found[0] + request["mark"])
        # A template looks up fields by these names.
        kept = {
            name
            for name in names
            if name.isidentifier() and not any(token in name for token in control)
        }
        messages = [
            {**marked(message, mark, kept), "role": message["role"]} for message in messages
        ]
        variables = variables | {"tools": marked(variables["tools"], mark, kept)}
    pieces: list[str] = []
    length = 0
    for piece in template.generate(messages=messages, documents=None, **variables):
        pieces.append(piece)
        length += len(piece)
        if length > LONGEST:
            raise TemplateError(f"it writes more than {LONGEST:,} characters")
    return "".join(pieces)


def main() -> None:
    # Windows has no such limits, and the system may already set a stricter one.
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    print("{}", flush=True)
    for line in sys.stdin:
        try:
            answer = {"text": fill_in(json.loads(line))}
        except MemoryError:
            answer = {"error": "it takes too much memory"}
        except Exception as error:  # a template can raise anything
            answer = {"error": " ".join(f"{error or type(error).__name__}".split())[:200]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
