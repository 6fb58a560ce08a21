"""The one error a person can cause: it says what is wrong, where, and what to do."""

import difflib
from collections.abc import Iterable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError


class XinyeError(Exception):
    """Wrong input or a state that work cannot go on from; its text is one clear line.

    `exit_code` is what the command line ends with: 2 for wrong use, 1 for work that failed.
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


Checked = TypeVar("Checked", bound=BaseModel)


def checked(kind: type[Checked], values: dict[str, Any], where: str) -> Checked:
    """Settings of a kind from plain values; whatever is wrong with them is one line that names the key."""
    try:
        return kind(**values)
    except ValidationError as error:
        first = error.errors()[0]
        path = [str(part) for part in first["loc"] if isinstance(part, str)]
        if first["type"] == "extra_forbidden":
            for part in path[:-1]:
                kind = kind.model_fields[part].annotation  # type: ignore[assignment]
            raise XinyeError(f"{where}: unknown key {path[-1]!r}{did_you_mean(path[-1], kind.model_fields)}") from None
        message = first["msg"].removeprefix("Value error, ")
        raise XinyeError(f"{where}: {'.'.join(path) + ': ' if path else ''}{message}") from None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'size'?` where a known word is near, else nothing."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
