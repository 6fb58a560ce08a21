"""Command-line flags from a settings class: one flag a field, with the field's description for help.

Only what was typed is returned, so that a file's values can stand below it; every mistake is one line. Whatever
encoding arguments and standard input come in, from here on they are Unicode.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from xinye.data.files import read_json
from xinye.data.sources import decode
from xinye.errors import XinyeError, did_you_mean, not_unicode, print_error


class Parser(argparse.ArgumentParser):
    """Exits with 2 and one line that names the nearest known flag."""

    def __init__(self, verb: str, summary: str, example: str) -> None:
        super().__init__(
            prog=f"xinye {verb}",
            description=summary,
            epilog=f"example:\n  {example}",
            formatter_class=lambda prog: argparse.RawDescriptionHelpFormatter(
                prog, max_help_position=30, width=100
            ),
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
        )
        self.nested: dict[str, str] = {}  # field: the field whose settings it belongs to

    def add_fields(
        self, settings: type[BaseModel], aliases: dict[str, str], positional: Sequence[str] = ()
    ) -> None:
        """A flag for each field, first those that only these settings have; a field of settings gives a group."""
        own = settings.__annotations__
        for name, field in sorted(
            settings.model_fields.items(), key=lambda item: item[0] not in own
        ):
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                group = self.add_argument_group(name)
                for inner, inner_field in field.annotation.model_fields.items():
                    self.nested[inner] = name
                    _add(group, inner, inner_field, aliases)
            elif name not in positional:
                _add(self, name, field, aliases)

    def values(self, arguments: Sequence[str]) -> dict[str, Any]:
        """What was typed, by field."""
        parsed, unknown = self.parse_known_intermixed_args(
            [typed(argument) for argument in arguments]
        )
        if unknown:
            flags = [option for action in self._actions for option in action.option_strings]
            self.error(
                f"unknown argument {unknown[0]!r}{did_you_mean(unknown[0].split('=')[0], flags)}"
            )
        values: dict[str, Any] = {}
        for name, value in vars(parsed).items():
            if name in self.nested:
                values.setdefault(self.nested[name], {})[name] = value
            else:
                values[name] = value
        return values

    def error(self, message: str) -> NoReturn:
        print_error(f"{self.prog}: {message} (try {self.prog} --help)")
        raise SystemExit(2)


def _add(parser: Any, name: str, field: FieldInfo, aliases: dict[str, str]) -> None:
    flags = [
        *([aliases[name]] if name in aliases else []),
        "--" + name.rstrip("_").replace("_", "-"),
    ]
    default = "" if field.default in (None, (), "", {}) else f" ({field.default})"
    text = ((field.description or "") + default).replace("%", "%%")
    if field.annotation is bool:
        parser.add_argument(*flags, action=argparse.BooleanOptionalAction, help=text)
    elif any(get_origin(kind) is dict for kind in (field.annotation, *get_args(field.annotation))):
        parser.add_argument(*flags, type=json_object, metavar="JSON|FILE", help=text)
    elif field.annotation in (tuple[str, ...], tuple[int, ...]):
        parser.add_argument(*flags, action="append", metavar=_metavar(field), help=text)
    else:
        choices = [str(choice) for choice in get_args(field.annotation) if isinstance(choice, str)]
        parser.add_argument(*flags, metavar="|".join(choices) or _metavar(field), help=text)


def typed(text: str) -> str:
    """An argument or a line as Unicode: where a terminal or a script is in GB18030 or the like, decoded from that.

    The name of a file that is there stays as it is. Raises `XinyeError` where no encoding fits.
    """
    if not not_unicode(text) or os.path.lexists(text):
        return text
    try:
        raw = os.fsencode(text)
    except UnicodeEncodeError:
        raise XinyeError(f"{text!r} is {not_unicode(text)}") from None
    return decode(raw, repr(text))


def read_stdin() -> str:
    """All of standard input, in whatever encoding it comes."""
    raw: bytes = sys.stdin.buffer.read()
    return decode(raw, "standard input").replace("\r\n", "\n").replace("\r", "\n")


def json_object(value: str) -> dict[str, Any]:
    """A JSON object as it was typed, or that lies in a file."""
    if not value.lstrip().startswith("{"):
        if not Path(value).exists():
            raise XinyeError(f"{value}: neither a JSON object nor a file")
        return read_json(Path(value))
    try:
        data = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise XinyeError(f"the JSON: damaged ({error})") from None
    return data


def _metavar(field: FieldInfo) -> str:
    kinds = [
        kind
        for kind in (get_args(field.annotation) or (field.annotation,))
        if kind is not type(None)
    ]
    return {int: "N", float: "X"}.get(kinds[0], "PATH" if "Path" in str(kinds[0]) else "TEXT")


def run_group(
    group: str, verbs: Mapping[str, tuple[Callable[[list[str]], int], str]], arguments: list[str]
) -> int:
    """Run one verb of a group, such as `train` of `xinye tokenizer train`; `verbs` maps it to function and summary."""
    if not arguments or arguments[0] in ("-h", "--help"):
        lines = "\n".join(f"  {verb:<10}{summary}" for verb, (_, summary) in verbs.items())
        print(
            f"usage: xinye {group} VERB …   (xinye {group} VERB --help shows its flags)\n\n{lines}"
        )
        return 0
    verb, *rest = arguments
    if verb not in verbs:
        known = ", ".join(f"{group} {name}" for name in verbs)
        raise XinyeError(f"unknown verb {verb!r}{did_you_mean(verb, verbs)}; there is: {known}")
    return verbs[verb][0](rest)
