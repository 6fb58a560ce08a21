"""Fills in chat templates, in a process of its own that `chat.py` starts and, where it must, ends.

A template is a program that came with a model. Jinja's sandbox keeps it from attributes and files,
but neither from looping nor from filling the memory, and in its own process a thread cannot be
stopped. So: one request a line on standard input, one answer a line on standard output, both JSON.
Nothing of the package is imported here.
"""

import json
import re
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
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
    """`{% generation %}` marks what an assistant said, for training elsewhere; the text between is
    text.
    """

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class PlainNamespace(Namespace):
    """Jinja's, which would also keep `__class__` and then say that it is something else."""

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
    """Without Jinja's escapes for HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


@lru_cache(maxsize=4)
def compiled(source: str) -> tuple[Template, list[str]]:
    """The template, set up as `transformers` does, and the strings that it may look for in what it
    is given.
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
    constants = [
        node.value
        for node in environment.parse(source).find_all(nodes.Const)
        if isinstance(node.value, str)
    ]
    return environment.from_string(source), constants


def marking(control: list[str], known: list[str]) -> re.Pattern[str]:
    """Where a mark must stand so that no control token can come out of a text, whatever a template
    takes away from it: behind each of their first characters.

    Only where a `known` word begins, such as `</think>` that the template looks for, there is none,
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


def marked(value: Any, pattern: re.Pattern[str], mark: str) -> Any:
    if isinstance(value, str):
        return pattern.sub(lambda found: found[0] + mark, value)
    if isinstance(value, list):
        return [marked(each, pattern, mark) for each in value]
    if isinstance(value, dict):
        return {
            name: each if name == "role" else marked(each, pattern, mark)
            for name, each in value.items()
        }
    return value


def fill_in(request: Mapping[str, Any]) -> str:
    template, constants = compiled(request["template"])
    messages = request["messages"]
    if request["control"]:
        pattern = marking(request["control"], [*constants, *request["plain"]])
        messages = marked(messages, pattern, request["mark"])
    pieces: list[str] = []
    length = 0
    for piece in template.generate(
        messages=messages, tools=None, documents=None, **request["variables"]
    ):
        pieces.append(piece)
        length += len(piece)
        if length > LONGEST:
            raise TemplateError(f"it writes more than {LONGEST:,} characters")
    return "".join(pieces)


def main() -> None:
    # Windows has no such limits; a stricter one may be there
    with suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    print("{}", flush=True)
    for line in sys.stdin:
        try:
            answer = {"text": fill_in(json.loads(line))}
        except MemoryError:
            answer = {"error": "it takes too much memory"}
        except Exception as error:  # whatever a template does
            answer = {"error": " ".join(f"{error or type(error).__name__}".split())[:200]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
