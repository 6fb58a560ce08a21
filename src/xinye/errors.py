"""The one error a person can cause: it says what is wrong, where, and what to do. And how messages
show texts, counts and words of a command."""

import json
import re
import shlex
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from xinye.guesses import nearest
from xinye.language import shown

# Characters that would drive a terminal instead of being read: control characters, and those that
# turn the direction of text. Half a character ("\ud800") cannot be printed at all.
SIGNS = {code: chr(0x2400 + code) for code in range(32)} | {
    ord("\n"): "\n",
    ord("\t"): "\t",
    ord("\r"): "",
}
SIGNS |= dict.fromkeys(
    (*range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd"
)
SIGNS |= dict.fromkeys(range(0xD800, 0xE000), "\ufffd")


LONG_WORD = 400  # characters; a longer one in a message is cut


def readable(text: str) -> str:
    """Text from anywhere for the terminal: what is no text is shown by a sign, and does nothing."""
    return text.translate(SIGNS)


def one_line(text: str) -> str:
    """The same in one line."""
    return " ".join(readable(text).splitlines())


def shortened(line: str) -> str:
    """The same with the rest of endless words, such as names of files, left out."""
    return re.sub(rf"(\S{{{LONG_WORD // 2}}})\S{{{LONG_WORD},}}", r"\1…", line)


def plural(count: int, what: str, several: str = "") -> str:
    """`1 record`, `2,000 records`; with what `several` are called where an s does not do."""
    several = several or what + ("es" if what.endswith("s") else "s")
    return f"{count:,} {what if count == 1 else several}"


def quoted(word: object) -> str:
    """A word of a command that a message shows; unlike `shlex.quote` it leaves Chinese names as
    they are."""
    text = str(word)
    return text if re.fullmatch(r"[\w@%+=:,./-]+", text) else shlex.quote(text)


def print_error(message: str) -> None:
    """Say in one line why a command ended."""
    print(shown(one_line(message)), file=sys.stderr)


def not_unicode(value: Any) -> str:
    """Why a text, or one of those in a value of JSON's kinds, is not Unicode: half of a character
    ("\\ud800"), which no file can hold and no tokenizer reads. "" where all are."""
    try:
        json.dumps(value, ensure_ascii=False, default=str, skipkeys=True).encode()
    except UnicodeEncodeError as error:
        return (
            f"not valid Unicode text: \\u{ord(error.object[error.start]):04x} is half of a "
            "character"
        )
    except (RecursionError, ValueError):  # deeper than JSON goes, or in a circle
        return "nested too deeply"
    return ""


class XinyeError(Exception):
    """Wrong input or a state that work cannot go on from; its text is one clear line, whatever it
    quotes.

    `exit_code` is what the command line ends with: 2 for wrong use, 1 for work that failed.
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(shortened(one_line(message)))
        self.exit_code = exit_code


def refuse_first(
    *problems: tuple[object, str], error: Callable[[str], Exception] = XinyeError
) -> None:
    """Raise an error for the first of several problems that is there: whether it is, and what it
    is."""
    for there, problem in problems:
        if there:
            raise error(problem)


Checked = TypeVar("Checked", bound=BaseModel)


def checked(kind: type[Checked], values: dict[str, Any], where: str) -> Checked:
    """Settings of a kind from plain values; whatever is wrong with them is one line that names the
    key."""
    for key, value in values.items():
        if reason := not_unicode(value):
            raise XinyeError(f"{where}: {key}: {reason}; correct the text, or rename the file")
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
        message = re.sub("^Value error, ", "", first["msg"])
        if first["type"] == "literal_error":
            message += did_you_mean(str(first["input"]), re.findall("'(.*?)'", message))
        raise XinyeError(f"{where}: {'.'.join(path) + ': ' if path else ''}{message}") from None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'size'?` where a known word is near, else nothing."""
    near = nearest(word, known)
    meant = f"did you mean {' or '.join(map(repr, near))}?"
    return f"; {meant}" if near else ""
