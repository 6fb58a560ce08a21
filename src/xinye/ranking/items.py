"""An item that can be recommended."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Item:
    """An item of the catalogue, with the id that its owner gave it."""

    id: str
    title: str = ""
    text: str = ""
    tags: tuple[str, ...] = ()
