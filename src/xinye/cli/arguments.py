"""The flags of a command: its own rows, and one for each field of its settings, with the field's
description as help.

Only settings that were typed are returned, so that values from a file can be used for the others.
Every error is one line. Arguments and standard input may come in any encoding and are Unicode from
here on.
"""

import argparse
import json
import logging
import os
import re
import shutil
import sys
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from xinye.checkpoints.bases import is_adapter, place_of, set_base
from xinye.cli.output import console, show_log
from xinye.data.files import read_json
from xinye.data.sources import decode
from xinye.errors import XinyeError, did_you_mean, not_unicode, print_error, quoted, refuse_first
from xinye.guesses import nearest
from xinye.language import INPUT, screen_language, shown, shown_word, wrapped
from xinye.planning.settings import BAD_BYTES_HELP
from xinye.tasks.registry import TASKS


class Flag(NamedTuple):
    """One flag, as arguments for argparse."""

    names: list[str]
    options: Mapping[str, Any]


def flag(
    names: str, metavar: str | None, what: str | None, default: Any = None, **options: Any
) -> Flag:
    """A flag with a value, such as `-o --output`, or a positional argument, such as `model`."""
    return Flag(names.split(), {"metavar": metavar, "help": what, "default": default, **options})


def switch(name: str, what: str) -> Flag:
    """A flag without a value, False by default."""
    return Flag([name], {"action": "store_true", "default": False, "help": what})


class Fields(NamedTuple):
    """One flag for each field of the settings, except those in `without`."""

    settings: type[BaseModel]
    without: Collection[str] = ()


# What help shows as the value of a field that is not a number.
METAVARS = {
    "admin_key": "KEY",
    "analyst_key": "KEY",
    "answer_field": "NAME",
    "assistant_name": "NAMES",
    "allow_origin": "ORIGIN",
    "api_key": "KEY",
    "augment": "KINDS",
    "client_key": "KEY",
    "data": "FILE",
    "document_separator": "SEPARATOR",
    "dtype": "DTYPE",
    "editor_key": "KEY",
    "examples": "FILE",
    "field": "NAME",
    "fold": "I/K",
    "from_": "MODEL",
    "host": "ADDRESS",
    "ingest_key": "KEY",
    "intent_field": "NAME",
    "kind": "KIND",
    "keep_checkpoints": "N|all",
    "graph": "FILE",
    "knowledge": "KB",
    "label_field": "NAME",
    "label_separator": "SEPARATOR",
    "micro_batch_size": "N|auto",
    "model": "MODEL",
    "offsets": "characters|bytes|utf-16",
    "operator_key": "KEY",
    "output": "DIR",
    "prompt_field": "NAME",
    "role": "ROLE=RUN",
    "shard_cache": "SIZE",
    "sheet": "NAME",
    "size": "SIZE",
    "tag_names": "NAMES",
    "target_modules": "NAME",
    "task_mix": "TASK=FILE",
    "teacher": "MODEL",
    "text_field": "NAME",
    "time": "DURATION",
    "tokenizer": "KIND|DIR",
    "tokens": "COUNT",
    "total_steps": "STEPS",
    "track": "NAMES",
    "training_text": "FILE",
    "validation": "FILE",
}
BASE_HELP = "where the base model is now, if MODEL is an adapter and its base model was moved"
COMMON = {  # flags of every command
    "-v --verbose": "log more, including where an error occurred",
    "-q --quiet": "print results and errors only",
}

# -- rows that several commands share --------------------------------------------------------------

JSON = switch("--json", "print one JSON object")
JSON_AT_END = switch("--json", "print one JSON object at the end")
BASE = flag("model", "MODEL", "a run's folder, or any Hugging Face folder", nargs="?")
MODEL = flag("model", "MODEL", "a run's folder, any Hugging Face folder, or a GGUF file")
ANY_MODEL = flag(
    "model", "MODEL", "a run, a Hugging Face folder, a GGUF file, or a downloaded model's name"
)
FILES = flag("files", "FILES", "files, folders or globs of text", nargs="*")
SOME_FILES = flag("files", "FILES", "files, folders or globs of text", nargs="+")
FIELD = flag("--field", "NAME", "the column or key that holds the text")
BAD_BYTES = flag(
    "--bad-bytes", "refuse|replace", BAD_BYTES_HELP, "refuse", choices=("refuse", "replace")
)
DTYPE = flag("--dtype", "auto|float32|bfloat16", "number format of the weights (auto)", "auto")


def task_flag(what: str, **options: Any) -> Flag:
    """The flag that names a task, with all known tasks."""
    return flag("--task", "|".join(TASKS), what, **options)


class Given(argparse.Namespace):
    """The arguments that were typed: each flag of the command by name, and in `settings` those that
    were given.
    """

    settings: dict[str, Any]
    json: bool
    # Only some commands have these.
    resume: bool = False
    auto_resume: bool = False
    dry_run: bool = False
    config: Path | None = None


def help_width() -> int:
    """The width of help in characters: the terminal's, but at most 100."""
    return max(40, min(shutil.get_terminal_size((100, 24)).columns, 100))


class HelpFormatter(argparse.HelpFormatter):
    """Help with wrapped and translated text."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=30, width=help_width())

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        """Wraps paragraphs, except those with an indented line, such as examples."""
        parts = text.split("\n\n")
        return "\n\n".join(
            shown(part) if "\n  " in part else wrapped(shown(" ".join(part.split())), width)
            for part in parts
        )

    def _split_lines(self, text: str, width: int) -> list[str]:
        return wrapped(shown(text), width).split("\n")

    def start_section(self, heading: str | None) -> None:
        super().start_section(heading and shown_word(heading))


class Parser(argparse.ArgumentParser):
    """The parser of a command. Exits with code 2 and a one-line message that names the nearest
    known flag.
    """

    def __init__(self, verb: str, summary: str, example: str, *rows: Flag | Fields) -> None:
        super().__init__(
            prog=f"xinye {verb}",
            description=summary,
            epilog=f"{shown_word('example')}:\n  {example}",
            formatter_class=HelpFormatter,
            allow_abbrev=False,
            argument_default=argparse.SUPPRESS,
        )
        for names, what in COMMON.items():
            self.add_argument(*names.split(), action="store_true", default=False, help=what)
        # The settings' fields, and the nested settings that each belongs to.
        self.fields: dict[str, str | None] = {}
        for row in rows:
            if isinstance(row, Flag):
                self.add_argument(*row.names, **row.options)
            else:
                self._add_fields(*row)
        self.models = [action.dest for action in self._actions if action.metavar == "MODEL"]
        if self.models:
            self.add_argument("--base", metavar="DIR", help=BASE_HELP)

    def _add_fields(self, settings: type[BaseModel], without: Collection[str]) -> None:
        """Adds the fields that only these settings have first. A field that holds settings becomes
        a group.
        """
        own = settings.__annotations__
        titles = getattr(settings, "groups", {})
        groups = {title: self.add_argument_group(title) for title in titles}
        group_of = {
            name: groups[title] for title, names in titles.items() for name in names.split()
        }
        for name, field in sorted(
            settings.model_fields.items(), key=lambda item: item[0] not in own
        ):
            self.fields[name.rstrip("_")] = None
            if name in without:
                continue
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                inner_group = self.add_argument_group(name)
                for inner, inner_field in field.annotation.model_fields.items():
                    self.fields[inner] = name
                    _add(inner_group, inner, inner_field)
            else:
                _add(group_of.get(name, self), name, field)

    def format_help(self) -> str:
        text = super().format_help()
        if screen_language() == "en":
            return text
        text = re.sub("^usage: ", f"{shown_word('usage')}： ", text)  # as wide as in English
        return re.sub(r"(?m)^([\u4e00-\u9fff]+):$", r"\1：", text)

    def read(self, arguments: Sequence[str]) -> Given:
        """The arguments as typed."""
        arguments = list(map(typed, arguments))
        # Check unknown flags first: a missing argument is often just a mistyped flag.
        before = arguments[: arguments.index("--")] if "--" in arguments else arguments
        self._refuse_unknown([word for word in before if re.fullmatch(r"--[\w-]+(=.*)?", word)])
        parsed, unknown = self.parse_known_intermixed_args(arguments)
        self._refuse_unknown(
            [word for word in unknown if not self._add_value(word, arguments, parsed)]
        )
        if parsed.quiet:
            console.quiet = True
        if parsed.verbose:
            show_log(logging.DEBUG)
        self._set_base(vars(parsed))
        given = Given(settings={})
        for name, value in vars(parsed).items():
            if name not in self.fields:
                setattr(given, name, value)
            elif group := self.fields[name]:
                given.settings.setdefault(group, {})[name] = value
            elif value not in (None, []):
                given.settings[name] = value
        return given

    def _set_base(self, parsed: dict[str, Any]) -> None:
        """Set the folder of the adapters' base model, if it was given."""
        base = parsed.pop("base", None)
        if base is None:
            return
        set_base(base)
        values = [parsed.get(name) for name in self.models]
        names = [name for value in values for name in (value if type(value) is list else [value])]
        # `NAME=MODEL` names a model for a server
        places = [part for name in names if name for part in (str(name), str(name).split("=")[-1])]
        refuse_first(
            (not place_of(base).exists(), f"--base {base}: there is no such folder"),
            (
                not any(is_adapter(place_of(place)) for place in places),
                f"--base {base}: no model here is an adapter; leave --base out",
            ),
        )

    def _refuse_unknown(self, words: Sequence[str]) -> None:
        flags = self._option_string_actions
        for word in words:
            flag = word.split("=")[0]
            if flag not in flags:
                self.error(f"unknown argument {word!r}{self._meant(flag)}")

    def _meant(self, flag: str) -> str:
        """What an unknown flag may have meant, for messages."""
        flags = self._option_string_actions
        if not flag.startswith("-"):
            return f"; if it is a file: --data {quoted(flag)}" if "--data" in flags else ""
        if near := did_you_mean(flag, flags):
            return near
        for action in self._get_positional_actions():
            if nearest(flag, [action.dest]):
                return f"; give it without a flag: {self.prog} {action.metavar}"
        if flag == "--dry-run" and "--steps" in flags:
            return "; for a short test: --steps 1"
        if flag == "--compile" and "--steps" in flags:
            return "; only xinye pretrain compiles"
        return ""

    def _add_value(self, word: str, arguments: list[str], parsed: argparse.Namespace) -> bool:
        """Add a word as one more value of the flag before it, as in `--data a.csv b.csv`. False if
        that flag takes a single value.
        """
        flags = self._option_string_actions
        before = [each.split("=")[0] for each in arguments[: arguments.index(word)]]
        named = [each for each in before if each.startswith("-")]
        action = flags.get(named[-1]) if named else None
        if word.startswith("-") or not isinstance(action, argparse._AppendAction):
            return False
        getattr(parsed, action.dest).append(self._get_value(action, word))
        return True

    def _check_value(self, action: argparse.Action, value: str) -> None:
        if action.choices is not None and value not in action.choices:
            known = [str(choice) for choice in action.choices]
            what = f"{value!r}: choose one of {', '.join(known)}{did_you_mean(value, known)}"
            raise argparse.ArgumentError(action, what)

    def error(self, message: str) -> NoReturn:
        print_error(f"{self.prog}: {message} (try {self.prog} --help)")
        raise SystemExit(2)


class _OnOff(argparse.BooleanOptionalAction):
    def format_usage(self) -> str:
        """Both flags in one word, because two long ones do not fit in a line."""
        return "--[no-]" + self.option_strings[0].removeprefix("--")


def _add(parser: argparse._ActionsContainer, name: str, field: FieldInfo) -> None:
    flags = ["--" + name.rstrip("_").replace("_", "-")]
    if name == "output":
        flags.insert(0, "-o")
    default = "" if field.default in (None, (), "", {}) else str(field.default)
    description = field.description or ""
    if isinstance(field.default, bool):
        default = "on by default" if field.default else "off by default"
        default = "" if description.endswith(")") else default  # it says itself
    text = description + (f" ({default})" if default else "")
    text = text.replace("%", "%%")
    inner = get_args(field.annotation)
    kinds = (field.annotation, *inner, *(each for kind in inner for each in get_args(kind)))
    kind = next(kind for kind in inner or kinds if kind is not type(None))
    kind = getattr(kind, "__origin__", kind)  # the plain type of an annotated one
    bare = METAVARS.get(name, "PATH" if "Path" in str(kind) else "TEXT")
    metavar = bare if "|" in bare else {int: "N", float: "X"}.get(kind, bare)
    if field.annotation is bool:
        parser.add_argument(*flags, action=_OnOff, help=text)
    elif any(get_origin(kind) is dict for kind in kinds):
        parser.add_argument(*flags, type=json_object, metavar="JSON|FILE", help=text)
    elif field.annotation in (tuple[str, ...], tuple[int, ...]):
        parser.add_argument(*flags, action="append", metavar=metavar, help=text)
    else:
        choices = "|".join(choice for choice in kinds if isinstance(choice, str))
        parser.add_argument(*flags, metavar=choices or metavar, help=text)


def typed(text: str) -> str:
    """An argument or a line as Unicode, decoded from GB18030 or another encoding of the terminal or
    script.

    The name of an existing file is returned unchanged. Raises `XinyeError` if no encoding fits.
    """
    if not not_unicode(text) or os.path.lexists(text):
        return text
    try:
        raw = os.fsencode(text)
    except UnicodeEncodeError:
        raise XinyeError(f"{text!r} is {not_unicode(text)}") from None
    return decode(raw, what=repr(text))


def read_stdin() -> str:
    """All of standard input, decoded from any encoding."""
    raw: bytes = sys.stdin.buffer.read()
    return decode(raw, what=INPUT).replace("\r\n", "\n").replace("\r", "\n")


def json_object(value: str) -> dict[str, Any]:
    """A JSON object, typed or read from a file. Raises `XinyeError` for anything else."""
    if not value.lstrip().startswith("{"):
        if not Path(value).exists():
            raise XinyeError(f"{value}: neither a JSON object nor a file")
        return read_json(Path(value))
    try:
        data = json.loads(value)
    except (ValueError, RecursionError) as error:
        raise XinyeError(f"the JSON object is not valid ({error})") from None
    return data
