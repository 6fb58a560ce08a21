"""`XinyeError`, the error for everything a user can put right, and helpers to write its message.

A message says what is wrong, where, and what to do.
"""

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from xinye.guesses import nearest
from xinye.language import shown

# Characters that control a terminal instead of being read: control characters, and those that
# change the direction of text. Half a character ("\ud800") cannot be printed at all.
SIGNS = {code: chr(0x2400 + code) for code in range(32)} | {
    ord("\n"): "\n",
    ord("\t"): "\t",
    ord("\r"): "",
}
SIGNS |= dict.fromkeys(
    (*range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd"
)
SIGNS |= dict.fromkeys(range(0xD800, 0xE000), "\ufffd")

LINE_ENDS = {code: chr(0x2400 + code) for code in b"\t\n\r"}  # `readable` keeps these

LONG_WORD = 400  # characters; a longer one in a message is cut


def readable(text: str) -> str:
    """The text with a visible sign in place of each control character, safe to print on a
    terminal."""
    return text.translate(SIGNS)


def one_line(text: str) -> str:
    """The readable text in one line."""
    return " ".join(readable(text).splitlines())


def reason_of(error: BaseException, most: int = 200) -> str:
    """What an error of a library says, in one line of at most so many characters."""
    return " ".join(str(error).split())[:most]


def shortened(line: str) -> str:
    """The line with the end of each very long word, such as a file name, replaced by `…`."""
    return re.sub(rf"(\S{{{LONG_WORD // 2}}})\S{{{LONG_WORD},}}", r"\1…", line)


def plural(count: int, what: str, several: str = "") -> str:
    """A count with its noun: `1 record`, `2,000 records`. `several` is the plural if it is
    irregular."""
    several = several or what + ("es" if what.endswith("s") else "s")
    return f"{count:,} {what if count == 1 else several}"


def quoted(word: object) -> str:
    """A word of a shell command, quoted if the shell needs it. Unlike `shlex.quote` it leaves
    Chinese names unquoted."""
    text = str(word)
    return text if re.fullmatch(r"[\w@%+=:,./-]+", text) else shlex.quote(text)


def print_error(message: str) -> None:
    """Print the error that ended a command on standard error, in one line."""
    print(shown(one_line(message)), file=sys.stderr)


def not_unicode(value: Any) -> str:
    """Why a value, or a string within it, is not valid Unicode; an empty string if all are valid.

    Half of a character ("\\ud800") cannot be written to a file or read by a tokenizer.
    """
    try:
        json.dumps(value, ensure_ascii=False, default=str, skipkeys=True).encode()
    except UnicodeEncodeError as error:
        return (
            f"not valid Unicode text: \\u{ord(error.object[error.start]):04x} is an "
            "unpaired surrogate, half of a character"
        )
    except (RecursionError, ValueError):  # nested too deeply for JSON, or containing itself
        return "nested too deeply"
    return ""


class XinyeError(Exception):
    """An error that the user can put right, or work that cannot continue. Its text is one line.

    `exit_code` is the exit status of the command line: 2 for wrong use, 1 for work that failed.
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(shortened(one_line(message)))
        self.exit_code = exit_code


class OfOneProcess(XinyeError):
    """An error of one of several processes that train together. If it is `told`, the first process
    tells it; else this one has to."""

    def __init__(self, message: str, exit_code: int, told: bool) -> None:
        super().__init__(message, exit_code)
        self.told = told


class NotFound(XinyeError):
    """What was asked for does not exist, or belongs to somebody else: both read the same."""


class Conflict(XinyeError):
    """What was asked for does not fit the present state; somebody else may have been faster."""


class TooMany(XinyeError):
    """A limit is reached. Later, or after something else has ended, the same may succeed."""


class Unavailable(XinyeError):
    """Something outside the program prevents the work, such as a full disk. Trying again later may
    succeed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, exit_code=1)


def refuse_first(
    *problems: tuple[object, str], error: Callable[[str], Exception] = XinyeError
) -> None:
    """Raise an error for the first problem that holds. Each problem is a pair: whether it holds,
    and the message."""
    for there, problem in problems:
        if there:
            raise error(problem)


Checked = TypeVar("Checked", bound=BaseModel)


def checked(kind: type[Checked], values: dict[str, Any], where: str) -> Checked:
    """The values as a settings object of class `kind`.

    Raises `XinyeError` in one line that names the wrong key; `where` names the command or file.
    """
    for key, value in values.items():
        if reason := not_unicode(value):
            raise XinyeError(f"{where}: {key}: {reason}; correct the text, or rename the file")
    return validated(kind, values, where)


def validated(kind: type[Checked], values: dict[str, Any], where: str) -> Checked:
    """As `checked`, but names of files that are not Unicode are kept."""
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        path = [str(part) for part in first["loc"] if isinstance(part, str)]
        if first["type"] == "extra_forbidden":
            for part in path[:-1]:
                kind = kind.model_fields[part].annotation  # type: ignore[assignment]
            raise XinyeError(
                f"{where}: unknown key {path[-1]!r}{did_you_mean(path[-1], kind.model_fields)}"
            ) from None
        message = wrong_value(first)
        raise XinyeError(f"{where}: {'.'.join(path) + ': ' if path else ''}{message}") from None


def wrong_value(problem: Mapping[str, Any]) -> str:
    """What is wrong with a value, from one entry of pydantic's `ValidationError.errors()`."""
    value, number = repr(problem["input"])[:80], str(problem["input"])[:80]
    limits = problem.get("ctx", {})
    match problem["type"]:
        case "float_parsing" | "float_type":
            return f"{value} is not a number"
        case "finite_number":
            return f"{value} is not a finite number"
        case "int_parsing" | "int_type" | "int_from_float":
            return f"{value} is not a whole number"
        case "bool_parsing" | "bool_type":
            return f"{value} is not true or false"
        case "string_type":
            return f"{value} is not a text"
        case "tuple_type" | "list_type":
            return f"{value} is not a list; put it into brackets: [{value}]"
        case "dict_type" | "model_type":
            return f"{value} is not a table"
        case "missing":
            return "it is missing"
        case "string_too_short" | "too_short":
            return "it is empty"
        case "less_than_equal":
            return f"{number} is too large; use at most {limits['le']}"
        case "greater_than_equal":
            return f"{number} is too small; use at least {limits['ge']}"
        case "less_than":
            return f"{number} is too large; use less than {limits['lt']}"
        case "greater_than":
            return f"{number} is too small; use more than {limits['gt']}"
        case "literal_error":
            near = did_you_mean(str(problem["input"]), re.findall("'(.*?)'", limits["expected"]))
            return f"{value} is unknown; choose {limits['expected']}{near}"
    return re.sub("^Value error, ", "", problem["msg"])


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'size'?` if a known word is similar, otherwise an empty string."""
    near = nearest(word, known)
    meant = f"did you mean {' or '.join(map(repr, near))}?"
    return f"; {meant}" if near else ""
