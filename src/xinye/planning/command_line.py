"""Turns settings into the command line that has the same effect, as a list of words. Callers join
and quote them."""

from collections.abc import Mapping
from typing import Any

from xinye.data.cleaning import RENAMED

POSITIONAL = ("model", "files")  # settings without a flag


def command_line(verb: str, settings: Mapping[str, Any]) -> list[str]:
    """The words of `xinye VERB` with these settings, by the names of their fields. None is left
    out."""
    words = ["xinye", verb]
    flags: list[str] = []
    for name, value in flat(settings).items():
        flag = "--" + name.rstrip("_").replace("_", "-")
        if name in POSITIONAL:
            words += [f"./{text}" if text.startswith("-") else text for text in _texts(value)]
        elif isinstance(value, bool):
            flags.append(flag if value else f"--no-{flag[2:]}")
        else:
            for text in _texts(value):
                if text.startswith("-"):  # as a word of its own it would be read as a flag
                    flags.append(f"{flag}={text}")
                else:
                    flags += ["-o" if name == "output" else flag, text]
    return words + flags


def flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with those of groups, such as `cleaning`, moved up to the same level after the
    others."""
    groups = [value for value in settings.values() if isinstance(value, dict)]
    alone = {name: value for name, value in settings.items() if not isinstance(value, dict)}
    grouped = {name: value for group in groups for name, value in group.items()}
    renamed: dict[str, Any] = {}
    for name, value in (alone | grouped).items():
        renamed[str(RENAMED.get(name, name))] = value
    return renamed


def _texts(value: Any) -> list[str]:
    """The words of a value: several for a list, one for a list of pairs of numbers, none for
    None."""
    if value is None:
        return []
    values = value if isinstance(value, list | tuple) else [value]
    if values and isinstance(values[0], list | tuple):
        return [",".join(f"{first}:{second}" for first, second in values)]
    return [str(each) for each in values]
