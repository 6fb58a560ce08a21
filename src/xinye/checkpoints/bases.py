"""Finds the base model of an adapter. This module does not need torch.

An adapter's folder names its base by a path or a hub name. If the base was moved, `based_on`
(`--base` on the command line) sets the new place.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from os import path
from pathlib import Path

from xinye.checkpoints.hub import can_be_downloaded, find_downloaded
from xinye.data.files import read_json
from xinye.errors import XinyeError

CONFIG = "adapter_config.json"
_moved_to: ContextVar[str] = ContextVar("_moved_to", default="")


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter."""
    return (folder / CONFIG).is_file()


def set_base(place: str | Path) -> None:
    """Set the place of the base of every adapter loaded from now on."""
    _moved_to.set(str(place))


@contextmanager
def based_on(place: str | Path | None) -> Iterator[None]:
    """Set the place of the base inside a `with` block. None changes nothing."""
    token = _moved_to.set(str(place or _moved_to.get()))
    try:
        yield
    finally:
        _moved_to.reset(token)


def base_of(folder: Path) -> str:
    """Where the base of an adapter should be: a path, relative to here, or a hub name. This does
    not check that it exists.

    Raises `XinyeError` if the adapter does not name its base.
    """
    if _moved_to.get():
        return _moved_to.get()
    name = read_json(folder / CONFIG).get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise XinyeError(
            f"{folder / CONFIG}: base_model_name_or_path is missing; give the adapter's base model "
            "with --base DIR"
        )
    beside = folder / name
    return path.relpath(beside) if not path.isabs(name) and path.exists(beside) else name


def place_of(model: str | Path) -> Path:
    """The folder or file of a model or adapter, given by its path or hub name. If it does not
    exist, this is the path as given. Raises `XinyeError` for what cannot be a path."""
    try:
        there = Path(model).exists()
    except OSError as error:
        raise XinyeError(f"{model}: there is no such model ({error.strerror})") from None
    if there:
        return Path(model)
    found = find_downloaded(str(model)) or find_downloaded(str(model), CONFIG)
    return found or Path(model)


def find_base(folder: Path) -> str:
    """The base of an adapter, as a path or hub name. Raises `XinyeError`, with the names of both,
    if it does not exist or is an adapter, too."""
    base = base_of(folder)
    if not place_of(base).exists():
        advice = "give its folder with --base DIR"
        if can_be_downloaded(base):
            advice = f"download it with xinye download {base}, or give its folder with --base DIR"
        raise XinyeError(f"{folder}: the adapter's base model {base} does not exist; {advice}")
    if is_adapter(place_of(base)):
        raise XinyeError(
            f"{folder}: its base model {base} is an adapter, too; merge that one first with xinye "
            "merge, and give the result with --base DIR"
        )
    return base
